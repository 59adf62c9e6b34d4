// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/kernel_support.hpp"

namespace lamella::test {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// ---- layer normalization ----

struct Normalization {
  DType dtype = DType::float32;
  std::int64_t rows = 1;
  std::int64_t length = 1;
  bool gamma = true;
  bool beta = true;
  kernels::NormalizationKind kind = kernels::NormalizationKind::standard;
  bool in_place = false;
  double center = 0.0;
  bool aligned = false;  ///< rows start at multiples of 16 bytes
  double size = 1.0;     ///< of the numbers
};

std::vector<double> run(const Normalization& c, const std::vector<double>& x, const std::vector<double>& gamma,
                        const std::vector<double>& beta) {
  const DType compute = compute_of(c.dtype);
  Buffer src(x, c.dtype, c.aligned);
  Buffer gammas(gamma, compute, c.aligned);
  Buffer betas(beta, compute, c.aligned);
  Buffer fresh(static_cast<std::int64_t>(x.size()), c.dtype, c.aligned);
  Buffer& dst = c.in_place ? src : fresh;
  const kernels::LayerNormalization args{.dtype = c.dtype,
                                         .src = src.data(),
                                         .gamma = c.gamma ? gammas.data() : nullptr,
                                         .beta = c.beta ? betas.data() : nullptr,
                                         .dst = dst.data(),
                                         .rows = c.rows,
                                         .length = c.length,
                                         .kind = c.kind};
  EXPECT_EQ(kernels::layer_normalization(args, nullptr), cudaSuccess);
  EXPECT_TRUE(dst.guarded());
  return dst.values();
}

std::vector<double> check(const Normalization& c) {
  std::vector<double> x = random_values(c.rows * c.length, 21);
  for (double& value : x) value = value * c.size + c.center;
  x = Buffer(x, c.dtype).values();
  const std::vector<double> gamma = random_values(c.length, 22, compute_of(c.dtype));
  const std::vector<double> beta = random_values(c.length, 23, compute_of(c.dtype));
  const std::vector<double> y = run(c, x, gamma, beta);
  for (std::int64_t r = 0; r < c.rows; ++r) {
    const double* row = x.data() + r * c.length;
    using Kind = kernels::NormalizationKind;
    const bool around_mean = c.kind == Kind::standard || c.kind == Kind::deviation;
    long double mean = 0;
    for (std::int64_t i = 0; around_mean && i < c.length; ++i) mean += static_cast<long double>(row[i]);
    mean /= static_cast<long double>(c.length);
    long double variance = 0;
    for (std::int64_t i = 0; i < c.length; ++i)
      variance += (static_cast<long double>(row[i]) - mean) * (static_cast<long double>(row[i]) - mean);
    if (c.kind != Kind::unit) variance = variance / static_cast<long double>(c.length) + 1e-3L;
    for (std::int64_t i = 0; i < c.length; ++i) {
      const auto at = static_cast<std::size_t>(i);
      long double exact = static_cast<long double>(row[i]) - (c.kind == Kind::standard ? mean : 0.0L);
      exact /= c.kind == Kind::unit ? std::max(std::sqrt(variance), 1e-3L) : std::sqrt(variance);
      if (c.gamma) exact *= static_cast<long double>(gamma[at]);
      const auto product = static_cast<double>(exact);
      if (c.beta) exact += static_cast<long double>(beta[at]);
      const auto wanted = static_cast<double>(exact);
      const double got = y[static_cast<std::size_t>(r * c.length + i)];
      // float32 is rounded once; float64 in each step; 16-bit results are computed in floats.
      double error = c.dtype == DType::float64 ? 1e-13 * (1 + std::fabs(c.center)) * (1 + std::fabs(wanted))
                                               : spacing(DType::float32, wanted) + 1e-12 * (1 + std::fabs(c.center));
      if (size_of(c.dtype) == 2) error += 0x1p-20 * std::max(std::fabs(product), std::fabs(wanted - product));
      const bool right = is_rounded(got, wanted, c.dtype, error);
      EXPECT_TRUE(right) << to_string(c.dtype) << ' ' << c.rows << " x " << c.length << " at " << r << ", " << i << ": " << wanted
                         << ", got " << got;
      if (!right) return y;
    }
  }
  return y;
}

TEST(LayerNormalizationKernelTest, IsRightForEveryLengthAndAlignmentOfRows) {
  for (const DType dtype : kFloating) {
    for (const std::int64_t length : {1,   2,   3,   7,   15,  16,  17,  31,   32,   33,   40,   127,  128,
                                      129, 255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 4095, 4096, 4097}) {
      Normalization c{.dtype = dtype, .rows = length < 4000 ? 3 : 1, .length = length};
      const std::vector<double> odd = check(c);
      c.aligned = true;
      EXPECT_EQ(check(c), odd) << to_string(dtype) << ' ' << length;
    }
  }
  for (const DType dtype : {DType::float32, DType::bfloat16}) {
    for (const std::int64_t length : {8191, 8192, 8193, 10007})
      check({.dtype = dtype, .length = length, .aligned = length % 2 == 0});
  }
  check({.dtype = DType::float16, .length = 8193});
}

TEST(LayerNormalizationKernelTest, AcceptsNumbersWhoseSquaresOverflowOrUnderflow) {
  for (const double size : {1e-30, 1e-12, 1e-6, 1e6, 1e12, 1e25}) {
    for (const std::int64_t length : {20, 130, 1100, 1101}) {
      check({.rows = 3, .length = length, .size = size});
      check({.rows = 3, .length = length, .kind = kernels::NormalizationKind::unit, .size = size});
    }
  }
}

TEST(LayerNormalizationKernelTest, ARowHasTheSameBitsWhateverItsNeighbours) {
  for (const std::int64_t length : {20, 100, 400, 401, 2000}) {
    Normalization c{.rows = 5, .length = length, .gamma = false, .beta = false};
    std::vector<double> x = random_values(5 * length, 27, DType::float32);
    const std::vector<double> plain = run(c, x, {}, {});
    for (std::int64_t i = 0; i < length; ++i) {
      x[static_cast<std::size_t>(length + i)] *= 0x1p90;  // makes one row take the other algorithm
      x[static_cast<std::size_t>(3 * length + i)] = kNaN;
    }
    const std::vector<double> beside = run(c, x, {}, {});
    for (const std::int64_t row : {0, 2, 4}) {
      const auto at = static_cast<std::ptrdiff_t>(row * length);
      EXPECT_TRUE(std::equal(plain.begin() + at, plain.begin() + at + length, beside.begin() + at)) << length << " row " << row;
    }
    c.rows = 1;
    const std::vector<double> alone = run(c, {x.begin(), x.begin() + length}, {}, {});
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), plain.begin())) << length;
    for (std::int64_t i = 0; i < length; ++i) EXPECT_TRUE(std::isnan(beside[static_cast<std::size_t>(3 * length + i)]));
  }
}

