// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include <lamella/export.hpp>
#include <lamella/tensor.hpp>

namespace lamella::core {

/// How an npy file stores an element.
struct NpyElement {
  DType dtype = DType::float32;
  bool swapped = false;  ///< its byte order is not the host's
};

/// The header of an npy file, which precedes the elements.
struct NpyHead {
  Shape shape;
  NpyElement element;
  bool fortran_order = false;
  std::size_t data_at = 0;  ///< where the elements begin
  std::size_t data_bytes = 0;
};

inline constexpr std::size_t kLongestNpyHeader = 1 << 16;
/// The length limit of a header.
inline constexpr std::size_t kLongestNpyHead = kLongestNpyHeader + 12;

/// `begin`: the whole file, or at least its first kLongestNpyHead bytes. `size`: of the file, whose data must have the length
/// that its shape implies; none if the size is unknown. Throws LoadError, which begins with `where`.
[[nodiscard]] NpyHead parse_npy_head(std::span<const std::byte> begin, std::optional<std::size_t> size, const std::string& where);

/// Converts elements from the file's representation to the host's.
void npy_to_host(std::span<std::byte> data, const NpyElement& element);
/// The elements `fortran` of a file in Fortran order, rearranged to C order.
[[nodiscard]] Tensor npy_in_c_order(Tensor fortran);

/// The header of an npy file of these elements, which must not be bfloat16.
[[nodiscard]] LAMELLA_API std::string npy_header(DType dtype, const Shape& shape);

}  // namespace lamella::core
