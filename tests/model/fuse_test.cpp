// SPDX-License-Identifier: Apache-2.0
// Which steps are fused and which are not; in both cases results match the formula.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <lamella/models.hpp>
#include <nlohmann/json.hpp>
#include <random>

namespace lamella {
namespace {

using ::testing::ElementsAre;

constexpr std::int64_t kInputs = 5;
constexpr std::int64_t kUnits = 3;
const Options kCpu{.device = Device::cpu(), .threads = 1};

std::vector<std::string> ops(const Model& model) {
  std::vector<std::string> result;
  const auto plan = nlohmann::json::parse(model.explain({.batch = 4, .json = true}));
  for (const auto& step : plan.at("steps")) {
    const std::string op = step.at("op");
    result.push_back(op.substr(0, op.find(' ')));
  }
  return result;
}

Tensor random_rows() {
  std::mt19937 random(9);
  std::normal_distribution<float> normal;
  Tensor x({4, kInputs});
  for (float& v : x.span<float>()) v = normal(random);
  return x;
}

/// x * scale + offset along the last axis; a single number applies to all.
struct Affine {
  std::vector<double> scale{1.0};
  std::vector<double> offset{0.0};
  [[nodiscard]] double of(double x, std::size_t channel) const {
    return x * scale[scale.size() == 1 ? 0 : channel] + offset[offset.size() == 1 ? 0 : channel];
  }
  [[nodiscard]] Layer layer() const { return Rescaling(scale, {.offset = offset}); }
};

Dense dense(bool bias = true) { return Dense(kUnits, {.use_bias = bias, .bias_initializer = "random_normal"}); }

/// Compares `net`, which is [before,] a Dense [and after], with the formula in float64.
void expect_right(const Sequential& net, const Affine& before, const Affine& after) {
  const Tensor x = random_rows();
  const Tensor y = net.compile(kCpu).predict(x);
  const std::vector<Tensor> weights = net.get_weights();
  const auto at = [](const Tensor& t, std::size_t i) { return static_cast<double>(t.span<float>()[i]); };
  for (std::size_t r = 0; r < 4; ++r) {
    for (std::size_t u = 0; u < kUnits; ++u) {
      double sum = weights.size() > 1 ? at(weights[1], u) : 0.0;
      double size = std::fabs(sum);
      for (std::size_t k = 0; k < kInputs; ++k) {
        const double product = before.of(at(x, r * kInputs + k), k) * at(weights[0], k * kUnits + u);
        sum += product;
        size += std::fabs(product);
      }
      const double wanted = after.of(sum, u);
      ASSERT_NEAR(at(y, r * kUnits + u), wanted, 1e-6 * (size * std::fabs(after.of(1, u)) + std::fabs(wanted) + 1))
          << r << ", " << u;
    }
  }
}

TEST(FuseTest, AnAffineStepAfterADenseIsFoldedIntoItsWeights) {
  for (const bool bias : {true, false}) {
    for (const Affine& after :
         {Affine{{0.5}, {2.0}}, Affine{{0.5, 2.0, -1.0}, {1.0, 0.0, 3.0}}, Affine{{3.0, 1.0, 2.0}, {0.0}}}) {
      Sequential net({dense(bias), after.layer()});
      net.build({kInputs}, {.seed = 3});
      EXPECT_THAT(ops(net.compile(kCpu)), ElementsAre("dense"));
      expect_right(net, {}, after);
    }
  }
}

TEST(FuseTest, AScaleBeforeADenseIsFoldedAndAnOffsetIsNot) {
  for (const bool bias : {true, false}) {
    for (const Affine& before : {Affine{{0.5}, {0.0}}, Affine{{1.0, 2.0, 3.0, 4.0, 5.0}, {0.0}}}) {
      Sequential net({before.layer(), dense(bias)});
      net.build({kInputs}, {.seed = 3});
      EXPECT_THAT(ops(net.compile(kCpu)), ElementsAre("dense"));
      expect_right(net, before, {});
    }
    for (const Affine& before : {Affine{{0.5}, {1.0}}, Affine{{2.0}, {0.0, 0.0, 1.0, 0.0, 0.0}}}) {
      Sequential net({before.layer(), dense(bias)});
      net.build({kInputs}, {.seed = 3});
      EXPECT_THAT(ops(net.compile(kCpu)), ElementsAre("affine", "dense"));
      expect_right(net, before, {});
    }
  }
}

TEST(FuseTest, SixteenBitWeightsAreNotFolded) {
  for (const DType dtype : {DType::bfloat16, DType::float16}) {
    Options options = kCpu;
    options.dtype = dtype;
    Sequential net({Affine{{0.5}, {0.0}}.layer(), dense(), Affine{{3.0}, {1.0}}.layer()});
    net.build({kInputs});
    const auto found = ops(net.compile(options));
    EXPECT_EQ(std::count(found.begin(), found.end(), "affine"), 2);
  }
}

TEST(FuseTest, AValueWithOtherReadersIsKept) {
  const KerasTensor x = Input({kInputs});
  const KerasTensor scaled = Rescaling(0.5)(x);
  const KerasTensor sum = dense()(scaled);
  const KerasTensor bent = Activation("tanh")(sum);
  const KerasTensor stretched = Rescaling(2.0)(sum);
  const Model all = Functional(x, {scaled, sum, bent, stretched}).compile(kCpu);
  EXPECT_THAT(ops(all), ElementsAre("affine", "dense", "activation", "affine"));
  const Tensor rows = random_rows();
  const std::vector<Tensor> outputs = all.predict(std::vector<TensorView>{rows});
  for (std::size_t i = 0; i < 4 * kUnits; ++i) {
    const double z = static_cast<double>(outputs[1].span<float>()[i]);
    EXPECT_NEAR(static_cast<double>(outputs[2].span<float>()[i]), std::tanh(z), 1e-6);
    EXPECT_EQ(static_cast<double>(outputs[3].span<float>()[i]), 2 * z);
  }
  for (std::size_t i = 0; i < 4 * kInputs; ++i) EXPECT_EQ(outputs[0].span<float>()[i], 0.5F * rows.span<float>()[i]);
}

TEST(FuseTest, OnlyTheFirstActivationAfterADenseIsAttached) {
  Sequential net({dense(), Activation("relu"), Activation("tanh"), Affine{{2.0}, {0.0}}.layer()});
  net.build({kInputs});
  EXPECT_THAT(ops(net.compile(kCpu)), ElementsAre("dense", "activation", "affine"));
}

TEST(FuseTest, AScaleBeforeTwoDenseLayersStays) {
  const KerasTensor x = Input({kInputs});
  const KerasTensor scaled = Rescaling(0.5)(x);
  EXPECT_THAT(ops(Functional(x, {dense()(scaled), dense()(scaled)}).compile(kCpu)), ElementsAre("affine", "dense", "dense"));
}

}  // namespace
}  // namespace lamella