/// 16-bit rows that share a warp with rows computed in double are still computed in floats: their last bits show it.
TEST(LayerNormalizationKernelTest, SixteenBitRowsHaveTheSameBitsWhateverTheirNeighbours) {
  constexpr std::int64_t kRows = 129;
  constexpr std::int64_t kLength = 200;
  const Normalization c{.dtype = DType::bfloat16, .rows = kRows, .length = kLength, .gamma = false, .beta = false};
  std::vector<double> x = random_values(kRows * kLength, 28, DType::bfloat16);
  const std::vector<double> plain = run(c, x, {}, {});
  for (std::int64_t i = 0; i < kRows * kLength; ++i) x[static_cast<std::size_t>(i)] *= i / kLength % 2 == 1 ? 0x1p90 : 1.0;
  const std::vector<double> beside = run(c, x, {}, {});
  for (std::int64_t i = 0; i < kRows * kLength; ++i) {
    if (i / kLength % 2 == 1) continue;
    ASSERT_EQ(beside[static_cast<std::size_t>(i)], plain[static_cast<std::size_t>(i)]) << i;
  }
}

TEST(LayerNormalizationKernelTest, TakesEveryChoiceOfParametersInPlaceOrNot) {
  for (const DType dtype : kFloating) {
    for (int choice = 0; choice < 32; ++choice) {
      check({.dtype = dtype,
             .rows = 6,
             .length = 130,
             .gamma = (choice & 1) != 0,
             .beta = (choice & 2) != 0,
             .kind = static_cast<kernels::NormalizationKind>(choice >> 3),
             .in_place = (choice & 4) != 0});
    }
  }
  check({.rows = 2, .length = 9001, .in_place = true});
}

