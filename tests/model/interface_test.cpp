// SPDX-License-Identifier: Apache-2.0
// A Model's interface besides predict() of one input: activations with parameters, lists of inputs, partial models, statistics.
#include "core/activation_reference.hpp"
#include "model/model_support.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <fstream>
#include <lamella/models.hpp>
#include <lamella/npy.hpp>
#include <lamella/product_layers.hpp>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>

namespace lamella {
namespace {

using namespace test;
using ::testing::HasSubstr;
using Json = nlohmann::json;

const Options kCpu{.device = Device::cpu(), .threads = 1};
const std::string kFixtures = std::string(LAMELLA_FIXTURES) + "/keras3/";

/// Each kind with other parameters than the defaults of its name, including the limits that Keras accepts.
const std::vector<ActivationSpec>& parameterised() {
  static const auto& specs = *new std::vector<ActivationSpec>{
      ActivationSpec::leaky_relu(0.05),
      ActivationSpec::leaky_relu(0),
      ActivationSpec::elu(2.5),
      ActivationSpec::elu(-1),
      ActivationSpec::gelu(true),
      ActivationSpec::relu(0, 5),
      ActivationSpec::relu(0.1, {}, 0.25),
      ActivationSpec::relu(0.125, 1.5, 0.5),
      activation_of("celu", {{"alpha", 0.5}}),
      activation_of("squareplus", {{"b", 1e-3}}),
      activation_of("hard_shrink", {{"threshold", 0.125}}),
      activation_of("soft_shrink", {{"threshold", 0.75}}),
      activation_of("threshold", {{"threshold", 0.25}, {"default_value", -3}}),
  };
  return specs;
}

Sequential chain(const ActivationArgument& activation) {
  Sequential net({Dense(5, {.activation = activation, .name = "dense"}), Dense(3, {.name = "last"})});
  net.build({7}, {.seed = 3});
  return net;
}

/// The chain's Dense(5), in float64.
std::vector<double> product(const Model& model, const Tensor& x) {
  const auto kernel = model.weights()[0].span<float>();
  std::vector<double> y;
  for (std::int64_t r = 0; r < x.shape()[0]; ++r) {
    for (std::size_t u = 0; u < 5; ++u) {
      double sum = 0;
      for (std::size_t i = 0; i < 7; ++i)
        sum += static_cast<double>(x.span<float>()[static_cast<std::size_t>(r) * 7 + i]) * static_cast<double>(kernel[i * 5 + u]);
      y.push_back(sum);
    }
  }
  return y;
}

TEST(ActivationsWithParameters, ComputeTheirFormulaInADense) {
  const Tensor x = random_input({33, 7});
  const Model linear = chain("linear").compile(kCpu);
  const std::vector<double> z = product(linear, x);
  for (const ActivationSpec& spec : parameterised()) {
    const Truth truth = truths().at(to_string(spec.kind));
    const Tensor y = linear.with_activation("dense", spec).output_of("dense").predict(x);
    for (std::size_t i = 0; i < z.size(); ++i)
      ASSERT_NEAR(y.span<float>()[i], truth(z[i], spec.parameters), 4e-6) << to_string(spec.kind) << " of " << z[i];
  }
}

TEST(ActivationsWithParameters, AreTheSameModelHoweverTheyAreSet) {
  const Tensor x = random_input({5, 7});
  for (const ActivationSpec& spec : parameterised()) {
    Model changed = chain("tanh").compile(kCpu);
    changed.set_activation("dense", spec);
    const Model built = chain(spec).compile(kCpu);
    EXPECT_TRUE(same_bits(changed.predict(x), built.predict(x))) << to_string(spec.kind);
    // The code that reads files makes the same model of both configs.
    const Json wanted = Json::parse(built.get_layer("dense").config).at("activation");
    Json found = Json::parse(changed.get_layer("dense").config).at("activation");
    EXPECT_EQ(found, wanted);
    Sequential behind({Dense(5, {.name = "dense"}), Activation(spec, {.name = "act"}), Dense(3, {.name = "last"})});
    behind.build({7}, {.seed = 3});
    EXPECT_TRUE(same_bits(behind.compile(kCpu).predict(x), built.predict(x))) << to_string(spec.kind);
    EXPECT_EQ(
        Json::parse(behind.compile(kCpu).with_activation("act", "tanh").with_activation("act", spec).get_layer("act").config),
        Json::parse(behind.compile(kCpu).get_layer("act").config));
  }
}

TEST(ActivationsWithParameters, AreWrittenAsANameIfTheParametersAreItsDefaults) {
  for (const std::string_view name : activation_names()) {
    if (name == "threshold" || name == "glu") continue;  // the parameters of one have no defaults, the other needs an even extent
    const ActivationSpec spec = activation_of(name);
    const Model model = chain("linear").compile(kCpu).output_of("dense").with_activation("dense", spec);
    EXPECT_EQ(Json::parse(model.get_layer("dense").config).at("activation"), to_string(spec.kind)) << name;
  }
}

TEST(ActivationsWithParameters, WorkAlongAnyAxis) {
  const Tensor x = random_input({4, 3, 7});
  const auto input = Input({3, 7});
  const Functional net(input, Dense(5, {.activation = ActivationSpec::softmax(1), .name = "dense"})(input));
  const Tensor y = net.compile(kCpu).predict(x);
  for (std::size_t r = 0; r < 4; ++r) {
    for (std::size_t u = 0; u < 5; ++u) {
      double sum = 0;
      for (std::size_t s = 0; s < 3; ++s) sum += static_cast<double>(y.span<float>()[(r * 3 + s) * 5 + u]);
      EXPECT_NEAR(sum, 1, 1e-6);
    }
  }
  for (const char* name : {"softmax", "log_softmax", "sparsemax"}) {
    const ActivationSpec spec = activation_of(name, {{"axis", 1}});
    const Model changed = net.compile(kCpu).with_activation("dense", spec);
    const Functional built(input, Dense(5, {.activation = spec, .name = "dense"})(input));
    EXPECT_EQ(Json::parse(changed.get_layer("dense").config).at("activation"),
              Json::parse(built.compile(kCpu).get_layer("dense").config).at("activation"));
  }
}

TEST(ActivationsWithParameters, AreRefusedWhereKerasHasNone) {
  const Model model = chain("tanh").compile(kCpu);
  const auto refused = [&](const ActivationSpec& spec, const std::string& words) {
    expect_error(ErrorCode::value, words, [&] { static_cast<void>(model.with_activation("dense", spec)); });
    expect_error(ErrorCode::value, words, [&] { static_cast<void>(Dense(3, {.activation = spec})); });
  };
  refused(ActivationSpec::leaky_relu(-0.1), "negative_slope: got -0.1");
  refused(ActivationSpec::elu(std::numeric_limits<double>::quiet_NaN()), "alpha: got nan");
  refused(ActivationSpec::elu(std::numeric_limits<double>::infinity()), "alpha: got inf");
  refused({.kind = ActivationKind::Tanh, .parameters = {1}}, "it has 0 parameters");
  refused({.kind = ActivationKind::Tanh, .axis = 1}, "axis: got 1");
  refused({.kind = ActivationKind::Sqrt}, "'sqrt' is not an activation of Keras");
  refused({.kind = static_cast<ActivationKind>(200)}, "got 200");
  expect_error(ErrorCode::value, "no parameter 'beta'; known: alpha", [] {
    static_cast<void>(activation_of("elu", {{"beta", 1}}));
  });
  expect_error(ErrorCode::value, "known: none", [] { static_cast<void>(activation_of("tanh", {{"beta", 1}})); });
  expect_error(ErrorCode::value, "needs values for default_value", [] {
    static_cast<void>(activation_of("threshold", {{"threshold", 1}}));
  });
  expect_error(ErrorCode::value, "axis: got 0.5", [] { static_cast<void>(activation_of("softmax", {{"axis", 0.5}})); });
}

Functional two_inputs() {
  const auto a = Input({3}, {.name = "a"});
  const auto b = Input({3}, {.name = "b"});
  return Functional({a, b}, Subtract()({a, b}));
}

TEST(ListsOfInputs, AreSeveralInputs) {
  const Model model = two_inputs().compile(kCpu);
  const std::vector<float> a{5, 7, 9};
  const std::array<float, 3> b{1, 2, 3};
  const Tensor owned = Tensor::of(a, {1, 3});
  const TensorView view(b, {1, 3});
  const std::vector<float> wanted{4, 5, 6};
  const auto values = [](const std::vector<Tensor>& y) {
    EXPECT_EQ(y.size(), 1U);
    return std::vector<float>(y[0].span<float>().begin(), y[0].span<float>().end());
  };
  EXPECT_EQ(values(model.predict({owned, view})), wanted);
  EXPECT_EQ(values(model.predict({owned, owned})), (std::vector<float>{0, 0, 0}));
  EXPECT_EQ(values(model.predict({view, {b, {1, 3}}})), (std::vector<float>{0, 0, 0}));
  EXPECT_EQ(values(model.predict({{a, {1, 3}}, {b, {1, 3}}})), wanted);
  EXPECT_EQ(values(model.predict({{a.data(), {1, 3}}, {std::span(b), {1, 3}}})), wanted);
  EXPECT_EQ(values(model.predict({{"b", view}, {"a", owned}})), wanted);
  EXPECT_EQ(values(model.predict(std::map<std::string, TensorView>{{"b", view}, {"a", owned}})), wanted);
  EXPECT_EQ(values(model.predict(std::vector<TensorView>{owned, view})), wanted);
  Tensor y({1, 3});
  model.predict_into({owned, view}, {y});
  EXPECT_EQ(y.span<float>()[2], 6);
  expect_error(ErrorCode::argument, "takes 2 inputs ('a', 'b'), got 1", [&] { static_cast<void>(model.predict({owned})); });
  expect_error(ErrorCode::argument, "got 0", [&] { static_cast<void>(model.predict({})); });
}

TEST(ListsOfInputs, OfOneInputReturnAListUnlikeAView) {
  const Model model = chain("tanh").compile(kCpu);
  const Tensor x = random_input({2, 7});
  const Tensor one = model.predict(x);
  const std::vector<Tensor> list = model.predict({x});
  ASSERT_EQ(list.size(), 1U);
  EXPECT_TRUE(same_bits(list[0], one));
  const auto elements = x.span<float>();
  static_assert(std::is_same_v<decltype(model.predict({elements.data(), {2, 7}})), Tensor>);
  EXPECT_TRUE(same_bits(model.predict({elements.data(), {2, 7}}), one));
  EXPECT_TRUE(same_bits(model.predict({elements, {2, 7}}), one));
  EXPECT_TRUE(same_bits(model.predict(elements, {2, 7}), one));
}

TEST(Load, ReadsTheRestOfAStream) {
  const std::string path = kFixtures + "dense_chain/model.keras";
  std::stringstream stream;
  stream << "a header of one's own" << std::ifstream(path, std::ios::binary).rdbuf();
  stream.ignore(21);
  stream.exceptions(std::ios::badbit | std::ios::failbit | std::ios::eofbit);
  const Model model = Model::load(stream, kCpu);
  EXPECT_TRUE(stream.good());
  const Model same = Model::load(path, kCpu);
  const Tensor x = random_input(Shape{3, same.input_shape()[0]});
  EXPECT_TRUE(same_bits(model.predict(x), same.predict(x)));
}

TEST(Load, ReportsErrorsOfAStream) {
  const auto message = [](std::istream& stream) -> std::string {
    try {
      (void)Model::load(stream, kCpu);
    } catch (const LoadError& error) {
      return error.what();
    }
    return "it was read";
  };
  std::ifstream absent("no such file");
  EXPECT_THAT(message(absent), testing::AllOf(testing::StartsWith("(stream): cannot be read"), testing::HasSubstr("[E_IO]")));
  std::ifstream directory(kFixtures);
  EXPECT_THAT(message(directory), testing::AllOf(testing::StartsWith("(stream): cannot be read"), testing::HasSubstr("[E_IO]")));
  std::istringstream empty;
  EXPECT_THAT(message(empty), testing::StartsWith("(memory)"));
  std::istringstream text("this is no model");
  EXPECT_THAT(message(text), testing::StartsWith("(memory)"));
}

/// With Keras' own results: the outputs of each layer are the inputs of the layers after it.
TEST(OutputOf, IsTheInputOfLaterLayers) {
  for (const char* name :
       {"dense_chain", "functional", "residual", "graph", "sequential_in_functional", "functional_in_sequential"}) {
    const std::string folder = kFixtures + name;
    if (!std::ifstream(folder + "/model.keras")) continue;
    const Model model = Model::load(folder + "/model.keras", kCpu);
    std::vector<Tensor> x;
    for (std::size_t i = 0; i < model.input_names().size(); ++i) {
      std::vector<std::int64_t> shape = model.input_shape(static_cast<int>(i));
      shape.insert(shape.begin(), 3);
      x.push_back(random_input(Shape(shape), static_cast<unsigned>(i)));
    }
    const std::vector<TensorView> inputs(x.begin(), x.end());
    const std::vector<Tensor> whole = model.predict(inputs);
    for (std::size_t o = 0; o < model.output_names().size(); ++o) {
      const Model part = model.output_of(model.output_names()[o]);
      EXPECT_EQ(part.output_names(), std::vector<std::string>{model.output_names()[o]}) << name;
      EXPECT_TRUE(same_bits(part.predict(inputs)[0], whole[o])) << name;
    }
  }
}

TEST(OutputOf, EndsInsideNestedModelsAndSharesWeights) {
  const Sequential inner({Dense(4, {.activation = "tanh", .name = "first"}), Dense(2, {.name = "second"})}, {.name = "inner"});
  const auto input = Input({3});
  const Functional net(input, Dense(5, {.name = "last"})(inner(Dense(6, {.name = "before"})(input))));
  const Model model = net.compile(kCpu);
  const Tensor x = random_input({4, 3});
  const Model part = model.output_of("inner/first");
  EXPECT_EQ(part.output_shape(), std::vector<std::int64_t>{4});
  EXPECT_EQ(part.output_names(), std::vector<std::string>{"first"});
  EXPECT_EQ(part.get_layer("inner/first").weights[0].second.data(), model.get_layer("inner/first").weights[0].second.data());
  EXPECT_EQ(part.count_params(), 3 * 6 + 6 + 6 * 4 + 4);
  EXPECT_THAT(part.summary(), ::testing::Not(HasSubstr("last")));
  // Applying `second` and `last` by hand to the partial model's output must give the whole model's output.
  const Sequential rest({Dense(2, {.name = "second"}), Dense(5, {.name = "last"})});
  Sequential tail = rest;
  tail.build({4});
  std::vector<TensorView> weights;
  for (const char* layer : {"inner/second", "last"}) {
    for (const auto& [name, view] : model.get_layer(layer).weights) weights.push_back(view);
  }
  tail.set_weights(std::span<const TensorView>(weights));
  const Tensor y = tail.compile(kCpu).predict(part.predict(x));
  const Tensor wanted = model.predict(x);
  for (std::size_t i = 0; i < 20; ++i) EXPECT_NEAR(y.span<float>()[i], wanted.span<float>()[i], 1e-6);
  EXPECT_TRUE(same_bits(model.output_of("inner").predict(x), model.output_of("inner/second").predict(x)));
  EXPECT_TRUE(same_bits(model.output_of("last").predict(x), wanted));
  EXPECT_EQ(model.output_of("before").with_activation("before", ActivationSpec::leaky_relu(0.5)).get_layer("before").path,
            "before");
}

TEST(OutputOf, RemovesUnneededLayers) {
  const auto input = Input({3});
  const Functional net(input, Add()({Dense(4, {.name = "left"})(input), Dense(4, {.use_bias = false, .name = "right"})(input)}));
  const Model model = net.compile(kCpu);
  EXPECT_EQ(model.output_of("left").count_params(), 3 * 4 + 4);
  EXPECT_EQ(model.output_of("right").count_params(), 3 * 4);
  EXPECT_EQ(model.output_of("right").layers().size(), 2U);
}

TEST(OutputOf, RefusesLayersWithoutASingleOutput) {
  const Dense shared(3, {.name = "shared"});
  const auto input = Input({2, 3}, {.name = "in"});
  const Sequential inner({Dense(3, {.name = "deep"})}, {.name = "inner"});
  const Dense wrapped(3, {.name = "wrapped"});
  const Functional net(input, TimeDistributed(wrapped)(inner(inner(shared(shared(input))))));
  const Model model = net.compile(kCpu);
  expect_error(ErrorCode::unsupported, "layer 'shared' is called 2 times", [&] { static_cast<void>(model.output_of("shared")); });
  expect_error(ErrorCode::unsupported, "'inner/deep' is called 2 times",
               [&] { static_cast<void>(model.output_of("inner/deep")); });
  expect_error(ErrorCode::unsupported, "inside a TimeDistributed", [&] { static_cast<void>(model.output_of("wrapped")); });
  expect_error(ErrorCode::value, "no layer is named 'nobody'; known:", [&] { static_cast<void>(model.output_of("nobody")); });
  const Tensor x = random_input({1, 2, 3});
  EXPECT_TRUE(same_bits(model.output_of("in").predict(x), x));
}

TEST(Numbers, CountCallsRowsProgramsAndSessions) {
  const Model model = chain("tanh").compile(kCpu);
  const ModelStats none = model.stats();
  EXPECT_EQ(none.calls + none.rows + none.programs + none.sessions + none.graphs, 0);
  const Tensor x = random_input({4, 7});
  const Tensor y = model.predict(x);
  static_cast<void>(model.predict(random_input({1, 7})));
  Tensor into(y.shape());
  const Model copy = model;
  copy.predict_into(x, into);
  EXPECT_EQ(model.stats().calls, 3);
  EXPECT_EQ(model.stats().rows, 9);
  EXPECT_EQ(model.stats().programs, 2);
  EXPECT_EQ(model.stats().sessions, 1);
  EXPECT_EQ(model.stats().graphs, 0);
  EXPECT_EQ(model.with_activation("dense", "relu").stats().calls, 0);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) static_cast<void>(model.predict(x));
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(model.stats().calls, 403);
  EXPECT_EQ(model.stats().rows, 1609);
  EXPECT_LE(model.stats().sessions, 5);
}

TEST(Numbers, TimeWhatIsPreparedOnce) {
  const Model model = chain("tanh").compile(kCpu);
  const double made = model.stats().preparing_seconds;
  EXPECT_GT(made, 0);
  const Tensor x = random_input({4, 7});
  const Tensor y = model.predict(x);
  const double first = model.stats().preparing_seconds;
  EXPECT_GT(first, made);
  Tensor into(y.shape());
  for (int i = 0; i < 3; ++i) static_cast<void>(model.predict(x));
  model.predict_into(x, into);
  EXPECT_EQ(model.stats().preparing_seconds, first);  // of other calls nothing is timed
  model.prepare(std::vector<std::int64_t>{9});
  EXPECT_GT(model.stats().preparing_seconds, first);
}

TEST(Numbers, CountMemoryOfWeightsCopiesAndSessions) {
  Sequential net({Dense(300, {.activation = "tanh", .name = "a"}), Dense(200, {.name = "b"})});
  net.build({100}, {.seed = 3});
  const Model model = net.compile(kCpu);
  const std::size_t weights = static_cast<std::size_t>(model.count_params()) * 4;
  EXPECT_EQ(model.memory_bytes().device, 0U);
  EXPECT_EQ(model.memory_bytes().host, weights);
  static_cast<void>(model.predict(random_input({64, 100})));
  const std::size_t used = model.memory_bytes().host;
  EXPECT_GE(used, 2 * weights + 64 * 300 * 4) << "must count packed kernels and the buffer between the layers";
  EXPECT_LE(used, 4 * weights + 2 * 64 * 300 * 4 + (1U << 20U));
  const Model other = model.with_activation("a", "relu");
  EXPECT_GE(other.memory_bytes().host, 2 * weights) << "weights and packed kernels are shared";
  EXPECT_LT(other.memory_bytes().host, used) << "sessions are not shared";
}

}  // namespace
}  // namespace lamella
