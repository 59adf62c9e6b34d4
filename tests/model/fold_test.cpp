// SPDX-License-Identifier: Apache-2.0
// Folding an affine step into a Dense changes only rounding, at any magnitude of the constants, or is not done.
#include "model/fold.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace lamella::model {
namespace {

/// Randomly drawn layers and their inputs.
struct Case {
  std::vector<float> kernel, bias, scale, offset, x;
  [[nodiscard]] std::size_t inputs() const { return x.size(); }
  [[nodiscard]] std::size_t units() const { return bias.size(); }
};

std::shared_ptr<const Tensor> tensor(const std::vector<float>& values, const Shape& shape) {
  return std::make_shared<const Tensor>(Tensor::of<float>(values, shape));
}

/// Numbers of either sign around 10^exponent, spread over `width` powers of ten.
struct Scales {
  std::mt19937_64 random;
  std::vector<float> draw(std::size_t n, double exponent, double width, double zeros = 0.0) {
    std::uniform_real_distribution<double> uniform(-1.0, 1.0);
    std::vector<float> values(n);
    for (float& v : values) {
      const double magnitude = std::pow(10.0, exponent + width * uniform(random));
      v = static_cast<float>(std::copysign(magnitude, uniform(random)));
      if (std::fabs(uniform(random)) < zeros) v = 0.0F;
    }
    return values;
  }
  double exponent(double least, double most) { return std::uniform_real_distribution<double>(least, most)(random); }
};

Case drawn(Scales& scales, std::size_t inputs, std::size_t units, bool behind) {
  Case c;
  const auto exponent = [&] { return scales.exponent(-40, 38); };
  const bool ordinary = scales.exponent(0, 1) < 0.3;
  const double width = scales.exponent(0, 8);
  const std::size_t factors = behind ? units : inputs;
  c.kernel = scales.draw(inputs * units, ordinary ? -1 : exponent(), width, 0.1);
  c.bias = scales.draw(units, ordinary ? -1 : exponent(), width, 0.1);
  c.scale = scales.draw(factors, ordinary ? scales.exponent(-3, 3) : exponent(), width, 0.1);
  c.offset = scales.draw(factors, ordinary ? 0 : exponent(), width, 0.1);
  c.x = scales.draw(inputs, scales.exponent(-15, 15), 2, 0.1);
  if (scales.exponent(0, 1) < 0.3) {  // the mean of the normalization cancels the bias
    for (std::size_t u = 0; behind && u < units; ++u) c.offset[u] = -c.bias[u] * c.scale[u];
  }
  return c;
}

struct Answer {
  float folded = 0;    ///< of the folded Dense, in float32
  float keras = 0;     ///< of the layers one after the other, in float32
  double exact = 0;    ///< of the layers, in float64
  double terms = 0;    ///< the sum of the magnitudes of the folded Dense's terms
  double factors = 0;  ///< the largest factor of a subnormal number that is lost in Keras' order
  double keras_terms = 0;
};

Answer behind(const Case& c, const ConstantsPool::Values& folded, std::size_t u) {
  Answer a;
  const auto kernel = folded[0]->span<float>();
  double exact = static_cast<double>(c.bias[u]);
  for (std::size_t i = 0; i < c.inputs(); ++i) {
    const std::size_t k = i * c.units() + u;
    a.folded += c.x[i] * kernel[k];
    a.keras += c.x[i] * c.kernel[k];
    exact += static_cast<double>(c.x[i]) * static_cast<double>(c.kernel[k]);
    a.terms += std::fabs(static_cast<double>(c.x[i]) * static_cast<double>(c.kernel[k]) * static_cast<double>(c.scale[u]));
  }
  a.folded += folded[1]->span<float>()[u];
  a.keras = (a.keras + c.bias[u]) * c.scale[u] + c.offset[u];
  const double bias = static_cast<double>(c.bias[u]) * static_cast<double>(c.scale[u]);
  a.exact = exact * static_cast<double>(c.scale[u]) + static_cast<double>(c.offset[u]);
  a.keras_terms = a.terms + std::fabs(bias) + std::fabs(static_cast<double>(c.offset[u]));
  a.terms += std::fabs(bias + static_cast<double>(c.offset[u]));
  a.factors = std::max(1.0, std::fabs(static_cast<double>(c.scale[u])));
  return a;
}

Answer before(const Case& c, const ConstantsPool::Values& folded, std::size_t u) {
  Answer a;
  const auto kernel = folded[0]->span<float>();
  a.exact = static_cast<double>(c.bias[u]);
  a.factors = 1;
  for (std::size_t i = 0; i < c.inputs(); ++i) {
    const std::size_t k = i * c.units() + u;
    a.folded += c.x[i] * kernel[k];
    a.keras += (c.x[i] * c.scale[i]) * c.kernel[k];
    const double term = static_cast<double>(c.x[i]) * static_cast<double>(c.scale[i]) * static_cast<double>(c.kernel[k]);
    a.exact += term;
    a.terms += std::fabs(term);
    a.factors = std::max(a.factors, std::fabs(static_cast<double>(c.kernel[k])));
  }
  a.folded += c.bias[u];
  a.keras += c.bias[u];
  a.terms += std::fabs(static_cast<double>(c.bias[u]));
  a.keras_terms = a.terms;
  return a;
}

void expect_rounding(const Answer& a, std::size_t inputs) {
  const double unit = static_cast<double>(inputs + 4) * 0x1p-24;
  const double smallest = static_cast<double>(inputs + 4) * 0x1p-149;
  ASSERT_TRUE(std::isfinite(a.folded)) << "Keras' order gives " << a.keras << ", exactly " << a.exact;
  ASSERT_TRUE(std::isfinite(a.keras)) << "exactly " << a.exact;
  ASSERT_NEAR(static_cast<double>(a.folded), a.exact, unit * a.terms + smallest + 0x1p-50 * a.keras_terms);
  ASSERT_NEAR(static_cast<double>(a.folded), static_cast<double>(a.keras), 2 * unit * a.keras_terms + smallest * a.factors);
}

TEST(FoldTest, ChangesRoundingOnlyAtAnyMagnitude) {
  Scales scales{std::mt19937_64(1)};
  for (const bool is_behind : {true, false}) {
    int folded_cases = 0;
    constexpr int kCases = 20'000;
    for (int n = 0; n < kCases; ++n) {
      const std::size_t inputs = 1 + static_cast<std::size_t>(n % 9);
      const std::size_t units = 1 + static_cast<std::size_t>(n % 3);
      Case c = drawn(scales, inputs, units, is_behind);
      if (!is_behind) c.offset.assign(inputs, 0.0F);
      ConstantsPool pool;
      const auto in = static_cast<std::int64_t>(inputs);
      const auto out = static_cast<std::int64_t>(units);
      const ops::DenseDesc dense{.batch = 1, .inputs = in, .units = out, .has_bias = true, .activation = {}};
      const auto columns = static_cast<std::int64_t>(c.scale.size());
      const ops::AffineDesc affine{1, {columns}, {columns}, {columns}, DType::float32};
      const ops::Constants weights({tensor(c.kernel, {in, out}), tensor(c.bias, {out})});
      const ops::Constants factors({tensor(c.scale, {columns}), tensor(c.offset, {columns})});
      const auto folded =
          is_behind ? folded_behind(dense, weights, affine, factors, pool) : folded_before(dense, weights, affine, factors, pool);
      if (!folded) continue;
      ++folded_cases;
      for (std::size_t u = 0; u < units; ++u) {
        SCOPED_TRACE(testing::Message() << "case " << n << ", unit " << u);
        expect_rounding(is_behind ? behind(c, *folded, u) : before(c, *folded, u), inputs);
        if (HasFatalFailure()) return;
      }
    }
    EXPECT_GT(folded_cases, kCases / 5) << "too few cases were folded";
    EXPECT_LT(folded_cases, kCases * 4 / 5);
  }
}

/// A Dense and an affine step with one weight and one constant of each kind.
bool folds(float kernel, float bias, float scale, float offset, bool is_behind) {
  ConstantsPool pool;
  const ops::DenseDesc dense{.batch = 1, .inputs = 1, .units = 1, .has_bias = true, .activation = {}};
  const ops::AffineDesc affine{1, {}, {}, {}, DType::float32};
  const ops::Constants weights({tensor({kernel}, {1, 1}), tensor({bias}, {1})});
  const ops::Constants factors({tensor({scale}, {}), tensor({offset}, {})});
  return (is_behind ? folded_behind(dense, weights, affine, factors, pool) : folded_before(dense, weights, affine, factors, pool))
      .has_value();
}

TEST(FoldTest, IsNotDoneIfAProductOrSumMayLeaveTheRange) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  for (const bool is_behind : {true, false}) {
    EXPECT_TRUE(folds(1.0F, 0.5F, 3.0F, 0.0F, is_behind));
    EXPECT_TRUE(folds(1e-20F, 1e5F, 1e-10F, 0.0F, is_behind));
    EXPECT_TRUE(folds(0.0F, 0.0F, 0.0F, 0.0F, is_behind));
    EXPECT_FALSE(folds(1e30F, 0.0F, 1e10F, 0.0F, is_behind)) << "the weight overflows";
    EXPECT_FALSE(folds(1e-30F, 0.0F, 1e-18F, 0.0F, is_behind)) << "the weight underflows";
    EXPECT_FALSE(folds(1e-20F, 0.0F, 1e-19F, 0.0F, is_behind)) << "the weight loses bits";
    EXPECT_FALSE(folds(1e30F, 0.0F, 1e-20F, 0.0F, is_behind)) << "the product overflows for ordinary inputs, in Keras' order";
    EXPECT_FALSE(folds(1.0F, 1e30F, 1.0F, 0.0F, is_behind)) << "the bias leaves inputs no room";
    EXPECT_FALSE(folds(1.0F, 0.0F, 1e-40F, 0.0F, is_behind)) << "the scale has lost bits already";
    for (const float bad : {kInf, -kInf, kNaN}) {
      EXPECT_FALSE(folds(bad, 0.0F, 1.0F, 0.0F, is_behind));
      EXPECT_FALSE(folds(1.0F, bad, 1.0F, 0.0F, is_behind));
      EXPECT_FALSE(folds(1.0F, 0.0F, bad, 0.0F, is_behind));
      EXPECT_FALSE(folds(1.0F, 0.0F, 1.0F, bad, is_behind));
    }
  }
  EXPECT_FALSE(folds(1.0F, 1.0F, 1.0F, 1.0F, false)) << "an offset before the product";
  EXPECT_TRUE(folds(1.0F, 1.0F, 1.0F, 1.0F, true));
}

TEST(FoldTest, IsNotDoneForWeightsOf16Bits) {
  ConstantsPool pool;
  for (const DType dtype : {DType::float16, DType::bfloat16}) {
    const ops::DenseDesc dense{.batch = 1, .inputs = 1, .units = 1, .has_bias = false, .activation = {}, .dtype = dtype};
    const ops::AffineDesc affine{1, {}, {}, {}, dtype};
    const ops::Constants weights({tensor({1}, {1, 1})});
    const ops::Constants factors({tensor({2}, {}), tensor({0}, {})});
    EXPECT_FALSE(folded_behind(dense, weights, affine, factors, pool));
    EXPECT_FALSE(folded_before(dense, weights, affine, factors, pool));
  }
}

}  // namespace
}  // namespace lamella::model