TEST(LayerNormalizationKernelTest, LosesNothingToAMeanFarFromZero) {
  for (const std::int64_t length : {100, 2000, 2001, 9000}) check({.rows = 2, .length = length, .center = 10000.0});
  for (const DType dtype : {DType::float16, DType::bfloat16}) check({.dtype = dtype, .rows = 2, .length = 1000, .center = 300.0});
}

TEST(LayerNormalizationKernelTest, BoundsTheNormOfTinyRows) {
  for (const double size : {0.0, 1e-6, 1e-3, 2e-3}) {
    const std::vector<double> y = run(
        {.rows = 1, .length = 3, .gamma = false, .beta = false, .kind = kernels::NormalizationKind::unit}, {0, size, 0}, {}, {});
    EXPECT_NEAR(y[1], size / std::max(size, 1e-3), 1e-6) << size;
  }
}

TEST(LayerNormalizationKernelTest, TakesEmptyArrays) {
  check({.rows = 0, .length = 5});
  check({.rows = 5, .length = 0});
}

TEST(LayerNormalizationKernelTest, ConfinesNaNAndInfinityToTheirRow) {
  for (const double odd : {kNaN, std::numeric_limits<double>::infinity()}) {
    std::vector<double> x = random_values(3 * 40, 24, DType::float32);
    x[50] = odd;
    const std::vector<double> y = run({.rows = 3, .length = 40, .gamma = false, .beta = false}, x, {}, {});
    for (std::size_t i = 0; i < y.size(); ++i) EXPECT_EQ(std::isnan(y[i]), i / 40 == 1);
  }
}

// ---- inner products ----

TEST(InnerProductsKernelTest, MultipliesEveryRowWithEveryRow) {
  for (const DType dtype : kFloating) {
    for (const std::int64_t length : {0, 1, 31, 33, 257}) {
      constexpr std::int64_t kBatch = 3;
      constexpr std::int64_t kLeft = 2;
      constexpr std::int64_t kRight = 5;
      const std::vector<double> a = random_values(kBatch * kLeft * length, 41, dtype);
      const std::vector<double> b = random_values(kBatch * kRight * length, 42, dtype);
      Buffer left(a, dtype);
      Buffer right(b, dtype);
      Buffer dst(kBatch * kLeft * kRight, dtype);
      ASSERT_EQ(kernels::inner_products({dtype, left.data(), right.data(), dst.data(), kBatch, kLeft, kRight, length}, nullptr),
                cudaSuccess);
      EXPECT_TRUE(dst.guarded());
      const std::vector<double> y = dst.values();
      for (std::int64_t at = 0; at < kBatch * kLeft * kRight; ++at) {
        const double* x = a.data() + at / kRight * length;
        const double* z = b.data() + (at / (kLeft * kRight) * kRight + at % kRight) * length;
        double wanted = 0;
        double magnitude = 0;
        for (std::int64_t k = 0; k < length; ++k) {
          wanted += x[k] * z[k];
          magnitude += std::fabs(x[k] * z[k]);
        }
        const double error = (dtype == DType::float64 ? 0x1p-50 : 0x1p-22) * magnitude;
        ASSERT_TRUE(is_rounded(y[static_cast<std::size_t>(at)], wanted, dtype, error))
            << to_string(dtype) << ' ' << length << ' ' << at;
      }
    }
  }
  EXPECT_EQ(kernels::inner_products({DType::float32, nullptr, nullptr, nullptr, 0, 2, 5, 3}, nullptr), cudaSuccess);
}

