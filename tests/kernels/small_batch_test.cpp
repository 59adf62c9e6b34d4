// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/activation_error.hpp"

namespace lamella::test {
namespace {

constexpr std::array kTypes{DType::float32, DType::float16, DType::bfloat16};

struct Case {
  DType dtype = DType::float32;
  std::int64_t batch = 0;
  std::int64_t inputs = 0;
  std::int64_t units = 0;
  bool bias = true;
  ActivationSpec activation = {};
};

/// The next multiple of 16 bytes.
std::int64_t stride_of(const Case& c) {
  const std::int64_t pack = c.dtype == DType::float32 ? 4 : 8;
  return (c.units + pack - 1) / pack * pack;
}

struct Result {
  std::vector<double> x, w, b, y;
};

/// The gaps between the kernel's rows hold NaN: they may be read but must not affect results.
Result run(const Case& c) {
  Result r;
  const std::int64_t stride = stride_of(c);
  r.x = random_values(c.batch * c.inputs, 1, c.dtype);
  r.w = random_values(c.inputs * stride, 2, c.dtype);
  for (std::int64_t i = 0; i < c.inputs; ++i) {
    for (std::int64_t u = c.units; u < stride; ++u) r.w[static_cast<std::size_t>(i * stride + u)] = std::nan("");
  }
  r.b = random_values(c.units, 3, DType::float32);
  Buffer src(r.x, c.dtype);
  Buffer kernel(r.w, c.dtype, true);
  Buffer bias(r.b, DType::float32);
  Buffer dst(c.batch * c.units, c.dtype);
  const kernels::Dense args{c.activation, c.dtype, src.data(), kernel.data(), c.bias ? bias.data() : nullptr,
                            dst.data(),   c.batch, c.inputs,   c.units};
  EXPECT_EQ(kernels::small_batch(args, stride, nullptr), cudaSuccess);
  EXPECT_TRUE(dst.guarded());
  r.y = dst.values();
  return r;
}

void check(const Case& c) {
  const Result r = run(c);
  const std::int64_t stride = stride_of(c);
  for (std::int64_t b = 0; b < c.batch; ++b) {
    for (std::int64_t u = 0; u < c.units; ++u) {
      double sum = c.bias ? r.b[static_cast<std::size_t>(u)] : 0;
      double size = std::fabs(sum);
      for (std::int64_t i = 0; i < c.inputs; ++i) {
        const double product = r.x[static_cast<std::size_t>(b * c.inputs + i)] * r.w[static_cast<std::size_t>(i * stride + u)];
        sum += product;
        size += std::fabs(product);
      }
      const double y = r.y[static_cast<std::size_t>(b * c.units + u)];
      ASSERT_TRUE(is_rounded(y, sum, c.dtype, static_cast<double>(c.inputs + 2) * 0x1p-24 * size))
          << to_string(c.dtype) << ' ' << c.batch << " x " << c.inputs << " x " << c.units << " at " << b << ", " << u << ": "
          << sum << ", got " << y;
    }
  }
}

TEST(SmallBatchTest, IsRightInAnyShape) {
  for (const DType dtype : kTypes) {
    for (const std::int64_t batch : {0, 1, 2, 3, 8}) {  // each number of rows with its own kernel, and one between
      for (const std::int64_t inputs : {0, 1, 7, 129}) {
        for (const std::int64_t units : {0, 7, 33, 129})
          check({.dtype = dtype, .batch = batch, .inputs = inputs, .units = units});
      }
    }
  }
}

/// A block makes two, four or eight packs of units.
TEST(SmallBatchTest, IsRightForLongSumsAndManyUnits) {
  for (const DType dtype : kTypes) {
    check({.dtype = dtype, .batch = 3, .inputs = 1027, .units = 31, .bias = false});
    check({.dtype = dtype, .batch = 2, .inputs = 31, .units = 1027});
    check({.dtype = dtype, .batch = 1, .inputs = 33, .units = dtype == DType::float32 ? 2051 : 4099});
    check({.dtype = dtype, .batch = 5, .inputs = 9, .units = dtype == DType::float32 ? 4099 : 8195});
  }
}

/// The activation is applied to exactly the bits that the product has without one.
TEST(SmallBatchTest, AppliesEveryActivationToTheSum) {
  for (const ActivationKind kind : elementwise_kinds()) {
    const std::array<float, 3> p = measured_parameters(kind)[0];
    const ActivationSpec activation{kind, {p[0], p[1], p[2]}};
    const Case plain{.batch = 5, .inputs = 33, .units = 19};
    Case activated = plain;
    activated.activation = activation;
    const std::vector<double> x = run(plain).y;
    const std::vector<double> y = run(activated).y;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double exact = truths().at(to_string(kind))(x[i], activation.parameters);
      ASSERT_TRUE(is_rounded(y[i], exact, plain.dtype, activation_error(kind, plain.dtype, x[i], exact)))
          << to_string(kind) << " of " << x[i];
    }
  }
}

TEST(SmallBatchTest, GivesTheSameBitsEveryTime) {
  for (const DType dtype : kTypes) {
    const Case c{.dtype = dtype, .batch = 7, .inputs = 515, .units = 67};
    EXPECT_EQ(run(c).y, run(c).y);
  }
}

TEST(SmallBatchTest, RefusesWhatItCannotDo) {
  Buffer memory(4096, DType::float32, true);
  const kernels::Dense args{{}, DType::float32, memory.data(), memory.data(), nullptr, memory.data(), 1, 4, 4};
  const auto refused = [&](auto change, std::int64_t kernel_stride = 4) {
    kernels::Dense bad = args;
    change(bad);
    return kernels::small_batch(bad, kernel_stride, nullptr) == cudaErrorInvalidValue;
  };
  EXPECT_TRUE(refused([](auto& a) { a.batch = kernels::kSmallBatch + 1; }));
  EXPECT_TRUE(refused([](auto& a) { a.dtype = DType::float64; }));
  EXPECT_TRUE(refused([](auto&) {}, 5));
  EXPECT_TRUE(refused([](auto& a) { a.kernel = static_cast<const float*>(a.kernel) + 1; }));
  EXPECT_TRUE(refused([](auto& a) { a.activation.kind = ActivationKind::Softmax; }));
}

}  // namespace
}  // namespace lamella::test
