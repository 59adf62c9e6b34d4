// SPDX-License-Identifier: Apache-2.0
#include "core/math.hpp"

#include <gmock/gmock.h>

#include <limits>
#include <string>

#include "core/activation_measure.hpp"

namespace lamella::test {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kTiniest = std::numeric_limits<float>::denorm_min();

/// One function: its float version, the truth, its error bound, and the smallest and largest argument that it supports.
struct Function {
  std::string name;
  float (*function)(float);
  double (*truth)(double);
  int bound;
  float lowest;
  float highest;
};
void PrintTo(const Function& function, std::ostream* out) { *out << function.name; }

class EachMathFunction : public testing::TestWithParam<Function> {
 protected:
  void expect_near_truth(float x) const {
    const Function& f = GetParam();
    if (!(x >= f.lowest && x <= f.highest) || !std::isfinite(x)) return;
    const float y = f.function(x);
    ASSERT_LE(ulps(y, f.truth(x)), f.bound) << f.name << "(" << x << ") is " << f.truth(x) << ", got " << y;
  }
};

TEST_P(EachMathFunction, IsNearTheTruthForAllFloats) {
  for (std::uint64_t bits = 0; bits <= 0xFFFF'FFFFU; bits += 1021) {
    expect_near_truth(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
    if (HasFatalFailure()) return;
  }
}

TEST_P(EachMathFunction, IsNearTheTruthAroundPowersOfTwo) {
  for (std::uint32_t exponent = 0; exponent < 255; ++exponent) {
    for (std::uint32_t offset = 0; offset < 128; ++offset) {
      const float x = std::bit_cast<float>((exponent << 23U) + offset - (exponent > 0 ? 64U : 0U));
      expect_near_truth(x);
      expect_near_truth(-x);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(EachMathFunction, PassesNaNOn) { EXPECT_TRUE(std::isnan(GetParam().function(kNaN))); }

INSTANTIATE_TEST_SUITE_P(
    Math, EachMathFunction,
    testing::Values(
        Function{"exp", [](float x) { return core::math::exp(x); }, [](double x) { return std::exp(x); }, 1, -kInf, kInf},
        Function{"expm1", [](float x) { return core::math::expm1(x); }, [](double x) { return std::expm1(x); }, 2, -kInf, kInf},
        Function{"log1p", [](float x) { return core::math::log1p_of_unit(x); }, [](double x) { return std::log1p(x); }, 2, 0, 1},
        Function{"tanh", [](float x) { return core::math::tanh(x); }, [](double x) { return std::tanh(x); }, 2, -kInf, kInf}),
    [](const auto& test) { return test.param.name; });

TEST(MathTest, KeepsTheSignOfZero) {
  EXPECT_TRUE(std::signbit(core::math::expm1(-0.F)));
  EXPECT_TRUE(std::signbit(core::math::tanh(-0.F)));
  EXPECT_FALSE(std::signbit(core::math::expm1(0.F)));
  EXPECT_FALSE(std::signbit(core::math::tanh(0.F)));
  EXPECT_EQ(core::math::exp(-0.F), 1.F);
}

TEST(MathTest, KnowsTheInfinities) {
  EXPECT_EQ(core::math::exp(kInf), kInf);
  EXPECT_EQ(core::math::exp(-kInf), 0.F);
  EXPECT_EQ(core::math::expm1(kInf), kInf);
  EXPECT_EQ(core::math::expm1(-kInf), -1.F);
  EXPECT_EQ(core::math::tanh(kInf), 1.F);
  EXPECT_EQ(core::math::tanh(-kInf), -1.F);
}

TEST(MathTest, OverflowsAndUnderflowsWhereTheTruthDoes) {
  EXPECT_TRUE(std::isfinite(core::math::exp(0x1.62e42ep+6F)));
  EXPECT_EQ(core::math::exp(0x1.62e430p+6F), kInf);
  EXPECT_EQ(core::math::exp(-103.9F), kTiniest);
  EXPECT_EQ(core::math::exp(-104.F), 0.F);
  EXPECT_EQ(core::math::tanh(kTiniest), kTiniest);
  EXPECT_EQ(core::math::expm1(-kTiniest), -kTiniest);
}

TEST(MathTest, MultipliesIntoExpWithoutLosingBitsBelowTheNormals) {
  const float product = core::math::exp_parts(-100.F).times(-100.F);
  EXPECT_LE(ulps(product, -100 * std::exp(-100.)), 1);
}

TEST(MathTest, ClipPassesNaNOn) {
  EXPECT_TRUE(std::isnan(core::math::clip(kNaN, 0.F, 6.F)));
  EXPECT_EQ(core::math::clip(-kInf, 0.F, 6.F), 0.F);
  EXPECT_EQ(core::math::clip(kInf, 0.F, 6.F), 6.F);
}

}  // namespace
}  // namespace lamella::test
