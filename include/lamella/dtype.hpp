// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <lamella/export.hpp>

namespace lamella {

/// Element types of a Tensor, as listed in lamella/dtype.def. Names are Keras', except `boolean` for Keras' "bool".
enum class DType : std::uint8_t {
#define LAMELLA_DTYPE(enumerator, ...) enumerator,
#include <lamella/dtype.def>
};

/// Bytes of one element; 0 for a number outside the enumeration.
[[nodiscard]] LAMELLA_API std::size_t size_of(DType dtype) noexcept;
/// Keras' name, as in "bfloat16"; "no dtype" for a number outside the enumeration.
[[nodiscard]] LAMELLA_API std::string_view to_string(DType dtype) noexcept;
/// The inverse of to_string(). Throws ArgumentError (dtype) for anything else, listing the names.
[[nodiscard]] LAMELLA_API DType dtype_of(std::string_view name);
/// Whether it is float32, float16, bfloat16 or float64.
[[nodiscard]] constexpr bool is_floating(DType dtype) noexcept {
  return dtype == DType::float32 || dtype == DType::float16 || dtype == DType::bfloat16 || dtype == DType::float64;
}

/// IEEE binary16 in storage. Conversion from float rounds to nearest even, keeps infinities and NaN, and produces subnormals.
struct float16 {
  std::uint16_t bits = 0;
  float16() = default;
  LAMELLA_API explicit float16(float value) noexcept;
  LAMELLA_API explicit operator float() const noexcept;
  friend bool operator==(float16 a, float16 b) noexcept = default;  // of the bits
};

/// The upper half of a binary32. Conversion from float rounds to nearest even and keeps NaN a (quiet) NaN.
struct bfloat16 {
  std::uint16_t bits = 0;
  bfloat16() = default;
  explicit bfloat16(float value) noexcept {
    const auto u = std::bit_cast<std::uint32_t>(value);
    const bool nan = (u & 0x7FFF'FFFFU) > 0x7F80'0000U;
    bits = static_cast<std::uint16_t>(nan ? (u >> 16U) | 0x40U : (u + 0x7FFFU + ((u >> 16U) & 1U)) >> 16U);
  }
  explicit operator float() const noexcept { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U); }
  friend bool operator==(bfloat16 a, bfloat16 b) noexcept = default;  // of the bits
};

namespace detail {
template <typename T>
struct dtype_of_type;  // no definition: T is not an element type
#define LAMELLA_DTYPE(enumerator, name, type)         \
  template <>                                         \
  struct dtype_of_type<type> {                        \
    static constexpr DType value = DType::enumerator; \
  };
#include <lamella/dtype.def>
}  // namespace detail

/// The DType of a C++ element type.
template <typename T>
inline constexpr DType dtype_v = detail::dtype_of_type<T>::value;

}  // namespace lamella