// ---- affine ----

void check_affine(DType dtype, std::int64_t outer, std::int64_t channels, std::int64_t inner, bool aligned, bool in_place) {
  const DType compute = compute_of(dtype);
  const std::vector<double> x = random_values(outer * channels * inner, 31, dtype);
  const std::vector<double> scale = random_values(channels, 32, compute);
  const std::vector<double> offset = random_values(channels, 33, compute);
  Buffer src(x, dtype, aligned);
  Buffer scales(scale, compute, aligned);
  Buffer offsets(offset, compute, aligned);
  Buffer fresh(static_cast<std::int64_t>(x.size()), dtype, aligned);
  Buffer& dst = in_place ? src : fresh;
  const kernels::Sample sample{outer, inner == 1 ? 1 : 2, {channels, inner}};
  ASSERT_EQ(kernels::affine(dtype, src.data(), dst.data(), sample, {scales.data(), {1, 0}}, {offsets.data(), {1, 0}}, nullptr),
            cudaSuccess);
  EXPECT_TRUE(dst.guarded());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t c = i / static_cast<std::size_t>(inner) % static_cast<std::size_t>(channels);
    double wanted = x[i] * scale[c] + offset[c];
    if (compute == DType::float32) {  // product and sum are each rounded, as promised
      const float product = static_cast<float>(x[i]) * static_cast<float>(scale[c]);
      wanted = static_cast<double>(product + static_cast<float>(offset[c]));
    }
    ASSERT_TRUE(is_rounded(dst[i], wanted, dtype, 0))
        << to_string(dtype) << ' ' << outer << " x " << channels << " x " << inner << " at " << i;
  }
}

TEST(AffineKernelTest, IsRightInAnyShape) {
  for (const DType dtype : kFloating) {
    for (const std::int64_t channels : {0, 1, 3, 7, 33, 1027}) {
      for (const std::int64_t inner : {0, 1, 2, 16, 33, 300}) {
        for (const bool aligned : {true, false}) check_affine(dtype, 3, channels, inner, aligned, channels == 7);
      }
    }
    check_affine(dtype, 1000, 8, 1, true, true);
    check_affine(dtype, 0, 8, 1, true, false);
  }
}

