// SPDX-License-Identifier: Apache-2.0
// The results and weights of models built in C++; builders_config_test.cpp tests their configs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <lamella/models.hpp>
#include <lamella/npy.hpp>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "model/model_support.hpp"

namespace lamella {
namespace {

using ::testing::HasSubstr;
using namespace test;

const Options kCpu{.device = Device::cpu(), .threads = 1};

TEST(BuildersTest, BothSpellingsOfAnActivationGiveTheSameBits) {
  const Tensor x = random_input({3, 33});
  for (const std::string_view name : activation_names()) {
    if (name == "threshold") continue;  // its parameters have no defaults
    Sequential inside({Dense(32, {.activation = name}), Dense(7, {.activation = name == "glu" ? "tanh" : name})});
    Sequential behind({Dense(32), Activation(name), Dense(7), Activation(name == "glu" ? "tanh" : name)});
    inside.build({33}, {.seed = 5});
    behind.build({33}, {.seed = 5});
    EXPECT_TRUE(same_bits(inside.compile(kCpu).predict(x), behind.compile(kCpu).predict(x))) << name;
  }
}

TEST(BuildersTest, ALayerAsActivationIsThatLayerAfterADense) {
  const Tensor x = random_input({5, 31});
  const PReLU alpha({.alpha_initializer = "random_normal"});
  for (const Layer& layer :
       std::vector<Layer>{alpha, LeakyReLU({.negative_slope = 0.1}), ReLU({.max_value = 1.0}), ELU({.alpha = 0.5}), Softmax()}) {
    Sequential inside({Dense(7, {.activation = layer})});
    Sequential behind({Dense(7), layer});
    inside.build({31}, {.seed = 5});
    behind.build({31}, {.seed = 5});
    EXPECT_TRUE(same_bits(inside.get_weights(), behind.get_weights())) << layer.class_name();
    EXPECT_TRUE(same_bits(inside.compile(kCpu).predict(x), behind.compile(kCpu).predict(x))) << layer.class_name();
  }
}

TEST(BuildersTest, DenseAgreesWithFloat64AtAwkwardSizes) {
  for (const std::int64_t inputs : {1, 3, 31, 127}) {
    for (const std::int64_t units : {1, 7, 33, 129}) {
      for (const std::int64_t rows : {0, 1, 3, 129}) {
        Sequential net({Dense(units, {.bias_initializer = "random_normal"})});
        net.build({inputs}, {.seed = 11});
        const std::vector<Tensor> weights = net.get_weights();
        const Tensor x = random_input({rows, inputs});
        Tensor y({rows, units});
        for (float& v : y.span<float>()) v = std::numeric_limits<float>::quiet_NaN();
        net.compile(kCpu).predict_into(x, y);
        for (std::int64_t i = 0; i < rows * units; ++i) {
          const auto at = [](const Tensor& t, std::int64_t index) {
            return static_cast<double>(t.span<float>()[static_cast<std::size_t>(index)]);
          };
          double wanted = at(weights[1], i % units);
          for (std::int64_t k = 0; k < inputs; ++k)
            wanted += at(x, i / units * inputs + k) * at(weights[0], k * units + i % units);
          ASSERT_NEAR(at(y, i), wanted, 1e-5 * std::max(1.0, std::fabs(wanted)))
              << inputs << " " << units << " " << rows << " " << i;
        }
      }
    }
  }
}

TEST(BuildersTest, WeightsDependOnTheSeedAlone) {
  const auto weights = [](std::uint64_t seed) {
    Sequential net({Dense(127), Dense(127), PReLU({.alpha_initializer = "random_normal"}), Dense(127)}, {.seed = seed});
    net.build({127});
    return net.get_weights();
  };
  const std::vector<Tensor> first = weights(7);
  EXPECT_FALSE(same_bits(first[0], weights(8)[0]));
  EXPECT_FALSE(same_bits(first[0], first[2])) << "two layers of one model have the same weights";
  std::vector<std::vector<Tensor>> others(4);
  std::vector<std::thread> threads;
  for (auto& other : others) threads.emplace_back([&other, &weights] { other = weights(7); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& other : others) EXPECT_TRUE(same_bits(first, other));
  const double bound = std::sqrt(6.0 / (127 + 127));
  double largest = 0;
  for (const float v : first[0].span<float>()) largest = std::max(largest, std::fabs(static_cast<double>(v)));
  EXPECT_LE(largest, bound);
  EXPECT_GT(largest, 0.99 * bound);  // the largest of 16129 uniform numbers
}

TEST(BuildersTest, AnInitializersOwnSeedTakesPrecedence) {
  Initializer own = Initializer::he_uniform();
  own.seed = 42;
  Sequential a({Dense(5, {.kernel_initializer = own})});
  Sequential b({Dense(3), Dense(5, {.kernel_initializer = own})});
  a.build({3}, {.seed = 1});
  b.build({3}, {.seed = 2});
  EXPECT_TRUE(same_bits(a.get_weights()[0], b.get_weights()[2]));
  EXPECT_TRUE(same_bits(a.get_weights()[0], initialize(own, {3, 5})));
}

TEST(BuildersTest, EachLayersWeightsHaveKerasShapesAndOrder) {
  const auto shapes = [](const Layer& layer) {
    std::string text;
    for (const Tensor& weight : layer.get_weights()) text += to_string(weight.shape());
    return text;
  };
  const auto built = [&](Layer layer, const std::vector<std::int64_t>& sample) {
    layer.build(sample);
    return shapes(layer);
  };
  EXPECT_EQ(built(Dense(4), {2, 3}), "(3, 4)(4,)");
  EXPECT_EQ(built(Dense(4, {.use_bias = false}), {3}), "(3, 4)");
  EXPECT_EQ(built(Dense(4, {.activation = PReLU()}), {2, 3}), "(3, 4)(4,)(2, 4)");
  EXPECT_EQ(built(PReLU({.shared_axes = {1}}), {2, 3}), "(1, 3)");
  EXPECT_EQ(built(PReLU({.shared_axes = {1}}), {-1, 3}), "(1, 3)");
  EXPECT_EQ(built(BatchNormalization(), {2, 3}), "(3,)(3,)(3,)(3,)");
  EXPECT_EQ(built(BatchNormalization({.axis = 1, .scale = false}), {2, 3}), "(2,)(2,)(2,)");
  EXPECT_EQ(built(LayerNormalization({.axis = {2, 1}}), {5, 3, 4}), "(5, 3)(5, 3)");
  EXPECT_EQ(built(LayerNormalization({.center = false}), {-1, 4}), "(4,)");
  EXPECT_EQ(built(Dense(4, {.dtype = "mixed_bfloat16"}), {3}), "(3, 4)(4,)");
  Sequential nested({Dense(2), Sequential({BatchNormalization()}), Dense(1)});
  nested.build({3});
  EXPECT_EQ(shapes(nested), "(3, 2)(2,)(2,)(2,)(2,)(2,)(2, 1)(1,)");
  EXPECT_EQ(nested.count_params(), 19);
}

TEST(BuildersTest, WeightsAreStoredInThePolicysVariableType) {
  const auto dtype = [](const char* policy) {
    Dense dense(3, {.dtype = policy});
    dense.build({2});
    return to_string(dense.get_weights()[0].dtype());
  };
  EXPECT_EQ(dtype("float16"), "float16");
  EXPECT_EQ(dtype("mixed_float16"), "float32");
  EXPECT_EQ(dtype("float64"), "float64");
}

TEST(BuildersTest, SetWeightsConvertsAndLeavesCompiledModelsAlone) {
  const Dense dense(2, {.name = "d"});
  const Sequential net({Input({2}), dense});
  const Model before = net.compile(kCpu);
  const std::vector<double> kernel{1, 2, 3, 4};
  const std::vector<float> bias{10, 20};
  Layer handle = net.get_layer("d");
  handle.set_weights({TensorView(std::span(kernel), {2, 2}), TensorView(std::span(bias), {2})});
  const std::vector<float> x{1, 10};
  const Tensor y = net.compile(kCpu).predict(x, {1, 2});
  EXPECT_THAT(y.span<float>(), ::testing::ElementsAre(41.0F, 62.0F));
  EXPECT_FALSE(same_bits(before.predict(x, {1, 2}), y));
  EXPECT_TRUE(same_bits(dense.get_weights()[1], Tensor::of<float>(bias, {2})));
}

TEST(BuildersTest, SetWeightsChangesNothingWhenOneDoesNotFit) {
  Sequential net({Input({2}), Dense(2), Dense(1)});
  const std::vector<Tensor> old = net.get_weights();
  std::vector<Tensor> wrong = net.get_weights();
  wrong[0].span<float>()[0] += 1;
  wrong[3] = Tensor::zeros({2});
  expect_error(ErrorCode::shape, "weight 3, 'dense/bias': got shape (2,), allowed (1,)", [&] { net.set_weights(wrong); });
  wrong.pop_back();
  expect_error(ErrorCode::argument, "has 4 weights, got 3", [&] { net.set_weights(wrong); });
  EXPECT_TRUE(same_bits(net.get_weights(), old));
}

TEST(BuildersTest, ASharedLayerHasOneSetOfWeights) {
  const Dense shared(3);
  const auto x = Input({3});
  const Functional inner(x, shared(x), {.name = "inner"});
  const auto a = Input({3});
  const Functional outer(a, Add()({shared(inner(a)), shared(a)}));
  EXPECT_EQ(outer.count_params(), 12);
  EXPECT_EQ(outer.get_weights().size(), 2U);
  const Model model = outer.compile(kCpu);
  EXPECT_EQ(model.count_params(), 12);
  const Tensor input = random_input({5, 3});
  const Tensor one = inner.compile(kCpu).predict(input);
  const Tensor two = inner.compile(kCpu).predict(one);
  const Tensor sum = model.predict(input);
  for (std::size_t i = 0; i < 15; ++i) EXPECT_FLOAT_EQ(sum.span<float>()[i], one.span<float>()[i] + two.span<float>()[i]);
}

TEST(BuildersTest, AModelInABraceIsALayerAndNotACopy) {
  const Sequential inner({Dense(2)});
  const Sequential outer({inner});
  ASSERT_EQ(outer.layers().size(), 1U);
  EXPECT_EQ(outer.layers()[0], inner);
}

TEST(BuildersTest, LayersAreNumberedByTheirAgeAroundGivenNames) {
  const Dense oldest(1);
  const Dense given(1, {.name = "dense_1"});
  const Sequential net({Input({1}), Dense(1), given, oldest, PReLU(), LeakyReLU(), SpatialDropout1D(0.5)});
  std::vector<std::string> names;
  for (const LayerInfo& info : net.compile(kCpu).layers()) names.push_back(info.name);
  EXPECT_THAT(
      names, ::testing::ElementsAre("input_layer", "dense_2", "dense_1", "dense", "p_re_lu", "leaky_re_lu", "spatial_dropout1d"));
  EXPECT_EQ(net.get_layer("dense"), oldest);
  const Sequential outer({Input({1}), net}, {.name = "outer"});
  EXPECT_EQ(net.compile(kCpu).get_layer("dense").path, "dense");
  EXPECT_EQ(outer.compile(kCpu).get_layer("sequential/dense").name, "dense");
  EXPECT_EQ(net.name(), "sequential");
  EXPECT_EQ(net.compile(kCpu).name(), "sequential");
}

TEST(BuildersTest, AddKeepsExistingWeights) {
  Sequential net({Input({3}), Dense(4)});
  const std::vector<Tensor> old = net.get_weights();
  net.add(Dense(2));
  const std::vector<Tensor> now = net.get_weights();
  ASSERT_EQ(now.size(), 4U);
  EXPECT_TRUE(same_bits(old[0], now[0]) && same_bits(old[1], now[1]));
  EXPECT_EQ(net.compile(kCpu).output_shape(), std::vector<std::int64_t>{2});
  Sequential later;
  later.add(Dense(4));
  later.build({3});
  later.add(Dense(2));
  EXPECT_TRUE(same_bits(later.get_weights(), now));
}

TEST(BuildersTest, OpenExtentsStayOpenUntilPredict) {
  const auto x = Input({-1, 4});
  const auto y = Input({-1, 2});
  const Functional graph({x, y}, {Concatenate()({Dense(3)(x), y}), Flatten()(x), Reshape({2, -1})(x)});
  const Model model = graph.compile(kCpu);
  EXPECT_EQ(model.output_shape(0), (std::vector<std::int64_t>{-1, 5}));
  EXPECT_EQ(model.output_shape(1), (std::vector<std::int64_t>{-1}));
  EXPECT_EQ(model.output_shape(2), (std::vector<std::int64_t>{2, -1}));
  const Tensor a = random_input({2, 7, 4});
  const Tensor b = random_input({2, 7, 2});
  const std::vector<TensorView> inputs{a, b};
  EXPECT_EQ(to_string(model.predict(inputs)[0].shape()), "(2, 7, 5)");
}

TEST(BuildersTest, SummaryEqualsTheCompiledModels) {
  const Sequential net({Input({3}), Dense(4, {.activation = "relu"}), Dense(2)}, {.name = "mlp"});
  EXPECT_EQ(net.summary(), net.compile(kCpu).summary());
  EXPECT_THAT(net.summary(), HasSubstr("Total params: 26"));
}

TEST(BuildersTest, ADeepChainIsBuiltAndOneTooDeepRefused) {
  const auto input = Input({1});
  auto x = input;
  for (int i = 0; i < 4999; ++i) x = Identity()(x);
  EXPECT_EQ(Functional(input, x).layers().size(), 5000U);
  x = Identity()(x);
  expect_error(ErrorCode::argument, "follows 5001 layer calls, allowed 0..5000", [&] { static_cast<void>(Identity()(x)); });
}

}  // namespace
}  // namespace lamella
