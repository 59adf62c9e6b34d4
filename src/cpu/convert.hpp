// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <type_traits>

#include <lamella/dtype.hpp>

#include "core/check.hpp"
#include "core/convert.hpp"
#include "core/rounding.hpp"
#include "core/visit_dtype.hpp"

namespace lamella::cpu {

/// The compute type for elements of T; integers are computed in T.
template <typename T>
using ComputeOf = std::conditional_t<std::is_same_v<T, double> || std::is_integral_v<T>, T, float>;

/// Calls f(T{}) for the floating types.
template <typename F>
void visit_floating(DType dtype, F&& f) {
  core::visit_dtype(dtype, [&](auto value) {
    if constexpr (std::is_integral_v<decltype(value)>) {
      core::throw_argument(ErrorCode::dtype,
                           core::format("[cpu] dtype: got {}, allowed float32, float16, bfloat16, float64", to_string(dtype)));
    } else {
      f(value);
    }
  });
}

/// Calls f(T{}) for the integer types, excluding bool.
template <typename F>
void visit_integer(DType dtype, F&& f) {
  core::visit_dtype(dtype, [&](auto value) {
    if constexpr (std::is_integral_v<decltype(value)> && !std::is_same_v<decltype(value), bool>) {
      f(value);
    } else {
      core::throw_argument(ErrorCode::dtype, core::format("[cpu] dtype: got {}, allowed the integer types", to_string(dtype)));
    }
  });
}

/// Converts one element: to a floating type rounding to nearest even, to an integer as core::to_integer().
template <typename To, typename From>
[[nodiscard]] To convert(From value) {
  if constexpr (std::is_same_v<To, From>) {
    return value;
  } else if constexpr (std::is_integral_v<To> && std::is_arithmetic_v<From>) {
    return core::to_integer<To>(value);
  } else if constexpr (std::is_integral_v<To>) {
    return core::to_integer<To>(static_cast<float>(value));
  } else if constexpr (!std::is_arithmetic_v<To> &&
                       (std::is_same_v<From, double> || (std::is_integral_v<From> && sizeof(From) >= 4))) {
    return static_cast<To>(core::to_odd(value));
  } else if constexpr (std::is_arithmetic_v<From>) {
    return static_cast<To>(static_cast<ComputeOf<To>>(value));
  } else {
    return static_cast<To>(static_cast<ComputeOf<To>>(static_cast<float>(value)));
  }
}

/// Converts n elements of `from` to float, and back with rounding to nearest even.
void widen(float* dst, const void* src, DType from, std::int64_t n);
void narrow(void* dst, const float* src, DType to, std::int64_t n);

}  // namespace lamella::cpu