TEST(AffineKernelTest, BroadcastsEachConstantOverTheAxesThatItDoesNotHave) {
  struct Case {
    kernels::Sample sample;
    std::vector<std::int64_t> scale, offset;  // strides
  };
  const std::vector<Case> cases{
      {{37, 0, {}}, {}, {}},                                // one number for all elements
      {{5, 1, {33}}, {0}, {1}},                             // one scale, one offset per column
      {{5, 1, {33}}, {1}, {0}},                             //
      {{2, 2, {3, 33}}, {33, 1}, {0, 0}},                   // varying along rows, and not
      {{2, 2, {3, 33}}, {1, 0}, {0, 1}},                    //
      {{2, 3, {3, 4, 9}}, {4, 1, 0}, {4, 1, 0}},            // rows of several axes
      {{2, 4, {3, 4, 5, 2}}, {10, 0, 2, 1}, {0, 1, 0, 0}},  //
  };
  for (const DType dtype : kFloating) {
    for (const Case& c : cases) {
      std::int64_t sample = 1;
      for (int axis = 0; axis < c.sample.axes; ++axis) sample *= c.sample.extents[axis];
      const std::vector<double> x = random_values(c.sample.outer * sample, 31, dtype);
      kernels::SampleConstant constants[2];
      std::vector<double> values[2];
      for (int n = 0; n < 2; ++n) {
        values[n] = random_values(sample, static_cast<unsigned>(32 + n), compute_of(dtype));
        const auto& strides = n == 0 ? c.scale : c.offset;
        std::copy(strides.begin(), strides.end(), constants[n].strides);
      }
      const auto at = [&](int n, std::size_t i) {
        std::int64_t rest = static_cast<std::int64_t>(i);
        std::int64_t index = 0;
        for (int axis = c.sample.axes - 1; axis >= 0; --axis) {
          index += rest % c.sample.extents[axis] * constants[n].strides[axis];
          rest /= c.sample.extents[axis];
        }
        return values[n][static_cast<std::size_t>(index)];
      };
      for (const bool aligned : {true, false}) {
        Buffer src(x, dtype, aligned);
        Buffer scales(values[0], compute_of(dtype), aligned);
        Buffer offsets(values[1], compute_of(dtype), aligned);
        Buffer dst(static_cast<std::int64_t>(x.size()), dtype, aligned);
        constants[0].data = scales.data();
        constants[1].data = offsets.data();
        ASSERT_EQ(kernels::affine(dtype, src.data(), dst.data(), c.sample, constants[0], constants[1], nullptr), cudaSuccess);
        EXPECT_TRUE(dst.guarded());
        for (std::size_t i = 0; i < x.size(); ++i) {
          double wanted = x[i] * at(0, i) + at(1, i);
          if (compute_of(dtype) == DType::float32) {
            const float product = static_cast<float>(x[i]) * static_cast<float>(at(0, i));
            wanted = static_cast<double>(product + static_cast<float>(at(1, i)));
          }
          ASSERT_TRUE(is_rounded(dst[i], wanted, dtype, 0)) << to_string(dtype) << " case " << &c - cases.data() << " at " << i;
        }
      }
    }
  }
}

// ---- prelu ----

void check_prelu(DType dtype, std::int64_t batch, std::int64_t length, bool aligned, bool in_place) {
  const DType compute = compute_of(dtype);
  const std::vector<double> x = random_values(batch * length, 41, dtype);
  const std::vector<double> alpha = random_values(length, 42, compute);
  Buffer src(x, dtype, aligned);
  Buffer alphas(alpha, compute, aligned);
  Buffer fresh(static_cast<std::int64_t>(x.size()), dtype, aligned);
  Buffer& dst = in_place ? src : fresh;
  ASSERT_EQ(kernels::prelu(dtype, src.data(), dst.data(), {batch, 1, {length}}, {alphas.data(), {1}}, nullptr), cudaSuccess);
  EXPECT_TRUE(dst.guarded());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double exact = x[i] > 0 ? x[i] : alpha[i % static_cast<std::size_t>(length)] * x[i];
    ASSERT_TRUE(is_rounded(dst[i], exact, dtype, 0.5 * spacing(compute, exact)))
        << to_string(dtype) << ' ' << batch << " x " << length << " at " << i;
  }
}

TEST(PReluKernelTest, IsRightInAnyShape) {
  for (const DType dtype : kFloating) {
    for (const std::int64_t length : kSizes) {
      for (const std::int64_t batch : {0, 1, 5}) {
        for (const bool aligned : {true, false}) check_prelu(dtype, batch, length, aligned, length == 33);
      }
    }
  }
}

TEST(PReluKernelTest, PassesNaNOn) {
  Buffer src({kNaN, 1.0}, DType::float32);
  Buffer alpha({0.5, 0.5}, DType::float32);
  Buffer dst(2, DType::float32);
  ASSERT_EQ(kernels::prelu(DType::float32, src.data(), dst.data(), {1, 1, {2}}, {alpha.data(), {1}}, nullptr), cudaSuccess);
  EXPECT_TRUE(std::isnan(dst[0]));
  EXPECT_EQ(dst[1], 1.0);
}

}  // namespace
}  // namespace lamella::test
