// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "keras/hdf5/file.hpp"

namespace lamella::keras::hdf5 {

enum class Kind { integer, floating, bfloat, text, variable_text, opaque, other };

struct Type {
  Kind kind = Kind::other;
  std::uint64_t size = 0;  // of an element in the file
  bool big_endian = false;
  bool is_signed = false;
  bool space_padded = false;  // text
  std::string_view name;      // name of an unsupported class
};

struct Space {
  bool null = false;
  std::vector<std::uint64_t> extents;
  std::vector<std::uint64_t> most;  // maximum extents; empty: fixed
  std::uint64_t elements = 1;
};

[[nodiscard]] Type parse_type(Bytes body, std::string_view place);
/// Throws overflow if the product of the extents does not fit.
[[nodiscard]] Space parse_space(const Image& image, Bytes body, std::string_view place);

/// The elements' dtype in memory. Throws dtype if there is none.
[[nodiscard]] DType dtype_of(const Type& type, std::string_view place);
/// Converts elements from the file to native byte order, alignment and that dtype; shares the memory if they already match.
[[nodiscard]] OwnedBytes to_native(const Image& image, const Type& type, OwnedBytes raw, std::string_view place);

/// The raw elements of a dataset, row-major.
[[nodiscard]] OwnedBytes read_elements(const Image& image, const Object& object, const Type& type, const Space& space,
                                       std::string_view place);

/// Layout class 2; `layout` is positioned after the class.
[[nodiscard]] OwnedBytes read_chunks(const Image& image, const Object& object, ByteReader layout, int version, const Type& type,
                                     const Space& space, std::string_view place);
/// Fills `out` with the dataset's fill value, or with zeros.
void fill(const Object& object, std::size_t element_size, std::span<std::byte> out, std::string_view place);
/// Throws limit if too many bytes are not stored in the file and would have to be filled in.
void check_missing(std::uint64_t bytes, std::string_view place);

}  // namespace lamella::keras::hdf5
