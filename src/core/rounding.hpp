// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

namespace lamella::core {

/// Converts to float, rounding to odd: a later rounding to fewer bits then gives the result of a single rounding.
template <typename From>
[[nodiscard]] float to_odd(From value) {
  if constexpr (std::is_floating_point_v<From>) {
    const auto wide = static_cast<double>(value);
    auto narrow = static_cast<float>(wide);
    if (std::isfinite(narrow) && static_cast<double>(narrow) != wide) {
      auto bits = std::bit_cast<std::uint32_t>(narrow);
      if (std::fabs(static_cast<double>(narrow)) > std::fabs(wide)) --bits;
      narrow = std::bit_cast<float>(bits | 1U);
    }
    return narrow;
  } else {
    const bool negative = value < From(0);
    auto magnitude = static_cast<std::uint64_t>(value);
    if (negative) magnitude = 0 - magnitude;
    const int dropped = std::max(0, static_cast<int>(std::bit_width(magnitude)) - 24);
    const bool inexact = (magnitude & ((std::uint64_t{1} << dropped) - 1)) != 0;
    const float kept = std::ldexp(static_cast<float>(magnitude >> dropped | (inexact ? 1U : 0U)), dropped);
    return negative ? -kept : kept;
  }
}

}  // namespace lamella::core
