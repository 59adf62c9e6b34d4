// SPDX-License-Identifier: Apache-2.0
// A layer gets its own constants, whatever its name, and they live only as long as they are needed.
#include "model/graph.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <lamella/model.hpp>

#include "model/spec_builder.hpp"

namespace lamella {
namespace {

using test::model_of;
using test::SpecBuilder;

const Options kCpu{.device = Device::cpu(), .threads = 1};

/// A layer of one kind and its formula in float64, its constants drawn from `random`.
struct Kind {
  const char* name;
  std::function<void(SpecBuilder&, core::ValueRef&, std::int64_t units, std::vector<double>& truth)> add;
};

std::vector<double> as_doubles(const Tensor& tensor) {
  const Tensor wide = tensor.to(DType::float64);
  return {wide.span<double>().begin(), wide.span<double>().end()};
}

std::shared_ptr<const Tensor> numbers(const std::vector<double>& values) {
  return std::make_shared<const Tensor>(Tensor::of<double>(values, {values.size()}));
}

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all{
      {"Rescaling",
       [](SpecBuilder& b, core::ValueRef& x, std::int64_t units, std::vector<double>& y) {
         const core::RescalingParams params{b.random({units}), b.random({units})};
         for (std::size_t i = 0; i < y.size(); ++i) y[i] = y[i] * as_doubles(*params.scale)[i] + as_doubles(*params.offset)[i];
         x = b.add("Rescaling", params, {x}, {});
       }},
      {"PReLU",
       [](SpecBuilder& b, core::ValueRef& x, std::int64_t units, std::vector<double>& y) {
         const auto alpha = b.random({units});
         const auto a = as_doubles(*alpha);
         for (std::size_t i = 0; i < y.size(); ++i) y[i] = y[i] > 0 ? y[i] : a[i] * y[i];
         x = b.add("PReLU", core::PReluParams{}, {x}, {{"alpha", alpha}});
       }},
      {"BatchNormalization",
       [](SpecBuilder& b, core::ValueRef& x, std::int64_t units, std::vector<double>& y) {
         const std::vector<core::Weight> w{{"gamma", b.random({units})},
                                           {"beta", b.random({units})},
                                           {"moving_mean", b.random({units})},
                                           {"moving_variance", b.random({units}, 0.5F, 2.0F)}};
         for (std::size_t i = 0; i < y.size(); ++i) {
           y[i] =
               (y[i] - as_doubles(*w[2].value)[i]) / std::sqrt(as_doubles(*w[3].value)[i] + 1e-3) * as_doubles(*w[0].value)[i] +
               as_doubles(*w[1].value)[i];
         }
         x = b.add("BatchNormalization", core::BatchNormalizationParams{}, {x}, w);
       }},
      {"Normalization",
       [](SpecBuilder& b, core::ValueRef& x, std::int64_t units, std::vector<double>& y) {
         const std::vector<core::Weight> w{{"mean", b.random({units})}, {"variance", b.random({units}, 0.5F, 2.0F)}};
         for (std::size_t i = 0; i < y.size(); ++i)
           y[i] = (y[i] - as_doubles(*w[0].value)[i]) / std::sqrt(as_doubles(*w[1].value)[i]);
         x = b.add("Normalization", core::NormalizationParams{}, {x}, w);
       }},
      {"LayerNormalization",
       [](SpecBuilder& b, core::ValueRef& x, std::int64_t units, std::vector<double>& y) {
         const std::vector<core::Weight> w{{"gamma", b.random({units})}, {"beta", b.random({units})}};
         double mean = 0;
         double variance = 0;
         for (const double v : y) mean += v / static_cast<double>(y.size());
         for (const double v : y) variance += (v - mean) * (v - mean) / static_cast<double>(y.size());
         for (std::size_t i = 0; i < y.size(); ++i)
           y[i] = (y[i] - mean) / std::sqrt(variance + 1e-3) * as_doubles(*w[0].value)[i] + as_doubles(*w[1].value)[i];
         x = b.add("LayerNormalization", core::LayerNormalizationParams{}, {x}, w);
       }},
      {"Dense",
       [](SpecBuilder& b, core::ValueRef& x, std::int64_t units, std::vector<double>& y) {
         const auto kernel = b.random({units, units});
         const auto k = as_doubles(*kernel);
         std::vector<double> sum(y.size());
         for (std::size_t i = 0; i < y.size(); ++i) {
           for (std::size_t u = 0; u < y.size(); ++u) sum[u] += y[i] * k[i * y.size() + u];
         }
         y = sum;
         x = b.add("Dense", core::DenseParams{units, false, {}, nullptr}, {x}, {{"kernel", kernel}});
       }},
  };
  return all;
}

void expect_close(const Tensor& got, const std::vector<double>& want) {
  const auto values = as_doubles(got);
  ASSERT_EQ(values.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(values[i], want[i], 1e-5 * (1 + std::fabs(want[i]))) << i;
}

TEST(ConstantsTest, LayersWithTheSamePathHaveTheirOwnConstants) {
  for (const Kind& inner_kind : kinds()) {
    for (const Kind& outer_kind : kinds()) {
      SCOPED_TRACE(std::string(inner_kind.name) + " in a nested model, " + outer_kind.name + " beside it");
      constexpr std::int64_t kUnits = 5;
      SpecBuilder inner(1);
      SpecBuilder outer(2);
      Tensor x({1, kUnits});
      std::vector<double> truth;
      for (float& v : x.span<float>()) truth.push_back(static_cast<double>(v = 0.3F * static_cast<float>(truth.size()) - 0.7F));
      core::ValueRef in = inner.input({kUnits});
      inner.path = "a/b";
      inner.name = "b";
      inner_kind.add(inner, in, kUnits, truth);
      core::ValueRef out = outer.input({kUnits});
      outer.path = "a";
      out = outer.add("Functional", core::NestedParams{inner.build({in})}, {out}, {});
      outer.path = "a/b";
      outer_kind.add(outer, out, kUnits, truth);
      const Model model = model_of(outer.build({out}), kCpu);
      expect_close(model.predict(x), truth);
    }
  }
}

TEST(ConstantsTest, LayersWithTheSamePathMayHaveConstantsOfDifferentSizes) {
  constexpr std::int64_t kUnits = 2000;
  SpecBuilder inner;
  core::ValueRef in = inner.input({kUnits});
  inner.path = "a/b";
  in = inner.add("Rescaling", core::RescalingParams{numbers({2.0}), numbers({0.0})}, {in}, {});
  SpecBuilder outer;
  core::ValueRef out = outer.input({kUnits});
  out = outer.add("Functional", core::NestedParams{inner.build({in})}, {out}, {});
  outer.path = "a/b";
  out = outer.add("Rescaling", core::RescalingParams{numbers(std::vector<double>(kUnits, 3.0)), numbers({1.0})}, {out}, {});
  Tensor x({2, kUnits});
  std::vector<double> truth;
  for (float& v : x.span<float>()) truth.push_back(static_cast<double>(v = static_cast<float>(truth.size() % 7)) * 6 + 1);
  expect_close(model_of(outer.build({out}), kCpu).predict(x), truth);
}

TEST(ConstantsTest, ALayerUsedAsAnActivationSharesNothingWithALayerOfTheSamePath) {
  SpecBuilder b;
  core::ValueRef x = b.input({3});
  auto activation = std::make_shared<core::LayerSpec>();
  activation->name = "activation";
  activation->path = "d/activation";
  activation->class_name = "PReLU";
  activation->config_json = "{}";
  activation->params = core::PReluParams{};
  activation->weights = {{"alpha", std::make_shared<const Tensor>(Tensor::of<float>(std::vector<float>{1, 2, 3}, {3}))}};
  const auto identity = std::make_shared<const Tensor>(Tensor::of<float>(std::vector<float>{1, 0, 0, 0, 1, 0, 0, 0, 1}, {3, 3}));
  b.path = "d";
  x = b.add("Dense", core::DenseParams{3, false, {}, activation}, {x}, {{"kernel", identity}});
  b.path = "d/activation";
  x = b.add("PReLU", core::PReluParams{}, {x},
            {{"alpha", std::make_shared<const Tensor>(Tensor::of<float>(std::vector<float>{10, 100, 1000}, {3}))}});
  expect_close(model_of(b.build({x}), kCpu).predict(Tensor::of<float>(std::vector<float>{-1, -1, -1}, {1, 3})),
               {-10, -200, -3000});
}

TEST(ConstantsPoolTest, DistinguishesConstantsByTensorsAndBitsOfNumbers) {
  model::ConstantsPool pool;
  using What = model::Recipe::What;
  int made = 0;
  const auto make = [&] {
    ++made;
    return Tensor::zeros({1});
  };
  const auto a = std::make_shared<const Tensor>(Tensor::zeros({1}));
  const auto b = std::make_shared<const Tensor>(Tensor::zeros({1}));
  const auto nan = std::bit_cast<std::uint64_t>(std::nan(""));
  const auto one = std::bit_cast<std::uint64_t>(1.0);
  std::vector<std::shared_ptr<const Tensor>> kept;
  for (int round = 0; round < 2; ++round) {
    for (const auto& source : {a, b, std::shared_ptr<const Tensor>()}) {
      for (const std::uint64_t number : {nan, one}) {
        for (const What what : {What::minus_mean, What::deviation}) {
          for (const DType dtype : {DType::float32, DType::float64})
            kept.push_back(pool.computed({what, dtype, {source}, {number}}, make));
        }
      }
    }
    EXPECT_EQ(made, 24);
  }
  EXPECT_EQ(kept[0], kept[24]);
  EXPECT_NE(kept[0], kept[1]);
}

TEST(ConstantsPoolTest, ForgetsUnusedEntriesAndTheirSources) {
  model::ConstantsPool pool;
  using What = model::Recipe::What;
  const auto make = [] { return Tensor::zeros({1}); };
  auto weight = std::make_shared<const Tensor>(Tensor::zeros({1}));
  auto scale = pool.computed({What::deviation, DType::float32, {weight}}, make);
  auto kernel = pool.computed({What::kernel_scaled, DType::float32, {scale}}, make);
  auto constants = pool.get({kernel});
  // The sources of the three entries; only the pool still refers to the first two.
  const std::array<std::weak_ptr<const Tensor>, 3> keys{weight, scale, kernel};
  weight = scale = kernel = nullptr;
  for (int round = 0; round < 2; ++round) {
    pool.sweep();
    for (const auto& key : keys) EXPECT_FALSE(key.expired()) << "entries of constants in use must keep their sources";
    const auto again = pool.computed({What::deviation, DType::float32, {keys[0].lock()}}, make);
    EXPECT_EQ(pool.computed({What::kernel_scaled, DType::float32, {again}}, make), constants->values()[0]);
    EXPECT_EQ(pool.get({keys[2].lock()}), constants);
  }
  constants = nullptr;
  pool.sweep();
  for (const auto& key : keys) EXPECT_TRUE(key.expired());
}

TEST(ConstantsTest, OfOneLengthAreFreedWithTheirProgram) {
  SpecBuilder b;
  const core::ValueRef x = b.input({std::nullopt, 4});
  const auto alpha = b.random({1, 4});
  const core::ValueRef y = b.add("PReLU", core::PReluParams{}, {x}, {{"alpha", alpha}});
  const Model model = model_of(b.build({y}), kCpu);
  const long before = alpha.use_count();
  for (std::int64_t length = 1; length <= 300; ++length) static_cast<void>(model.predict(Tensor::zeros({1, length, 4})));
  EXPECT_LT(alpha.use_count(), before + 100) << "each set of constants keeps the weights that it was made of";
}

TEST(ConstantsTest, OfAnActivationThatDoesNotFitAreFreed) {
  SpecBuilder b;
  const auto kernel = b.random({4, 4});
  core::ValueRef x = b.add("Dense", core::DenseParams{4, false, {}, nullptr}, {b.input({4})}, {{"kernel", kernel}});
  x = b.add("BatchNormalization", core::BatchNormalizationParams{.center = false, .scale = false}, {x},
            {{"moving_mean", b.random({4})}, {"moving_variance", b.random({4}, 1, 2)}});
  b.name = "last";
  x = b.activation(x, activation_of("relu"));
  const Model model = model_of(b.build({b.dense(x, 4, 3)}), kCpu);  // which holds the product of kernel and variance only
  const long before = kernel.use_count();
  EXPECT_THROW(static_cast<void>(model.with_activation("last", "glu")), ArgumentError);
  EXPECT_EQ(kernel.use_count(), before) << "it was lowered again, and then refused";
}

TEST(ConstantsTest, StayAsSmallAsTheyAreInTheFile) {
  constexpr std::int64_t kMany = std::int64_t{1} << 40;
  SpecBuilder b;
  core::ValueRef x = b.input({3, kMany});
  x = b.add("PReLU", core::PReluParams{}, {x}, {{"alpha", b.random({3, 1})}});
  x = b.add("Rescaling", core::RescalingParams{numbers({0.5}), numbers({1.0})}, {x}, {});
  x = b.add("Normalization", core::NormalizationParams{{1, 2}}, {x}, {{"mean", numbers({1.0})}, {"variance", numbers({2.0})}});
  x = b.add("Normalization", core::NormalizationParams{{1}}, {x}, {{"mean", b.random({3})}, {"variance", b.random({3}, 1, 2)}});
  x = b.add("BatchNormalization", core::BatchNormalizationParams{.axis = 1, .center = false, .scale = false}, {x},
            {{"moving_mean", b.random({3})}, {"moving_variance", b.random({3}, 1, 2)}});
  model::ConstantsPool pool;
  const model::Graph graph = model::lower(*b.build({x}), {{3, kMany}}, kCpu, pool);
  ASSERT_EQ(graph.steps.size(), 7U);
  for (const model::Step& step : graph.steps) {
    for (const auto& value : step.constants->values()) EXPECT_LE(value->shape().elements(), 3);
    EXPECT_NO_THROW(ops::expect_constants(step.desc, *step.constants));
  }
}

TEST(ConstantsTest, AreNotComputedIfOnlyShapesAreNeeded) {
  SpecBuilder b;
  core::ValueRef x = b.input({5});
  for (const Kind& kind : kinds()) {
    std::vector<double> truth(5);
    kind.add(b, x, 5, truth);
  }
  const auto spec = b.build({x});
  std::vector<long> before;
  for (const auto& layer : spec->layers) {
    for (const core::Weight& w : layer->weights) before.push_back(w.value.use_count());
  }
  const auto shapes = model::node_shapes(*spec, {Shape{5}});
  EXPECT_EQ(shapes.back(), std::vector<Shape>{Shape{5}});
  std::vector<long> after;
  for (const auto& layer : spec->layers) {
    for (const core::Weight& w : layer->weights) after.push_back(w.value.use_count());
  }
  EXPECT_EQ(after, before);
}

/// The error for a layer that does not fit an input of (None, 4, 3).
std::string refusal(const char* class_name, core::LayerParams params, std::vector<core::Weight> weights) {
  SpecBuilder b;
  const core::ValueRef x = b.input({4, 3});
  const auto spec = b.build({b.add(class_name, std::move(params), {x}, std::move(weights))});
  try {
    const Model model = model_of(spec, kCpu);
  } catch (const ArgumentError& error) {
    EXPECT_EQ(error.code(), ErrorCode::shape);
    return error.what();
  }
  ADD_FAILURE() << "accepted";
  return {};
}

TEST(ConstantsTest, ThatDoNotBroadcastOverTheInputAreRefusedByName) {
  SpecBuilder b;
  const auto rescaling = [&](const Shape& scale) {
    return refusal("Rescaling", core::RescalingParams{b.random(scale), numbers({0.0})}, {});
  };
  using testing::HasSubstr;
  for (const Shape& shape : {Shape{4}, Shape{2}, Shape{3, 4}, Shape{2, 4, 3}, Shape{1, 1, 4, 3}, Shape{4, 4}}) {
    EXPECT_THAT(rescaling(shape), HasSubstr(core::format("'Rescaling_1' scale: has shape {}", to_string(shape))))
        << to_string(shape);
  }
  const auto normalization = [&](const Shape& mean) {
    return refusal("Normalization", core::NormalizationParams{{1, 1}},
                   {{"mean", b.random(mean)}, {"variance", b.random({4}, 1, 2)}});
  };
  for (const Shape& shape : {Shape{3}, Shape{4, 4}, Shape{5}}) {
    EXPECT_THAT(normalization(shape), HasSubstr(core::format("mean has shape {}", to_string(shape)))) << to_string(shape);
  }
  EXPECT_THAT(refusal("PReLU", core::PReluParams{}, {{"alpha", b.random({3})}}), HasSubstr("alpha has shape"));
}

}  // namespace
}  // namespace lamella
