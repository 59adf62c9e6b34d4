// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>
#include <type_traits>

#include "core/math.hpp"

namespace lamella::core {

/// An arithmetic value as an integer or bool, as XLA converts, and so Keras on JAX: a floating value is cut off towards zero and
/// clamped to To's range, NaN becomes 0; an integer keeps its low bits; as bool, everything but zero is true.
template <typename To, typename From>
LAMELLA_HD To to_integer(From value) {
  static_assert(std::is_arithmetic_v<From> && std::is_integral_v<To>);
  if constexpr (std::is_same_v<To, bool>) {
    return value != From(0);
  } else if constexpr (std::is_floating_point_v<From>) {
    constexpr To kLowest = std::numeric_limits<To>::min();
    constexpr To kHighest = std::numeric_limits<To>::max();
    constexpr From kPast = static_cast<From>(kHighest / 2 + 1) * 2;  // a power of two: exact
    if (value != value) return 0;
    if (value <= static_cast<From>(kLowest)) return kLowest;
    return value >= kPast ? kHighest : static_cast<To>(value);
  } else {
    return static_cast<To>(value);
  }
}

}  // namespace lamella::core
