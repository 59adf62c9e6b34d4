// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

/// What PTX says of floating numbers where the host would say something else.
namespace ptx {

/// NaN has one form in float32.
inline float canonical(float x) { return std::isnan(x) ? std::bit_cast<float>(0x7FFF'FFFFU) : x; }
/// In float64 it keeps its bits.
inline double canonical(double x) { return x; }

inline float flush(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0F, x) : x; }
inline double flush(double x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0, x) : x; }

/// A floating format of 16 bits: its significand's stored bits, and its exponent's.
struct Half {
  int significand;
  int exponent;
};
inline constexpr Half kFloat16{10, 5};
inline constexpr Half kBFloat16{7, 8};

/// Rounded once, to nearest even.
inline std::uint16_t encode(Half format, double x) {
  const std::uint32_t sign = std::signbit(x) ? 0x8000 : 0;
  const std::uint32_t infinity = ((1U << format.exponent) - 1) << format.significand;
  if (std::isnan(x)) return 0x7FFF;
  if (std::isinf(x)) return static_cast<std::uint16_t>(sign | infinity);
  const int lowest = 2 - (1 << (format.exponent - 1));
  const int exponent = x == 0 || std::ilogb(x) < lowest ? lowest : std::ilogb(x);
  if (exponent > 1 - lowest) return static_cast<std::uint16_t>(sign | infinity);
  const auto units = static_cast<std::uint32_t>(std::nearbyint(std::ldexp(std::fabs(x), format.significand - exponent)));
  return static_cast<std::uint16_t>(sign | (units + (static_cast<std::uint32_t>(exponent - lowest) << format.significand)));
}
inline double decode(Half format, std::uint16_t bits) {
  const std::uint32_t field = bits >> format.significand & ((1U << format.exponent) - 1);
  const std::uint32_t fraction = bits & ((1U << format.significand) - 1);
  const int lowest = 2 - (1 << (format.exponent - 1));
  double x = 0;
  if (field == (1U << format.exponent) - 1) {
    x = fraction != 0 ? std::nan("") : HUGE_VAL;
  } else if (field == 0) {
    x = std::ldexp(fraction, lowest - format.significand);
  } else {
    x = std::ldexp(fraction + (1U << format.significand), lowest + static_cast<int>(field) - 1 - format.significand);
  }
  return (bits & 0x8000) != 0 ? -x : x;
}

/// 0 .. 1, NaN as 0
template <typename T>
T saturate(T x) {
  return x > T{0} ? (x < T{1} ? x : T{1}) : T{0};
}

}  // namespace ptx
