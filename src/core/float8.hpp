// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/math.hpp"

/// Numbers in float8 E4M3 (no infinities): four exponent bits, three mantissa bits, the largest is 448.
namespace lamella::core {

template <typename T>
inline constexpr T kLargestE4M3 = T(448);

/// The E4M3 number nearest to x, ties to even; |x| <= 448. NaN stays NaN, zeros keep their sign.
template <typename T>
LAMELLA_HD T round_to_e4m3(T x) {
  // Adding and subtracting a number whose last bit is the last bit wanted rounds to it: 2^-9 below the smallest normal number,
  // 2^-6.
  constexpr T kSubnormal = sizeof(T) == 4 ? T(0x1.8p14) : T(0x1.8p43);
  if (math::abs(x) < T(0x1p-6)) return math::copysign((math::abs(x) + kSubnormal) - kSubnormal, x);
  if (x != x) return x;
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  constexpr unsigned kDropped = sizeof(T) == 4 ? 20 : 49;  // bits of the significand
  constexpr Bits kHalf = Bits{1} << (kDropped - 1);
  Bits bits = __builtin_bit_cast(Bits, x);
  bits += kHalf - 1 + ((bits >> kDropped) & 1U);
  return __builtin_bit_cast(T, bits >> kDropped << kDropped);
}

/// Keras' quantize and dequantize; `round` rounds to the compute type.
template <typename T, typename Round>
LAMELLA_HD T through_e4m3(T x, T scale, const Round& round) {
  const T clipped = math::clip(round(x / scale), -kLargestE4M3<T>, kLargestE4M3<T>);
  return round(round_to_e4m3(clipped) * scale);
}

}  // namespace lamella::core
