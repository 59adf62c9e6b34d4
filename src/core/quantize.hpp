// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/math.hpp"

/// Keras' arithmetic of quantized layers, for float and double. `round` rounds to the type that the layer computes in, after
/// every operation as Keras does; for that type itself it is the identity.
namespace lamella::core {

/// What a row is multiplied by before it is rounded to integers; `largest` is the largest |x| of the row, NaN when one is.
template <typename T, typename Round>
LAMELLA_HD T row_factor(T largest, int high, T epsilon, const Round& round) {
  return round(static_cast<T>(high) / round(largest + round(epsilon)));
}

/// An element of a row as an integer in [low, high]; NaN is 0.
template <typename T, typename Round>
LAMELLA_HD int to_integer(T x, T factor, int low, int high, const Round& round) {
  constexpr T kRound = sizeof(T) == 4 ? T(0x1.8p23) : T(0x1.8p52);  // adding it rounds to an integer, to even when there are two
  const T clipped = math::clip(round(x * factor), static_cast<T>(low), static_cast<T>(high));
  const T whole = (clipped + kRound) - kRound;
  return whole != whole ? 0 : static_cast<int>(whole);
}

/// A sum of products of integers as a number.
template <typename T, typename Round>
LAMELLA_HD T from_integer(std::int32_t sum, T scale, T factor, const Round& round) {
  return round(round(static_cast<T>(sum)) / round(scale * factor));
}

/// A weight.
template <typename T, typename Round>
LAMELLA_HD T dequantized(int q, T zero, T scale, const Round& round) {
  return round((static_cast<T>(q) - zero) * scale);
}

/// The signed four bits that are the lower ones, or the upper ones, of a byte.
LAMELLA_HD int low_nibble(unsigned byte) { return static_cast<int>((byte & 15U) ^ 8U) - 8; }
LAMELLA_HD int high_nibble(unsigned byte) { return static_cast<int>(((byte >> 4U) & 15U) ^ 8U) - 8; }

}  // namespace lamella::core
