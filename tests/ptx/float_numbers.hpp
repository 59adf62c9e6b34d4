// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

/// Rules of PTX for floating-point numbers that differ from the host's.
namespace ptx {

/// In float32 a NaN result has one fixed bit pattern.
inline float canonical(float x) { return std::isnan(x) ? std::bit_cast<float>(0x7FFF'FFFFU) : x; }
/// In float64 NaN keeps its bits.
inline double canonical(double x) { return x; }

inline float flush(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0F, x) : x; }
inline double flush(double x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0, x) : x; }

/// A 16-bit floating format: the stored bits of its significand, and those of its exponent.
struct Half {
  int significand;
  int exponent;
};

/// Rounded once, to nearest even.
template <int kSignificand, int kExponent>
std::uint16_t encode(float x) {
  constexpr int kBias = (1 << (kExponent - 1)) - 1;
  constexpr int kDropped = 52 - kSignificand;
  if (std::isnan(x)) return 0x7FFF;
  // Exact: scaled by the format's bias, the exponent of a float64 is the format's own, also for its subnormal numbers.
  const double low = std::fmin(std::fabs(double{x}), std::ldexp(1.0, kBias + 1)) * std::ldexp(1.0, kBias - 1023);
  auto bits = std::bit_cast<std::uint64_t>(low);
  bits += (std::uint64_t{1} << (kDropped - 1)) - 1 + (bits >> kDropped & 1);
  return static_cast<std::uint16_t>(bits >> kDropped | (std::signbit(x) ? 0x8000U : 0U));
}
template <int kSignificand, int kExponent>
std::uint16_t encode(double x) {
  constexpr Half format{kSignificand, kExponent};
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
template <int kSignificand, int kExponent>
double decode(std::uint16_t bits) {
  constexpr int kBias = (1 << (kExponent - 1)) - 1;
  const std::uint64_t magnitude = bits & 0x7FFFU;
  double x = std::bit_cast<double>(magnitude << (52 - kSignificand)) * std::ldexp(1.0, 1023 - kBias);
  if (magnitude >> kSignificand == (1U << kExponent) - 1) x = magnitude << (64 - kSignificand) == 0 ? HUGE_VAL : std::nan("");
  return (bits & 0x8000) != 0 ? -x : x;
}

/// 0 .. 1, NaN as 0
template <typename T>
T saturate(T x) {
  return x > T{0} ? (x < T{1} ? x : T{1}) : T{0};
}

}  // namespace ptx
