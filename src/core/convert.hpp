// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>
#include <type_traits>

#include "core/math.hpp"

namespace lamella::core {

// Constants, because nvcc's device code may not call the functions of numeric_limits.
template <typename T>
inline constexpr T kLeast = std::numeric_limits<T>::min();
template <typename T>
inline constexpr T kMost = std::numeric_limits<T>::max();

/// An arithmetic value as an integer or bool, as XLA converts, and so Keras on JAX: a floating value is truncated towards zero
/// and clamped to To's range, NaN becomes 0; an integer keeps its low bits; as bool, everything except zero is true.
template <typename To, typename From>
LAMELLA_HD To to_integer(From value) {
  static_assert(std::is_arithmetic_v<From> && std::is_integral_v<To>);
  if constexpr (std::is_same_v<To, bool>) {
    return value != From(0);
  } else if constexpr (std::is_floating_point_v<From>) {
    constexpr From kPast = static_cast<From>(kMost<To> / 2 + 1) * 2;  // a power of two: exact
    if (value != value) return 0;
    if (value <= static_cast<From>(kLeast<To>)) return kLeast<To>;
    return value >= kPast ? kMost<To> : static_cast<To>(value);
  } else {
    return static_cast<To>(value);
  }
}

}  // namespace lamella::core
