// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/kernel_support.hpp"

#include <bit>
#include <cmath>
#include <numeric>

namespace lamella::test {
namespace {

using kernels::CombineKind;
using Shape = std::vector<std::int64_t>;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::int64_t product(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

/// The indices of element i.
Shape indices(std::int64_t i, const Shape& shape) {
  Shape result(shape.size());
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    result[axis] = i % shape[axis];
    i /= shape[axis];
  }
  return result;
}

Shape strides(const Shape& shape) {
  Shape result(shape.size(), 1);
  for (std::size_t axis = shape.size(); axis-- > 1;) result[axis - 1] = result[axis] * shape[axis];
  return result;
}

// ---- combine ----

struct Combination {
  CombineKind kind = CombineKind::add;
  DType dtype = DType::float32;
  Shape dst;
  std::vector<Shape> srcs;
  bool aligned = true;
};

double folded(CombineKind kind, double a, double b) {
  switch (kind) {
    case CombineKind::subtract:
      return a - b;
    case CombineKind::multiply:
      return a * b;
    case CombineKind::divide:
      return a / b;
    case CombineKind::maximum:
      return std::isnan(a) || std::isnan(b) ? kNaN : std::fmax(a, b);
    case CombineKind::minimum:
      return std::isnan(a) || std::isnan(b) ? kNaN : std::fmin(a, b);
    default:
      return a + b;
  }
}

std::vector<double> run(const Combination& c, const std::vector<std::vector<double>>& x) {
  std::vector<Buffer> buffers;
  std::vector<kernels::CombineSource> sources;
  for (std::size_t s = 0; s < c.srcs.size(); ++s) {
    buffers.emplace_back(x[s], c.dtype, c.aligned);
    const Shape steps = strides(c.srcs[s]);
    kernels::CombineSource source{.data = buffers.back().data()};
    for (std::size_t axis = 0; axis < c.dst.size(); ++axis) source.strides[axis] = c.srcs[s][axis] == 1 ? 0 : steps[axis];
    sources.push_back(source);
  }
  for (std::size_t s = 0; s < sources.size(); ++s) sources[s].data = buffers[s].data();
  Buffer dst(product(c.dst), c.dtype, c.aligned);
  kernels::Combine args{
      .kind = c.kind, .dtype = c.dtype, .sources = sources, .dst = dst.data(), .axes = static_cast<int>(c.dst.size())};
  std::copy(c.dst.begin(), c.dst.end(), args.shape);
  Buffer workspace(static_cast<std::int64_t>(kernels::combine_workspace(args)), DType::uint8, true);
  args.workspace = workspace.data();
  EXPECT_EQ(kernels::combine(args, nullptr), cudaSuccess);
  EXPECT_TRUE(dst.guarded());
  EXPECT_TRUE(workspace.guarded());
  return dst.values();
}

void check(const Combination& c) {
  std::vector<std::vector<double>> x;
  for (const Shape& shape : c.srcs) x.push_back(random_values(product(shape), static_cast<unsigned>(50 + x.size()), c.dtype));
  const std::vector<double> y = run(c, x);
  const double roundoff = spacing(compute_of(c.dtype), 1.0) / 2;
  for (std::int64_t i = 0; i < product(c.dst); ++i) {
    double wanted = 0;
    double size = 0;
    for (std::size_t s = 0; s < x.size(); ++s) {
      const Shape index = indices(i, c.dst);
      const Shape steps = strides(c.srcs[s]);
      std::int64_t at = 0;
      for (std::size_t axis = 0; axis < index.size(); ++axis) at += (c.srcs[s][axis] == 1 ? 0 : index[axis]) * steps[axis];
      const double value = x[s][static_cast<std::size_t>(at)];
      wanted = s == 0 ? value : folded(c.kind, wanted, value);
      const bool relative = c.kind == CombineKind::multiply || c.kind == CombineKind::divide;
      size = std::max(size, std::fabs(wanted)) + (relative ? 0 : std::fabs(value));
    }
    if (c.kind == CombineKind::average) wanted /= static_cast<double>(x.size());
    const double got = y[static_cast<std::size_t>(i)];
    ASSERT_TRUE(is_rounded(got, wanted, c.dtype, static_cast<double>(x.size()) * roundoff * size))
        << to_string(c.dtype) << " kind " << static_cast<int>(c.kind) << " at " << i << ": " << wanted << ", got " << got;
  }
}

constexpr std::array<CombineKind, 7> kKinds = {CombineKind::add,     CombineKind::subtract, CombineKind::multiply,
                                               CombineKind::average, CombineKind::maximum,  CombineKind::minimum,
                                               CombineKind::divide};

TEST(CombineKernelTest, IsRightInAnySizeForEveryKindAndType) {
  for (const CombineKind kind : kKinds) {
    for (const DType dtype : kFloating) {
      for (const std::int64_t n : kSizes) {
        for (const bool aligned : {true, false}) check({kind, dtype, {n}, {{n}, {n}, {n}}, aligned});
      }
    }
  }
}

TEST(CombineKernelTest, BroadcastsAlongAnyAxis) {
  for (const DType dtype : kFloating) {
    for (const CombineKind kind : {CombineKind::subtract, CombineKind::maximum}) {
      check({kind, dtype, {5, 33}, {{5, 33}, {1, 33}}});
      check({kind, dtype, {5, 40}, {{5, 40}, {5, 1}}});
      check({kind, dtype, {5, 40}, {{1, 40}, {5, 1}}});
      check({kind, dtype, {2, 3, 4, 5}, {{2, 1, 4, 1}, {1, 3, 1, 5}, {2, 3, 4, 5}}});
      check({kind, dtype, {1, 3, 1, 16}, {{1, 3, 1, 16}, {1, 1, 1, 1}}});
      check({kind, dtype, {300, 2, 2}, {{300, 1, 2}, {300, 2, 1}}});
      check({kind, dtype, {3, 0, 4}, {{3, 0, 4}, {1, 1, 4}}});
      check({kind, dtype, {}, {{}, {}}});
    }
  }
}

TEST(CombineKernelTest, FoldsMoreSourcesThanOneLaunchWithOneRounding) {
  for (const CombineKind kind : kKinds) {
    for (const DType dtype : kFloating) {
      check({kind, dtype, {4, 35}, std::vector<Shape>(16, {4, 35})});
      check({kind,
             dtype,
             {4, 40},
             {{4, 40}, {1, 40}, {4, 1}, {4, 40}, {1, 1}, {4, 40}}});  // read in groups of four, with each kind in one
      check({kind, dtype, {4, 35}, std::vector<Shape>(40, {4, 35})});
      check({kind, dtype, {4, 40}, std::vector<Shape>(33, {1, 40})});
    }
  }
}

TEST(CombineKernelTest, MaximumAndMinimumPassNaNOnFromEitherSide) {
  for (const CombineKind kind : {CombineKind::maximum, CombineKind::minimum}) {
    const std::vector<double> y = run({kind, DType::float32, {4}, {{4}, {4}}}, {{kNaN, 1, -kInf, 2}, {1, kNaN, 3, kInf}});
    EXPECT_TRUE(std::isnan(y[0]) && std::isnan(y[1]));
    EXPECT_EQ(y[2], kind == CombineKind::maximum ? 3 : -kInf);
    EXPECT_EQ(y[3], kind == CombineKind::maximum ? kInf : 2);
  }
}

TEST(CombineKernelTest, RefusesNoSources) {
  kernels::Combine args;
  args.axes = 1;
  args.shape[0] = 4;
  EXPECT_EQ(kernels::combine(args, nullptr), cudaErrorInvalidValue);
}

// ---- transpose ----

DType type_of_size(int bytes) {
  return bytes == 1 ? DType::uint8 : bytes == 2 ? DType::float16 : bytes == 4 ? DType::int32 : DType::float64;
}

void check_transpose(const Shape& shape, const std::vector<int>& permutation, bool aligned) {
  const Shape steps = strides(shape);
  Shape result;
  for (const int axis : permutation) result.push_back(shape[static_cast<std::size_t>(axis)]);
  for (const int bytes : {1, 2, 4, 8}) {
    const DType dtype = type_of_size(bytes);
    std::vector<double> x(static_cast<std::size_t>(product(shape)));
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<double>(i * 31 % 251);
    Buffer src(x, dtype, aligned);
    Buffer dst(product(shape), dtype, aligned);
    kernels::Transpose args{.element_bytes = bytes, .src = src.data(), .dst = dst.data(), .axes = static_cast<int>(shape.size())};
    std::copy(shape.begin(), shape.end(), args.shape);
    std::copy(permutation.begin(), permutation.end(), args.permutation);
    ASSERT_EQ(kernels::transpose(args, nullptr), cudaSuccess);
    EXPECT_TRUE(dst.guarded());
    for (std::int64_t i = 0; i < product(shape); ++i) {
      const Shape index = indices(i, result);
      std::int64_t at = 0;
      for (std::size_t k = 0; k < index.size(); ++k) at += index[k] * steps[static_cast<std::size_t>(permutation[k])];
      ASSERT_EQ(dst[static_cast<std::size_t>(i)], x[static_cast<std::size_t>(at)])
          << testing::PrintToString(shape) << ' ' << testing::PrintToString(permutation) << ' ' << bytes << " bytes, at " << i;
    }
  }
}

TEST(TransposeKernelTest, TurnsMatricesOfAnySize) {
  for (const std::int64_t rows : {0, 1, 3, 31, 33, 129}) {
    for (const std::int64_t columns : {0, 1, 7, 32, 65, 127}) check_transpose({rows, columns}, {1, 0}, false);
  }
}

TEST(TransposeKernelTest, TakesEveryOrderOfFourAxes) {
  std::vector<int> permutation = {0, 1, 2, 3};
  do {
    for (const bool aligned : {true, false}) {
      check_transpose({2, 3, 4, 5}, permutation, aligned);
      check_transpose({3, 1, 33, 2}, permutation, aligned);
      check_transpose({2, 4, 6, 16}, permutation, aligned);
    }
  } while (std::next_permutation(permutation.begin(), permutation.end()));
}

TEST(TransposeKernelTest, TakesScalarsAndManyAxes) {
  check_transpose({}, {}, true);
  check_transpose({1, 1, 1}, {2, 0, 1}, true);
  check_transpose({2, 1, 2, 3, 2, 1, 2, 2}, {7, 5, 3, 1, 0, 2, 4, 6}, false);
}

// ---- cast ----

std::vector<double> values_for(DType from) {
  switch (from) {
    case DType::int8: {
      std::vector<double> all;
      for (int i = -128; i < 128; ++i) all.push_back(i);
      return all;
    }
    case DType::uint8: {
      std::vector<double> all;
      for (int i = 0; i < 256; ++i) all.push_back(i);
      return all;
    }
    case DType::int32:
      return {0,     1,     -1,    16777215, 16777217, 16777219, -16777217, 2147483647, -2147483648.0,
              65519, 65520, 70000, 2049,     2051,     257,      259};
    default: {
      std::vector<double> x = random_values(3000, 60, from, 100.0);
      for (const double special : {0.0, -0.0, kInf, -kInf, 0x1p-149, 0x1p-24, 0x1p-25, 0x1.8p-25, 65504.0, 65519.9, 65520.0,
                                   3.4e38, 0x1p-1074, 1e300, 1.00390625, 1.01171875})
        x.push_back(special);
      return Buffer(x, from).values();
    }
  }
}

/// The right result of a cast. Where `to` is narrower than float, x is first rounded to odd, so that rounding twice is exact.
double cast_truth(double x, DType from, DType to) {
  if (to == DType::float64 || from == to) return x;
  auto narrow = static_cast<float>(x);
  if (to != DType::float32 && std::isfinite(narrow) && static_cast<double>(narrow) != x) {
    if (std::fabs(static_cast<double>(narrow)) > std::fabs(x)) narrow = std::nextafter(narrow, 0.F);
    narrow = std::bit_cast<float>(std::bit_cast<std::uint32_t>(narrow) | 1U);
  }
  return Buffer(std::vector<double>{static_cast<double>(narrow)}, to)[0];
}

TEST(CastKernelTest, RoundsToNearestEvenFromAndToEveryType) {
  for (const DType from :
       {DType::float32, DType::float16, DType::bfloat16, DType::float64, DType::int8, DType::uint8, DType::int32}) {
    for (const DType to : kFloating) {
      const std::vector<double> x = values_for(from);
      for (const bool aligned : {true, false}) {
        const auto n = static_cast<std::int64_t>(x.size());
        Buffer src(x, from, aligned);
        Buffer dst(n, to, aligned);
        ASSERT_EQ(kernels::cast(from, to, src.data(), dst.data(), n, nullptr), cudaSuccess);
        EXPECT_TRUE(dst.guarded());
        for (std::size_t i = 0; i < x.size(); ++i) {
          const double wanted = cast_truth(x[i], from, to);
          ASSERT_EQ(dst[i], wanted) << to_string(from) << " to " << to_string(to) << " of " << x[i];
          ASSERT_EQ(std::signbit(dst[i]), std::signbit(wanted)) << to_string(from) << " to " << to_string(to) << " of " << x[i];
        }
      }
    }
  }
}

TEST(CastKernelTest, KeepsNaN) {
  for (const DType from : kFloating) {
    for (const DType to : kFloating) {
      Buffer src({kNaN, -kNaN, 1.0}, from);
      Buffer dst(3, to);
      ASSERT_EQ(kernels::cast(from, to, src.data(), dst.data(), 3, nullptr), cudaSuccess);
      EXPECT_TRUE(std::isnan(dst[0]) && std::isnan(dst[1])) << to_string(from) << " to " << to_string(to);
      EXPECT_EQ(dst[2], 1.0);
    }
  }
}

TEST(CastKernelTest, CopiesAndTakesAnySize) {
  for (const std::int64_t n : kSizes) {
    for (const DType dtype : {DType::int8, DType::bfloat16, DType::float32, DType::float64}) {
      const std::vector<double> x = Buffer(random_values(n, 61, 20.0), dtype).values();
      Buffer src(x, dtype);
      Buffer dst(n, dtype);
      ASSERT_EQ(kernels::cast(dtype, dtype, src.data(), dst.data(), n, nullptr), cudaSuccess);
      EXPECT_EQ(dst.values(), x);
      EXPECT_TRUE(dst.guarded());
    }
  }
}

TEST(CastKernelTest, TruncatesAndClampsToIntegers) {
  for (const DType from : kFloating) {
    Buffer src({1.875, -1.875, 300.0, -300.0, kNaN}, from);
    Buffer dst(5, DType::int8);
    ASSERT_EQ(kernels::cast(from, DType::int8, src.data(), dst.data(), 5, nullptr), cudaSuccess);
    EXPECT_EQ(dst.values(), (std::vector<double>{1, -1, 127, -128, 0})) << to_string(from);
    EXPECT_TRUE(dst.guarded());
  }
}

TEST(CombineKernelTest, RefusesAveragesOfIntegersAndBools) {
  Buffer memory(4, DType::int32);
  const kernels::CombineSource source{memory.data(), {1}};
  kernels::Combine args;
  args.sources = {&source, 1};
  args.dst = memory.data();
  args.axes = 1;
  args.shape[0] = 4;
  args.kind = kernels::CombineKind::average;
  args.dtype = DType::int32;
  EXPECT_EQ(kernels::combine(args, nullptr), cudaErrorInvalidValue);
  args.kind = kernels::CombineKind::add;
  args.dtype = DType::boolean;
  EXPECT_EQ(kernels::combine(args, nullptr), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace lamella::test
