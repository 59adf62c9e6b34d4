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
  std::string_view name;      // of a kind that is not read
};

struct Space {
  bool null = false;
  std::vector<std::uint64_t> extents;
  std::vector<std::uint64_t> most;  // that the extents may grow to; empty: they may not
  std::uint64_t elements = 1;
};

[[nodiscard]] Type parse_type(Bytes body, std::string_view place);
/// Throws overflow when the product of the extents does not fit.
[[nodiscard]] Space parse_space(const Image& image, Bytes body, std::string_view place);

/// What the elements become in memory. Throws dtype for what has no counterpart.
[[nodiscard]] DType dtype_of(const Type& type, std::string_view place);
/// Elements as they stand in the file, made native, aligned and of that dtype; shared when they are so already.
[[nodiscard]] OwnedBytes to_native(const Image& image, const Type& type, OwnedBytes raw, std::string_view place);

/// The raw elements of a dataset, row-major.
[[nodiscard]] OwnedBytes read_elements(const Image& image, const Object& object, const Type& type, const Space& space,
                                       std::string_view place);

/// Layout class 2; `layout` stands behind the class.
[[nodiscard]] OwnedBytes read_chunks(const Image& image, const Object& object, ByteReader layout, int version, const Type& type,
                                     const Space& space, std::string_view place);
/// Fills `out` with the dataset's fill value, or with zeros.
void fill(const Object& object, std::size_t element_size, std::span<std::byte> out, std::string_view place);
/// Throws limit when so many bytes that nobody stored would have to be made up.
void check_missing(std::uint64_t bytes, std::string_view place);

}  // namespace lamella::keras::hdf5
