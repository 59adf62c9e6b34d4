// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/math.hpp"

/// Keras' arithmetic of quantized layers, for float and double. `round` rounds to the layer's compute type after every operation,
/// as Keras does; if T is that type, it is the identity.
namespace lamella::core {

/// The factor applied to a row before it is rounded to integers; `largest` is the largest |x| of the row, or NaN if there is one.
template <typename T, typename Round>
LAMELLA_HD T row_factor(T largest, int high, T epsilon, const Round& round) {
  return round(static_cast<T>(high) / round(largest + round(epsilon)));
}

/// An element of a row as an integer in [low, high]; NaN is 0.
template <typename T, typename Round>
LAMELLA_HD int to_integer(T x, T factor, int low, int high, const Round& round) {
  constexpr T kRound = sizeof(T) == 4 ? T(0x1.8p23) : T(0x1.8p52);  // adding it rounds to an integer, ties to even
  const T clipped = math::clip(round(x * factor), static_cast<T>(low), static_cast<T>(high));
  const T whole = (clipped + kRound) - kRound;
  return whole != whole ? 0 : static_cast<int>(whole);
}

/// Dequantizes a sum of products of integers.
template <typename T, typename Round>
LAMELLA_HD T from_integer(std::int32_t sum, T scale, T factor, const Round& round) {
  return round(round(static_cast<T>(sum)) / round(scale * factor));
}

/// Dequantizes a weight.
template <typename T, typename Round>
LAMELLA_HD T dequantized(int q, T zero, T scale, const Round& round) {
  return round((static_cast<T>(q) - zero) * scale);
}

/// The lower or upper four bits of a byte, as a signed integer.
LAMELLA_HD int low_nibble(unsigned byte) { return static_cast<int>((byte & 15U) ^ 8U) - 8; }
LAMELLA_HD int high_nibble(unsigned byte) { return static_cast<int>(((byte >> 4U) & 15U) ^ 8U) - 8; }

}  // namespace lamella::core
