// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>

#include "keras/hdf5/type.hpp"

namespace lamella::keras::hdf5 {

struct Filter {
  std::uint16_t id = 0;
  bool optional = false;
};

/// The grid of chunks of a dataset.
struct Grid {
  std::vector<std::uint64_t> extents;  // of the dataset, in elements
  std::vector<std::uint64_t> chunk;    // of a chunk, in elements
  std::vector<std::uint64_t> counts;   // chunks along each axis
  std::vector<std::uint64_t>
      most;  // chunks along each axis of the dataset at its maximum size, on which arrays of chunks are based
  std::uint64_t chunks = 0;
  std::uint64_t slots = 0;  // chunks of the dataset at its maximum size
  std::uint64_t chunk_bytes = 0;
  std::uint64_t element = 0;  // bytes of one element

  [[nodiscard]] std::size_t rank() const noexcept { return extents.size(); }
  /// The chunk at an index of an array of chunks; nothing beyond the dataset's current size.
  [[nodiscard]] std::optional<std::uint64_t> number_of_slot(std::uint64_t slot) const {
    std::uint64_t number = 0;
    std::uint64_t scale = 1;
    bool inside = true;
    for (std::size_t axis = rank(); axis-- > 0; slot /= most[axis]) {
      const std::uint64_t at = slot % most[axis];
      inside = inside && at < counts[axis];
      number += at * scale;
      scale *= counts[axis];
    }
    return inside ? std::optional(number) : std::nullopt;
  }
};

struct StoredChunk {
  std::uint64_t number = 0;  // row-major in the grid
  std::uint64_t address = 0;
  std::uint64_t size = 0;
  std::uint32_t mask = 0;  // filters that were skipped
};

/// Visits each stored chunk once; `layout` is positioned after the chunk's extents.
using TellChunk = std::function<void(const StoredChunk&)>;
void walk_tree(const Image& image, std::uint64_t address, const Grid& grid, std::string_view place, const TellChunk& tell);
void walk_fixed_array(const Image& image, std::uint64_t address, const Grid& grid, bool filtered, std::string_view place,
                      const TellChunk& tell);

[[nodiscard]] std::vector<Filter> read_filters(const Object& object, std::string_view place);
/// A chunk's bytes after decoding all filters; exactly `size` of them.
[[nodiscard]] OwnedBytes unfiltered(const Image& image, Bytes stored, const std::vector<Filter>& filters, std::uint32_t mask,
                                    std::uint64_t size, std::size_t element, std::string_view place);

}  // namespace lamella::keras::hdf5
