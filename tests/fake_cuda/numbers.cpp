// SPDX-License-Identifier: Apache-2.0
#include "numbers.hpp"

#include <cmath>

namespace fake_cuda::inside {
namespace {

/// Rounds to `digits` bits of significand with exponents from `least` on.
double round_to(double value, int digits, int least) {
  if (value == 0 || !std::isfinite(value)) return value;
  const int exponent = std::max(std::ilogb(value), least);
  const double unit = std::ldexp(1.0, exponent - digits + 1);
  return std::nearbyint(value / unit) * unit;
}

}  // namespace

double from_float16(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int fraction = bits & 1023;
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  if (exponent == 31) return fraction != 0 ? std::nan("") : sign * HUGE_VAL;
  return sign * (exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25));
}

std::uint16_t to_float16(double value) {
  const unsigned sign = std::signbit(value) ? 0x8000 : 0;
  if (std::isnan(value)) return static_cast<std::uint16_t>(sign | 0x7E00);
  const double magnitude = std::fabs(round_to(value, 11, -14));
  if (magnitude >= 65536) return static_cast<std::uint16_t>(sign | 0x7C00);
  if (magnitude < std::ldexp(1.0, -14))
    return static_cast<std::uint16_t>(sign | static_cast<unsigned>(std::ldexp(magnitude, 24)));
  const int exponent = std::ilogb(magnitude);
  const auto fraction = static_cast<unsigned>(std::ldexp(magnitude, 10 - exponent)) - 1024;
  return static_cast<std::uint16_t>(sign | static_cast<unsigned>(exponent + 15) << 10 | fraction);
}

std::uint16_t to_bfloat16(double value) {
  if (std::isnan(value)) return 0x7FC0;
  const auto rounded = static_cast<float>(round_to(value, 8, -126));  // values past the largest become infinity here
  return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(rounded) >> 16);
}

float to_tf32(float value) { return static_cast<float>(round_to(value, 11, -126)); }

}  // namespace fake_cuda::inside
