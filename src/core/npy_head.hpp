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
  bool swapped = false;  ///< its bytes stand in the other order
};

/// What stands before the elements of an npy file.
struct NpyHead {
  Shape shape;
  NpyElement element;
  bool fortran_order = false;
  std::size_t data_at = 0;  ///< where the elements begin
  std::size_t data_bytes = 0;
};

inline constexpr std::size_t kLongestNpyHeader = 1 << 16;
/// No head is longer.
inline constexpr std::size_t kLongestNpyHead = kLongestNpyHeader + 12;

/// `begin`: the whole file, or at least its first kLongestNpyHead bytes. `size`: of the file, whose data must be as long as its
/// shape says; none where that shows at its end only. Throws LoadError that begins with `where`.
[[nodiscard]] NpyHead parse_npy_head(std::span<const std::byte> begin, std::optional<std::size_t> size, const std::string& where);

/// Makes of elements as a file has them elements as the host has them.
void npy_to_host(std::span<std::byte> data, const NpyElement& element);
/// The elements of a file in Fortran order, which has them in the order of `fortran`, in C order.
[[nodiscard]] Tensor npy_in_c_order(Tensor fortran);

/// The head of an npy file of these elements, which are not bfloat16.
[[nodiscard]] LAMELLA_API std::string npy_header(DType dtype, const Shape& shape);

}  // namespace lamella::core
