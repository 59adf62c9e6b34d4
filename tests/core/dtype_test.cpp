// SPDX-License-Identifier: Apache-2.0
#include <lamella/dtype.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <lamella/error.hpp>
#include <limits>
#include <random>

#include "core/visit_dtype.hpp"

namespace lamella {
namespace {

/// The value of binary16 bits, as the standard defines it.
double value_of(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int mantissa = bits & 1023;
  const double magnitude = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

/// Rounds to binary16: the spacing at |x| is a power of two, and rint() rounds the quotient to nearest even.
std::uint16_t expected_bits(float x) {
  const auto sign = static_cast<std::uint16_t>(std::signbit(x) ? 0x8000U : 0U);
  const double magnitude = std::fabs(static_cast<double>(x));
  if (magnitude == 0.0) return sign;
  const int exponent = std::max(std::ilogb(magnitude), -14);
  const double quanta = std::rint(std::ldexp(magnitude, 10 - exponent));  // 1024..2048, less where subnormal
  const int bits = (exponent + 14) * 1024 + static_cast<int>(std::min(quanta, 4096.0));
  return static_cast<std::uint16_t>(sign | (std::min(std::isinf(x) ? 0x7C00 : bits, 0x7C00)));
}

TEST(DTypeTest, NamesAreKerasNamesAndInvertible) {
  int count = 0;
  for (const char* known : {"float32", "float16", "bfloat16", "float64", "bool", "int8", "int16", "int32", "int64", "uint8",
                            "uint16", "uint32", "uint64"}) {
    const DType dtype = dtype_of(known);
    EXPECT_EQ(to_string(dtype), known);
    EXPECT_EQ(static_cast<int>(dtype), count++) << known;
    core::visit_dtype(dtype, [&](auto value) {
      EXPECT_EQ(dtype_v<decltype(value)>, dtype) << known;
      EXPECT_EQ(size_of(dtype), sizeof(value)) << known;
    });
  }
  EXPECT_EQ(to_string(DType::bfloat16), "bfloat16");
  EXPECT_EQ(size_of(DType::float64), 8U);
  EXPECT_EQ(size_of(DType::uint8), 1U);
  EXPECT_EQ(size_of(dtype_v<bfloat16>), sizeof(bfloat16));
}

TEST(DTypeTest, RefusesUnknownNamesAndListsTheKnown) {
  for (const char* wrong : {"", "Float32", "float", "boolean", "float32 "}) {
    try {
      static_cast<void>(dtype_of(wrong));
      FAIL() << wrong;
    } catch (const ArgumentError& error) {
      EXPECT_EQ(error.code(), ErrorCode::dtype);
      EXPECT_THAT(error.what(), testing::HasSubstr("bfloat16"));
    }
  }
}

TEST(Float16Test, WidensEveryValueExactlyAndNarrowsItBack) {
  for (std::uint32_t i = 0; i < 0x10000; ++i) {
    float16 half;
    half.bits = static_cast<std::uint16_t>(i);
    const auto wide = static_cast<float>(half);
    if ((i & 0x7C00U) == 0x7C00U) {
      EXPECT_EQ(std::isnan(wide), (i & 0x3FFU) != 0) << i;
      EXPECT_EQ(std::isinf(wide), (i & 0x3FFU) == 0) << i;
    } else {
      ASSERT_EQ(static_cast<double>(wide), value_of(half.bits)) << i;
    }
    EXPECT_EQ(std::signbit(wide), i >= 0x8000U) << i;
    if (std::isnan(wide)) {
      EXPECT_TRUE(std::isnan(static_cast<float>(float16(wide)))) << i;
    } else {
      ASSERT_EQ(float16(wide), half) << i;
    }
  }
}

TEST(Float16Test, RoundsToNearestEvenEverywhere) {
  const auto check = [](float x) { ASSERT_EQ(float16(x).bits, expected_bits(x)) << std::hexfloat << x; };
  for (std::uint16_t i = 0; i < 0x7C00; ++i) {  // each value, each midpoint of two, and the floats next to them
    const auto low = static_cast<float>(value_of(i));
    const auto middle =
        static_cast<float>((value_of(i) + (i == 0x7BFF ? 65536.0 : value_of(static_cast<std::uint16_t>(i + 1)))) / 2);
    for (const float x : {low, middle}) {
      for (const float y : {x, std::nextafter(x, -1.0F), std::nextafter(x, INFINITY)}) {
        check(y);
        check(-y);
      }
    }
  }
  std::mt19937 random(5);
  for (int i = 0; i < 2'000'000; ++i) {
    const auto x = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    if (!std::isnan(x)) check(x);
  }
  check(INFINITY);
  check(std::numeric_limits<float>::max());
  check(std::numeric_limits<float>::denorm_min());
}

TEST(Bfloat16Test, WidensAndNarrowsEveryValue) {
  for (std::uint32_t i = 0; i < 0x10000; ++i) {
    bfloat16 value;
    value.bits = static_cast<std::uint16_t>(i);
    const auto wide = static_cast<float>(value);
    if (std::isnan(wide)) {
      EXPECT_TRUE(std::isnan(static_cast<float>(bfloat16(wide)))) << i;
    } else {
      ASSERT_EQ(bfloat16(wide), value) << i;
    }
  }
}

TEST(Bfloat16Test, RoundsToNearestEven) {
  EXPECT_EQ(bfloat16(std::bit_cast<float>(0x3F808000U)).bits, 0x3F80);
  EXPECT_EQ(bfloat16(std::bit_cast<float>(0x3F808001U)).bits, 0x3F81);
  EXPECT_EQ(bfloat16(std::bit_cast<float>(0x3F818000U)).bits, 0x3F82);
  EXPECT_EQ(bfloat16(std::numeric_limits<float>::max()).bits, 0x7F80);
  EXPECT_TRUE(std::isnan(static_cast<float>(bfloat16(std::bit_cast<float>(0x7F800001U)))));
}

}  // namespace
}  // namespace lamella
