// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/activation_error.hpp"

namespace lamella::test {
namespace {

struct Case {
  DType dtype = DType::float32;
  std::int64_t batch = 0;
  std::int64_t inputs = 0;
  std::int64_t units = 0;
  std::int64_t gap = 0;
  bool bias = true;
  ActivationSpec activation = {};
};

struct Result {
  std::vector<double> x, w, b, y;
};

Result run(const Case& c, const std::vector<double>* rows = nullptr) {
  const std::int64_t stride = c.units + c.gap;
  const DType compute = compute_of(c.dtype);
  Result r;
  r.x = rows != nullptr ? *rows : random_values(c.batch * c.inputs, 1, c.dtype);
  r.w = random_values(c.inputs == 0 ? 0 : (c.inputs - 1) * stride + c.units, 2, c.dtype);
  r.b = random_values(c.units, 3, compute);
  Buffer src(r.x, c.dtype);
  Buffer kernel(r.w, c.dtype);
  Buffer bias(r.b, compute);
  Buffer dst(c.batch * c.units, c.dtype);
  const kernels::Dense args{c.activation, c.dtype, src.data(), kernel.data(), c.bias ? bias.data() : nullptr,
                            dst.data(),   c.batch, c.inputs,   c.units};
  EXPECT_EQ(kernels::tiled_gemm(args, stride, nullptr), cudaSuccess);
  EXPECT_TRUE(dst.guarded());
  r.y = dst.values();
  return r;
}

void check(const Case& c) {
  const Result r = run(c);
  const std::int64_t stride = c.units + c.gap;
  const double roundoff = c.dtype == DType::float64 ? 0x1p-53 : 0x1p-24;
  for (std::int64_t b = 0; b < c.batch; ++b) {
    for (std::int64_t u = 0; u < c.units; ++u) {
      long double sum = c.bias ? static_cast<long double>(r.b[static_cast<std::size_t>(u)]) : 0;
      long double size = std::fabs(sum);
      for (std::int64_t i = 0; i < c.inputs; ++i) {
        const long double product = static_cast<long double>(r.x[static_cast<std::size_t>(b * c.inputs + i)]) *
                                    static_cast<long double>(r.w[static_cast<std::size_t>(i * stride + u)]);
        sum += product;
        size += std::fabs(product);
      }
      const double error =
          static_cast<double>(static_cast<long double>(c.inputs + 2) * static_cast<long double>(roundoff) * size);
      const double y = r.y[static_cast<std::size_t>(b * c.units + u)];
      ASSERT_TRUE(is_rounded(y, static_cast<double>(sum), c.dtype, error))
          << to_string(c.dtype) << ' ' << c.batch << " x " << c.inputs << " x " << c.units << " at " << b << ", " << u << ": "
          << static_cast<double>(sum) << ", got " << y;
    }
  }
}

TEST(TiledGemmTest, IsRightInAnyShape) {
  for (const DType dtype : kFloating) {
    for (const std::int64_t batch : {0, 1, 3, 16, 17, 65}) {
      for (const std::int64_t inputs : {0, 1, 7, 16, 33, 129}) {
        for (const std::int64_t units : {0, 1, 7, 33, 65, 129})
          check({.dtype = dtype, .batch = batch, .inputs = inputs, .units = units});
      }
    }
  }
}

TEST(TiledGemmTest, IsRightForLongSumsAndManyUnits) {
  for (const DType dtype : kFloating) {
    check({.dtype = dtype, .batch = 2, .inputs = 1027, .units = 31});
    check({.dtype = dtype, .batch = 20, .inputs = 31, .units = 1027});
  }
}

TEST(TiledGemmTest, UsesTheStrideOfTheKernelAndAnAbsentBias) {
  for (const DType dtype : kFloating) {
    for (const std::int64_t batch : {3, 70})
      check({.dtype = dtype, .batch = batch, .inputs = 37, .units = 67, .gap = 5, .bias = false});
  }
}

/// The activation is applied to exactly the bits that the product has without one.
TEST(TiledGemmTest, AppliesEveryActivationToTheSum) {
  for (const ActivationKind kind : elementwise_kinds()) {
    for (const DType dtype : {DType::float32, DType::float64}) {
      const std::array<float, 3> p = measured_parameters(kind)[0];
      const ActivationSpec activation{kind, {p[0], p[1], p[2]}};
      const Case plain{.dtype = dtype, .batch = 5, .inputs = 33, .units = 19};
      Case activated = plain;
      activated.activation = activation;
      const std::vector<double> x = run(plain).y;
      const std::vector<double> y = run(activated).y;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double exact = truths().at(to_string(kind))(x[i], activation.parameters);
        ASSERT_TRUE(is_rounded(y[i], exact, dtype, activation_error(kind, dtype, x[i], exact)))
            << to_string(kind) << " of " << x[i];
      }
    }
  }
}

TEST(TiledGemmTest, ASampleHasTheSameBitsInEveryBatch) {
  for (const DType dtype : kFloating) {
    const Case large{.dtype = dtype, .batch = 70, .inputs = 131, .units = 67};
    const Result all = run(large);
    for (const std::int64_t batch : {1, 3, 16, 17, 64}) {
      Case part = large;
      part.batch = batch;
      const std::vector<double> rows(all.x.begin(), all.x.begin() + batch * large.inputs);
      const std::vector<double> y = run(part, &rows).y;
      ASSERT_TRUE(std::equal(y.begin(), y.end(), all.y.begin())) << to_string(dtype) << " batch " << batch;
    }
  }
}

/// A sum that underflows to -0 keeps its sign, however the tiles are padded.
TEST(TiledGemmTest, AZeroHasTheSameSignInEveryBatch) {
  for (const std::int64_t batch : {1, 17}) {
    std::vector<double> x(static_cast<std::size_t>(batch * 16));
    std::vector<double> w(16);
    x[15] = -1e-30;
    w[15] = 1e-30;
    Buffer src(x, DType::float32);
    Buffer kernel(w, DType::float32);
    Buffer dst(batch, DType::float32);
    const kernels::Dense args{{}, DType::float32, src.data(), kernel.data(), nullptr, dst.data(), batch, 16, 1};
    ASSERT_EQ(kernels::tiled_gemm(args, 1, nullptr), cudaSuccess);
    EXPECT_TRUE(dst[0] == 0 && std::signbit(dst[0])) << batch;
  }
}

TEST(TiledGemmTest, PassesNaNAndInfinityOnToTheirOwnResultsOnly) {
  const Case c{.batch = 18, .inputs = 20, .units = 5, .bias = false};
  std::vector<double> x = random_values(c.batch * c.inputs, 4, c.dtype);
  x[3 * 20 + 19] = std::numeric_limits<double>::quiet_NaN();
  x[17 * 20] = std::numeric_limits<double>::infinity();
  const std::vector<double> y = run(c, &x).y;
  for (std::size_t i = 0; i < y.size(); ++i) {
    EXPECT_EQ(std::isnan(y[i]), i / 5 == 3) << i;
    EXPECT_EQ(std::isinf(y[i]), i / 5 == 17) << i;
  }
}

TEST(TiledGemmTest, RefusesAnActivationOfRows) {
  Buffer memory(4, DType::float32);
  const kernels::Dense args{
      {ActivationKind::Softmax}, DType::float32, memory.data(), memory.data(), nullptr, memory.data(), 1, 1, 1};
  EXPECT_EQ(kernels::tiled_gemm(args, 1, nullptr), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace lamella::test
