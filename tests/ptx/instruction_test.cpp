// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

#include "tests/ptx/ptx_support.hpp"

/// Compares instructions with the manual.
namespace ptx::test {
namespace {

using testing::ElementsAre;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

std::uint32_t bits(float x) { return std::bit_cast<std::uint32_t>(x); }

/// A random number of any sign and exponent.
std::vector<float> any_floats(std::size_t n, unsigned seed) {
  std::mt19937 generator(seed);
  std::vector<float> values(n);
  for (float& value : values) {
    do {
      value = std::bit_cast<float>(static_cast<std::uint32_t>(generator()));
    } while (std::isnan(value));
  }
  return values;
}

TEST(PtxInstructionTest, IntegersKeepTheirLowBits) {
  const std::vector<std::int32_t> a{std::numeric_limits<std::int32_t>::max(), -7, 7, std::numeric_limits<std::int32_t>::min()};
  const std::vector<std::int32_t> b{1, 2, -2, -1};
  EXPECT_THAT((evaluate<std::int32_t>("add.s32 $d, $a, $b;", a, b)),
              ElementsAre(std::numeric_limits<std::int32_t>::min(), -5, 5, 0x7FFFFFFF));
  EXPECT_THAT((evaluate<std::int32_t>("div.s32 $d, $a, $b;", a, b)),
              ElementsAre(0x7FFFFFFF, -3, -3, std::numeric_limits<std::int32_t>::min()));
  EXPECT_THAT((evaluate<std::int32_t>("rem.s32 $d, $a, $b;", a, b)), ElementsAre(0, -1, 1, 0));
  EXPECT_THAT((evaluate<std::int64_t>("mul.wide.s32 $d, $a, $b;", a, b)),
              ElementsAre(0x7FFFFFFF, -14, -14, std::int64_t{1} << 31));
  EXPECT_THAT((evaluate<std::int32_t>("mul.hi.s32 $d, $a, $b;", a, b)), ElementsAre(0, -1, -1, 0));
  EXPECT_THAT((evaluate<std::int32_t>("mad.lo.s32 $d, $a, $b, 5;", a, b)),
              ElementsAre(std::numeric_limits<std::int32_t>::min() + 4, -9, -9, std::numeric_limits<std::int32_t>::min() + 5));
}

TEST(PtxInstructionTest, ShiftsOfMoreThanTheWidthShiftEverythingOut) {
  const std::vector<std::int32_t> a{-8, -8, -8, -8};
  const std::vector<std::uint32_t> by{1, 31, 32, 77};
  EXPECT_THAT((evaluate<std::int32_t>("shr.s32 $d, $a, $b;", a, by)), ElementsAre(-4, -1, -1, -1));
  EXPECT_THAT((evaluate<std::uint32_t>("shr.u32 $d, $a, $b;", a, by)), ElementsAre(0x7FFFFFFCU, 1U, 0U, 0U));
  EXPECT_THAT((evaluate<std::uint32_t>("shl.b32 $d, $a, $b;", a, by)), ElementsAre(0xFFFFFFF0U, 0U, 0U, 0U));
}

TEST(PtxInstructionTest, WordsAreTakenApart) {
  const std::vector<std::uint32_t> a{0x8899AABB};
  const std::vector<std::uint32_t> b{0x44556677};
  EXPECT_THAT((evaluate<std::uint32_t>("prmt.b32 $d, $a, $b, 0x7340;", a, b)), ElementsAre(0x448877BBU));
  EXPECT_THAT((evaluate<std::uint32_t>("prmt.b32 $d, $a, $b, 0xFB40;", a, b)), ElementsAre(0x00FF77BBU));
  EXPECT_THAT((evaluate<std::uint32_t>("shf.l.wrap.b32 $d, $a, $b, 8;", a, b)), ElementsAre(0x55667788U));
  EXPECT_THAT((evaluate<std::uint32_t>("bfe.u32 $d, $a, 4, 8;", a)), ElementsAre(0xABU));
  EXPECT_THAT((evaluate<std::int32_t>("bfe.s32 $d, $a, 4, 8;", a)), ElementsAre(static_cast<std::int32_t>(0xFFFFFFAB)));
  EXPECT_THAT((evaluate<std::uint32_t>("bfi.b32 $d, $a, $b, 8, 4;", a, b)), ElementsAre(0x44556B77U));
  EXPECT_THAT((evaluate<std::uint32_t>("lop3.b32 $d, $a, $b, 0xFF, 0xEA;", a, b)),
              ElementsAre((0x8899AABBU & 0x44556677U) | 0xFFU));
  EXPECT_THAT((evaluate<std::uint64_t>("mov.b64 $d, {$a, $b};", a, b)), ElementsAre(0x445566778899AABBU));
}

TEST(PtxInstructionTest, FloatsAreRoundedOnce) {
  const std::vector<float> a = any_floats(256, 1);
  const std::vector<float> b = any_floats(256, 2);
  const std::vector<float> c = any_floats(256, 3);
  const std::vector<float> sum = evaluate<float>("add.rn.f32 $d, $a, $b;", a, b);
  const std::vector<float> fused = evaluate<float>("fma.rn.f32 $d, $a, $b, $c;", a, b, c);
  const std::vector<float> quotient = evaluate<float>("div.rn.f32 $d, $a, $b;", a, b);
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(bits(sum[i]), bits(a[i] + b[i]));
    EXPECT_EQ(bits(fused[i]), bits(std::fma(a[i], b[i], c[i])));
    EXPECT_EQ(bits(quotient[i]), bits(a[i] / b[i]));
  }
}

TEST(PtxInstructionTest, OtherRoundingsGoWhereTheySay) {
  const std::vector<float> a{1.0F, -1.0F};
  const std::vector<float> b{0x1p-30F, -0x1p-30F};
  EXPECT_THAT((evaluate<float>("add.rz.f32 $d, $a, $b;", a, b)), ElementsAre(1.0F, -1.0F));
  EXPECT_THAT((evaluate<float>("add.rp.f32 $d, $a, $b;", a, b)), ElementsAre(0x1.000002p0F, -1.0F));
  EXPECT_THAT((evaluate<float>("add.rm.f32 $d, $a, $b;", a, b)), ElementsAre(1.0F, -0x1.000002p0F));
  EXPECT_THAT((evaluate<float>("fma.rm.f32 $d, $a, 0f3F800000, $b;", a, b)), ElementsAre(1.0F, -0x1.000002p0F));
  EXPECT_EQ(1.0F + b[0], 1.0F) << "the rounding of the host was left changed";
}

TEST(PtxInstructionTest, NaNAndZeroesAreAsTheManualSays) {
  const std::vector<float> a{kNaN, 1.0F, -0.0F, kInf, kNaN};
  const std::vector<float> b{2.0F, kNaN, 0.0F, -kInf, kNaN};
  const std::vector<float> low = evaluate<float>("min.f32 $d, $a, $b;", a, b);
  EXPECT_EQ(low[0], 2.0F);
  EXPECT_EQ(low[1], 1.0F);
  EXPECT_TRUE(std::signbit(low[2]));
  EXPECT_EQ(bits(low[4]), 0x7FFFFFFFU);
  EXPECT_EQ(bits(evaluate<float>("add.f32 $d, $a, $b;", a, b)[3]), 0x7FFFFFFFU);
  EXPECT_THAT((evaluate<std::uint32_t>("setp.lt.f32 %p1, $a, $b; selp.b32 $d, 1, 0, %p1;", a, b)), ElementsAre(0, 0, 0, 0, 0));
  EXPECT_THAT((evaluate<std::uint32_t>("setp.ltu.f32 %p1, $a, $b; selp.b32 $d, 1, 0, %p1;", a, b)), ElementsAre(1, 1, 0, 0, 1));
  EXPECT_THAT((evaluate<float>("copysign.f32 $d, $a, $b;", std::vector<float>{-0.0F}, std::vector<float>{3.0F})),
              ElementsAre(-3.0F));
}

TEST(PtxInstructionTest, ConversionsToIntegersClamp) {
  const std::vector<float> x{2.5F, -2.5F, 3e10F, -3e10F, kNaN};
  EXPECT_THAT((evaluate<std::int32_t>("cvt.rzi.s32.f32 $d, $a;", x)),
              ElementsAre(2, -2, 0x7FFFFFFF, std::numeric_limits<std::int32_t>::min(), 0));
  EXPECT_THAT((evaluate<std::int32_t>("cvt.rni.s32.f32 $d, $a;", x)),
              ElementsAre(2, -2, 0x7FFFFFFF, std::numeric_limits<std::int32_t>::min(), 0));
  EXPECT_THAT((evaluate<std::int32_t>("cvt.rmi.s8.f32 %rs1, $a; cvt.s32.s16 $d, %rs1;", x)), ElementsAre(2, -3, 127, -128, 0));
  EXPECT_THAT((evaluate<std::int64_t>("cvt.rzi.s64.f32 $d, $a;", std::vector<float>{kNaN, 3e10F})),
              ElementsAre(std::numeric_limits<std::int64_t>::min(), 30000001024));
  EXPECT_THAT((evaluate<float>("cvt.sat.f32.f32 $d, $a;", x)), ElementsAre(1.0F, 0.0F, 1.0F, 0.0F, 0.0F));
}

TEST(PtxInstructionTest, SixteenBitFloatsAreRoundedToNearestEven) {
  const std::vector<float> x{1.0F, 0x1.002p0F, 0x1.006p0F, 65519.0F, 65520.0F, 0x1p-24F, 0x1p-25F, -0.0F, kInf};
  EXPECT_THAT((evaluate<std::uint16_t>("cvt.rn.f16.f32 $d, $a;", x)),
              ElementsAre(0x3C00, 0x3C00, 0x3C02, 0x7BFF, 0x7C00, 1, 0, 0x8000, 0x7C00));
  EXPECT_THAT(
      (evaluate<std::uint16_t>("cvt.rn.bf16.f32 $d, $a;", std::vector<float>{1.0F, 0x1.01p0F, 0x1.03p0F, -3.4e38F, 0x1p-133F})),
      ElementsAre(0x3F80, 0x3F80, 0x3F82, 0xFF80, 1));
  const std::vector<float> high{1.0F, -0x1.03p0F, kNaN};
  const std::vector<float> low{-2.0F, 0x1.01p0F, kInf};
  EXPECT_THAT((evaluate<std::uint32_t>("cvt.rn.bf16x2.f32 $d, $a, $b;", high, low)),
              ElementsAre(0x3F80C000U, 0xBF823F80U, 0x7FFF7F80U));
  EXPECT_THAT((evaluate<std::uint32_t>("cvt.rn.f16x2.f32 $d, $a, $b;", high, low)),
              ElementsAre(0x3C00C000U, 0xBC0C3C04U, 0x7FFF7C00U));
  std::vector<std::uint16_t> all;
  for (std::uint32_t i = 0; i < 1024; ++i) all.push_back(static_cast<std::uint16_t>(i * 61 % 0x7C00));
  EXPECT_EQ((evaluate<std::uint16_t>("cvt.f32.f16 %f1, $a; cvt.rn.f16.f32 $d, %f1;", all)), all);
  EXPECT_EQ((evaluate<std::uint16_t>("cvt.f32.bf16 %f1, $a; cvt.rn.bf16.f32 $d, %f1;", all)), all);
}

TEST(PtxInstructionTest, ApproximationsAreRoundedOnceOrAsFarOffAsDocumented) {
  std::vector<float> x;
  for (int i = 0; i < 256; ++i) x.push_back(-20.0F + 0.15F * static_cast<float>(i));
  Launch rough;
  rough.approximation_error = 1;
  const std::vector<float> exact = evaluate<float>("ex2.approx.ftz.f32 $d, $a;", x);
  const std::vector<float> off = evaluate_as<float>(rough, "ex2.approx.ftz.f32 $d, $a;", x);
  int up = 0;
  int down = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double truth = std::exp2(static_cast<double>(x[i]));
    EXPECT_EQ(exact[i], static_cast<float>(truth));
    const double ulp = std::ldexp(1.0, std::ilogb(exact[i]) - 23);
    EXPECT_LE(std::fabs(static_cast<double>(off[i]) - static_cast<double>(exact[i])), 2 * ulp);
    up += off[i] > exact[i] ? 1 : 0;
    down += off[i] < exact[i] ? 1 : 0;
  }
  EXPECT_GT(up, 80);
  EXPECT_GT(down, 80);
  EXPECT_THAT((evaluate<float>("ex2.approx.ftz.f32 $d, $a;", std::vector<float>{-127.0F, -149.0F})), ElementsAre(0.0F, 0.0F));
  EXPECT_THAT((evaluate<float>("ex2.approx.f32 $d, $a;", std::vector<float>{-127.0F, -149.0F})),
              ElementsAre(0x1p-127F, 0x1p-149F));
}

}  // namespace
}  // namespace ptx::test
