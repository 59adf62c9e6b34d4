// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/activation_error.hpp"

namespace lamella::test {
namespace {

class ElementwiseTest : public testing::TestWithParam<ActivationKind> {
 protected:
  static std::vector<ActivationSpec> specs() {
    std::vector<ActivationSpec> result;
    for (const std::array<float, 3>& p : measured_parameters(GetParam())) result.push_back({GetParam(), {p[0], p[1], p[2]}});
    return result;
  }
  static double truth(const ActivationSpec& spec, double x) { return truths().at(to_string(spec.kind))(x, spec.parameters); }

  static void expect_truth(const ActivationSpec& spec, DType dtype, const std::vector<double>& x, const Buffer& y) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double exact = truth(spec, x[i]);
      ASSERT_TRUE(is_rounded(y[i], exact, dtype, activation_error(spec.kind, dtype, x[i], exact)))
          << to_string(dtype) << " f(" << x[i] << ") = " << exact << ", got " << y[i] << " at " << i << " of " << x.size();
    }
  }
};

TEST_P(ElementwiseTest, IsRightInAnySizeAndAlignmentAndWritesNothingElse) {
  for (const ActivationSpec& spec : specs()) {
    for (const DType dtype : kFloating) {
      for (const std::int64_t n : kSizes) {
        for (const bool aligned : {true, false}) {
          const std::vector<double> x = random_values(n, static_cast<unsigned>(n), dtype, 3.0);
          Buffer src(x, dtype, aligned);
          Buffer dst(n, dtype, aligned);
          ASSERT_EQ(kernels::elementwise(spec, dtype, src.data(), dst.data(), n, nullptr), cudaSuccess);
          expect_truth(spec, dtype, x, dst);
          EXPECT_EQ(src.values(), x);
          EXPECT_TRUE(dst.guarded());
        }
      }
    }
  }
}

TEST_P(ElementwiseTest, WorksInPlace) {
  for (const DType dtype : kFloating) {
    for (const bool aligned : {true, false}) {
      const std::vector<double> x = random_values(4099, 5, dtype, 3.0);
      Buffer memory(x, dtype, aligned);
      ASSERT_EQ(kernels::elementwise(specs()[0], dtype, memory.data(), memory.data(), 4099, nullptr), cudaSuccess);
      expect_truth(specs()[0], dtype, x, memory);
      EXPECT_TRUE(memory.guarded());
    }
  }
}

/// All values of 16 bits: subnormals, both zeros, the largest.
TEST_P(ElementwiseTest, IsRightForEveryFloat16AndBfloat16) {
  for (const ActivationSpec& spec : specs()) {
    for (const DType dtype : {DType::float16, DType::bfloat16}) {
      std::vector<double> x;
      for (std::uint32_t bits = 0; bits < 0x1'0000; ++bits) {
        float16 half;
        bfloat16 brain;
        half.bits = brain.bits = static_cast<std::uint16_t>(bits);
        const float value = dtype == DType::float16 ? static_cast<float>(half) : static_cast<float>(brain);
        if (std::isfinite(value)) x.push_back(static_cast<double>(value));
      }
      Buffer src(x, dtype, true);
      Buffer dst(static_cast<std::int64_t>(x.size()), dtype, true);
      ASSERT_EQ(kernels::elementwise(spec, dtype, src.data(), dst.data(), static_cast<std::int64_t>(x.size()), nullptr),
                cudaSuccess);
      expect_truth(spec, dtype, x, dst);
    }
  }
}

TEST_P(ElementwiseTest, IsRightForExtremesOfFloat32) {
  std::vector<double> x = {0.0, -0.0, 0x1p-149, -0x1p-149, 0x1p-126, -0x1p-126, 0x1.FFFFFEp127, -0x1.FFFFFEp127};
  for (float magnitude = 0x1p-149F; std::isfinite(magnitude); magnitude *= 1.31F) {
    x.push_back(static_cast<double>(magnitude));
    x.push_back(-static_cast<double>(magnitude));
    if (magnitude < 0x1p-140F) magnitude *= 2;
  }
  const auto n = static_cast<std::int64_t>(x.size());
  for (const ActivationSpec& spec : specs()) {
    Buffer src(x, DType::float32, true);
    Buffer dst(n, DType::float32, true);
    ASSERT_EQ(kernels::elementwise(spec, DType::float32, src.data(), dst.data(), n, nullptr), cudaSuccess);
    expect_truth(spec, DType::float32, x, dst);
  }
}

/// For infinities and NaN the table's formula is the definition.
TEST_P(ElementwiseTest, GivesTheFormulasValueAtInfinitiesAndNaN) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  const std::vector<double> x = {kInf, -kInf, kNaN, 0.0, -0.0};
  for (const ActivationSpec& spec : specs()) {
    for (const DType dtype : kFloating) {
      Buffer src(x, dtype);
      Buffer dst(static_cast<std::int64_t>(x.size()), dtype);
      ASSERT_EQ(kernels::elementwise(spec, dtype, src.data(), dst.data(), static_cast<std::int64_t>(x.size()), nullptr),
                cudaSuccess);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const float expected = core::visit_elementwise(spec.kind, [&](auto op) {
          const auto& p = spec.parameters;
          return op.template apply<float>(static_cast<float>(x[i]), static_cast<float>(p[0]), static_cast<float>(p[1]),
                                          static_cast<float>(p[2]));
        });
        if (std::isnan(expected)) {
          EXPECT_TRUE(std::isnan(dst[i])) << to_string(dtype) << " of " << x[i];
        } else if (std::isinf(expected)) {
          EXPECT_EQ(dst[i], static_cast<double>(expected)) << to_string(dtype) << " of " << x[i];
        } else {
          EXPECT_TRUE(is_rounded(dst[i], static_cast<double>(expected), dtype, 1e-6)) << to_string(dtype) << " of " << x[i];
          EXPECT_EQ(std::signbit(dst[i]), std::signbit(expected)) << to_string(dtype) << " of " << x[i];
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Each, ElementwiseTest, testing::ValuesIn(elementwise_kinds()),
                         [](const auto& tested) { return std::string(to_string(tested.param)); });

TEST(ElementwiseKernelTest, RefusesKindsThatAreNotElementWise) {
  Buffer memory(4, DType::float32);
  EXPECT_EQ(kernels::elementwise({ActivationKind::Softmax}, DType::float32, memory.data(), memory.data(), 4, nullptr),
            cudaErrorInvalidValue);
  EXPECT_EQ(kernels::elementwise({ActivationKind::Tanh}, DType::int32, memory.data(), memory.data(), 4, nullptr),
            cudaErrorInvalidValue);
}

}  // namespace
}  // namespace lamella::test
