// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <random>

#include "device/op_truth.hpp"

namespace lamella::test {
namespace {

struct Integer {
  DType dtype;
  int bits;
  bool is_signed;
};
constexpr Integer kIntegers[] = {{DType::int8, 8, true},     {DType::int16, 16, true},  {DType::int32, 32, true},
                                 {DType::int64, 64, true},   {DType::uint8, 8, false},  {DType::uint16, 16, false},
                                 {DType::uint32, 32, false}, {DType::uint64, 64, false}};
constexpr DType kAll[] = {
#define LAMELLA_DTYPE(enumerator, ...) DType::enumerator,
#include <lamella/dtype.def>
};

double lowest(const Integer& type) { return type.is_signed ? -std::ldexp(1.0, type.bits - 1) : 0.0; }
double past(const Integer& type) { return std::ldexp(1.0, type.is_signed ? type.bits - 1 : type.bits); }

/// A whole number modulo 2^bits, exact below 2^53.
double wrapped(double x, const Integer& type) {
  const double modulus = std::ldexp(1.0, type.bits);
  double rest = std::fmod(x, modulus);
  if (rest < lowest(type)) return rest + modulus;
  return rest >= past(type) ? rest - modulus : rest;
}

/// The integer that to_integer() gives for a floating value; as a double, the largest 64-bit integer is 2^63 or 2^64.
double clamped(double x, const Integer& type) {
  if (std::isnan(x)) return 0;
  const double most = type.bits == 64 ? past(type) : past(type) - 1;
  return std::clamp(std::trunc(x), lowest(type), most) + 0.0;
}

std::vector<double> cast(const std::vector<double>& x, DType from, DType to) {
  return run(ops::CastDesc{static_cast<std::int64_t>(x.size()), from, to}, constants_of({}), sources({x}, from), to, x.size());
}

const std::vector<double> kFloats{0,     0.5,      -0.5,      1.9,   -1.9,  127.5, 128, -128.9, 255.75,    256,
                                  300,   -300,     32767,     32768, 65535, 65536, 3e9, -3e9,   1e20,      -1e20,
                                  1e300, INFINITY, -INFINITY, NAN,   -0.0,  7,     2e9, 0x1p63, -0x1.8p63, 0x1p64};
const std::vector<double> kWhole{0,     1,     -1,    2,      127,      -128,      200,         300,
                                 -300,  32768, 70000, -70000, 0x1p31,   -0x1p31,   0x1p32 + 7,  0x1p40 + 255,
                                 65535, 256,   255,   129,    16777217, -16777217, 2147483647.0};

std::vector<double> wrapped(const std::vector<double>& x, const Integer& type) {
  std::vector<double> result;
  for (const double v : x) result.push_back(wrapped(v, type));
  return result;
}

/// Whole numbers of a type. None wrap around in uint64, where they would not be exact as doubles.
std::vector<double> whole(const Integer& type) {
  std::vector<double> result = kWhole;
  for (double& v : result) v = type.dtype == DType::uint64 ? std::fabs(v) : wrapped(v, type);
  return result;
}

TEST(IntegerCastTest, CutsAndClampsFloatingValues) {
  for (const DType from : {DType::float32, DType::float16, DType::bfloat16, DType::float64}) {
    const std::vector<double> x = rounded(kFloats, from);
    for (const Integer& to : kIntegers) {
      std::vector<double> want;
      for (const double v : x) want.push_back(clamped(v, to));
      EXPECT_EQ(cast(x, from, to.dtype), want) << to_string(from) << " to " << to_string(to.dtype);
    }
  }
}

TEST(IntegerCastTest, KeepsTheLowBitsOfIntegers) {
  for (const Integer& from : kIntegers) {
    const std::vector<double> x = whole(from);
    for (const Integer& to : kIntegers)
      EXPECT_EQ(cast(x, from.dtype, to.dtype), wrapped(x, to)) << to_string(from.dtype) << " to " << to_string(to.dtype);
    for (const DType to : {DType::float32, DType::float16, DType::bfloat16})
      EXPECT_EQ(cast(x, from.dtype, to), rounded(rounded(x, DType::float32), to))
          << to_string(from.dtype) << " to " << to_string(to);
    EXPECT_EQ(cast(x, from.dtype, DType::float64), x) << to_string(from.dtype);
  }
}

TEST(IntegerCastTest, MakesTrueOfEverythingExceptZero) {
  for (const DType from : kAll) {
    const std::vector<double> x = rounded(
        is_floating(from) ? std::vector<double>{0, -0.0, 0.5, NAN, -INFINITY, 1e-3} : std::vector<double>{0, 0, 1, 100, 64, 3},
        from);
    const std::vector<double> truth = cast(x, from, DType::boolean);
    EXPECT_EQ(truth, (std::vector<double>{0, 0, 1, 1, 1, 1})) << to_string(from);
    EXPECT_EQ(cast(truth, DType::boolean, from), truth) << to_string(from);
  }
}

double fold(ops::CombineKind kind, double a, double b) {
  switch (kind) {
    case ops::CombineKind::subtract:
      return a - b;
    case ops::CombineKind::multiply:
      return a * b;
    case ops::CombineKind::maximum:
      return std::max(a, b);
    case ops::CombineKind::minimum:
      return std::min(a, b);
    default:
      return a + b;
  }
}

TEST(IntegerCombineTest, WrapsAround) {
  std::mt19937_64 random(7);
  using K = ops::CombineKind;
  for (const Integer& type : kIntegers) {
    const int most = std::min(type.bits, 26);  // products must be exact as doubles
    for (const K kind : {K::add, K::subtract, K::multiply, K::maximum, K::minimum}) {
      if (kind == K::subtract && type.dtype == DType::uint64) continue;  // differences that wrap are not exact as doubles
      for (const std::size_t count : {2U, 20U}) {                        // 20 are more than one launch takes
        const std::size_t n = 67;
        std::vector<std::vector<double>> x(count);
        for (auto& source : x) {
          for (std::size_t i = 0; i < n; ++i) source.push_back(wrapped(static_cast<double>(random() >> (64 - most)), type));
        }
        std::vector<double> want = x[0];
        for (std::size_t s = 1; s < count; ++s) {
          for (std::size_t i = 0; i < n; ++i) want[i] = wrapped(fold(kind, want[i], x[s][i]), type);
          if (kind == K::multiply && type.bits > 26) break;
        }
        if (kind == K::multiply && type.bits > 26) x.resize(2);
        const std::vector<Shape> shapes(x.size(), Shape{n});
        EXPECT_EQ(
            run(ops::CombineDesc{kind, shapes[0], shapes, type.dtype}, constants_of({}), sources(x, type.dtype), type.dtype, n),
            want)
            << to_string(type.dtype) << ' ' << static_cast<int>(kind) << ' ' << count;
      }
    }
  }
}

TEST(IntegerCombineTest, WrapsAroundAtTheEndsOf64Bits) {
  const Shape one{1};
  const std::vector<Shape> both(2, one);
  const auto twice = [&](double x, ops::CombineKind kind, DType dtype) {
    return run(ops::CombineDesc{kind, one, both, dtype}, constants_of({}), sources({{x}, {x}}, dtype), dtype, 1)[0];
  };
  EXPECT_EQ(twice(-0x1p63, ops::CombineKind::add, DType::int64), 0);
  EXPECT_EQ(twice(0x1p32, ops::CombineKind::multiply, DType::int64), 0);
  EXPECT_EQ(twice(0x1p62, ops::CombineKind::add, DType::int64), -0x1p63);
  EXPECT_EQ(twice(0x1p63, ops::CombineKind::add, DType::uint64), 0);
  EXPECT_EQ(twice(-2147483648.0, ops::CombineKind::multiply, DType::int32), 0);
}

TEST(IntegerActivationTest, ReluStaysInItsType) {
  for (const Integer& type : kIntegers) {
    const std::vector<double> x = whole(type);
    for (const ActivationSpec& spec : {ActivationSpec::relu(0), ActivationSpec::relu(0, 6.5),
                                       ActivationSpec::relu(0, std::nullopt, 2.5), ActivationSpec::relu(0, 200, 100)}) {
      const bool general = spec.kind == ActivationKind::ReluGeneral;
      const double threshold = general ? std::trunc(spec.parameters[2]) : 0;
      const double highest = general ? clamped(spec.parameters[1], type) : INFINITY;
      std::vector<double> want;
      for (const double v : x) want.push_back(std::min(v > threshold ? v : 0.0, highest));
      const auto n = static_cast<std::int64_t>(x.size());
      EXPECT_EQ(run(ops::ActivationDesc{n, spec, type.dtype}, constants_of({}), sources({x}, type.dtype), type.dtype, x.size()),
                want)
          << to_string(type.dtype) << " threshold " << threshold;
    }
  }
}

TEST(IntegerMoveTest, ConcatAndTransposeTakeEveryType) {
  for (const DType dtype : kAll) {
    EXPECT_THAT(run(ops::ConcatDesc{2, {1, 0, 2}, dtype}, constants_of({}), sources({{1, 0}, {}, {1, 1, 0, 1}}, dtype), dtype, 6),
                testing::ElementsAre(1, 1, 1, 0, 0, 1));
    EXPECT_THAT(run(ops::TransposeDesc{{2, 3}, {1, 0}, dtype}, constants_of({}), sources({{1, 0, 0, 1, 1, 0}}, dtype), dtype, 6),
                testing::ElementsAre(1, 1, 0, 1, 0, 0));
  }
}

}  // namespace
}  // namespace lamella::test
