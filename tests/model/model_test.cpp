// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <lamella/model.hpp>
#include <nlohmann/json.hpp>
#include <stop_token>
#include <thread>

#include "model/model_support.hpp"
#include "model/spec_builder.hpp"

namespace lamella {
namespace {

using ::testing::HasSubstr;
using namespace test;

const Options kCpu{.device = Device::cpu(), .threads = 1};

std::vector<float> values(const Tensor& tensor) {
  const auto span = tensor.span<float>();
  return {span.begin(), span.end()};
}

/// x . kernel + bias in double.
std::vector<double> dense_in_double(const std::vector<double>& x, const core::LayerSpec& layer, std::int64_t rows) {
  const Tensor& kernel = *layer.weights[0].value;
  const std::int64_t inputs = kernel.shape()[0];
  const std::int64_t units = kernel.shape()[1];
  std::vector<double> y(static_cast<std::size_t>(rows * units));
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t u = 0; u < units; ++u) {
      double sum = layer.weights.size() > 1
                       ? static_cast<double>(layer.weights[1].value->span<float>()[static_cast<std::size_t>(u)])
                       : 0.0;
      for (std::int64_t i = 0; i < inputs; ++i) {
        sum += x[static_cast<std::size_t>(r * inputs + i)] *
               static_cast<double>(kernel.span<float>()[static_cast<std::size_t>(i * units + u)]);
      }
      y[static_cast<std::size_t>(r * units + u)] = sum;
    }
  }
  return y;
}

void expect_close(const Tensor& found, const std::vector<double>& wanted, double tolerance = 1e-5) {
  const auto span = found.span<float>();
  ASSERT_EQ(span.size(), wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i)
    ASSERT_NEAR(static_cast<double>(span[i]), wanted[i], tolerance * std::max(1.0, std::fabs(wanted[i]))) << i;
}

ActivationSpec ready(ActivationKind kind) {
  ActivationSpec spec{.kind = kind};
  for (std::size_t i = 0; i < parameters_of(kind).size(); ++i) {
    const ActivationParameter& parameter = parameters_of(kind)[i];
    spec.parameters[i] = parameter.required ? 0.25 : parameter.default_value;
  }
  return spec;
}

TEST(ModelTest, ComputesTwoDenseLayersAsDoubleDoes) {
  for (const std::int64_t rows : {1, 3, 127, 1027}) {
    SpecBuilder builder;
    const auto x = builder.input({31});
    const auto hidden = builder.dense(x, 31, 33, {.kind = ActivationKind::Tanh});
    const auto spec = builder.build({builder.dense(hidden, 33, 7)});
    const Tensor input = random_input({rows, 31});
    const Model model = model_of(spec, kCpu);
    std::vector<double> wide(input.span<float>().begin(), input.span<float>().end());
    wide = dense_in_double(wide, *spec->layers[1], rows);
    for (double& v : wide) v = std::tanh(v);
    expect_close(model.predict(input), dense_in_double(wide, *spec->layers[2], rows));
  }
}

TEST(ModelTest, DenseWithActivationAndDenseThenActivationAreOneProgramForEveryActivation) {
  for (const ActivationKind kind : {
#define LAMELLA_ELEMENTWISE(Name, ...) ActivationKind::Name,
#define LAMELLA_ROWWISE(Name, ...) ActivationKind::Name,
#include <lamella/activation.def>
       }) {
    const ActivationSpec activation = ready(kind);
    SpecBuilder short_builder(5);
    const auto short_in = short_builder.input({13});
    const Model short_form = model_of(short_builder.build({short_builder.dense(short_in, 13, 34, activation)}), kCpu);
    SpecBuilder long_builder(5);
    const auto long_in = long_builder.input({13});
    const Model long_form =
        model_of(long_builder.build({long_builder.activation(long_builder.dense(long_in, 13, 34), activation)}), kCpu);
    const Tensor x = random_input({5, 13});
    EXPECT_TRUE(same_bits(short_form.predict(x), long_form.predict(x))) << to_string(kind);
    auto a = nlohmann::json::parse(short_form.explain({.batch = 5, .json = true}));
    auto b = nlohmann::json::parse(long_form.explain({.batch = 5, .json = true}));
    for (auto* plan : {&a, &b}) {
      for (auto& step : (*plan)["steps"]) step.erase("layers");
    }
    EXPECT_EQ(a, b) << to_string(kind);
    if (!is_rowwise(kind)) {
      EXPECT_EQ(a["steps"].size(), 1U) << to_string(kind);
    }
  }
}

TEST(ModelTest, TakesZeroRows) {
  SpecBuilder builder;
  const auto x = builder.input({4});
  const Model model = model_of(builder.build({builder.dense(x, 4, 3)}), kCpu);
  EXPECT_EQ(model.predict(Tensor({0, 4})).shape(), (Shape{0, 3}));
}

TEST(ModelTest, SplitsManyRowsWithoutChangingThem) {
  SpecBuilder builder;
  const auto x = builder.input({5});
  const auto spec = builder.build({builder.activation(builder.dense(x, 5, 6), {.kind = ActivationKind::Softmax})});
  const Tensor input = random_input({1027, 5});
  Options parts = kCpu;
  parts.max_batch = 100;
  const std::vector<float> whole = values(model_of(spec, kCpu).predict(input));
  const std::vector<float> split = values(model_of(spec, parts).predict(input));
  for (std::size_t i = 0; i < whole.size(); ++i) ASSERT_NEAR(whole[i], split[i], 1e-6F);
}

TEST(ModelTest, AStoppedPredictionGivesNoAnswer) {
  SpecBuilder builder;
  auto value = builder.input({64});
  for (int i = 0; i < 6; ++i) value = builder.dense(value, 64, 64, activation_of("tanh"));
  const auto spec = builder.build({value});
  for (const int threads : {1, 3}) {
    const Model model = model_of(spec, {.device = Device::cpu(), .threads = threads});
    const Tensor few = random_input({5, 64});
    const Tensor before = model.predict(few);
    const auto cancelled = [&](const Tensor& x, const std::stop_token& stop, bool into = false) {
      Tensor y({into ? x.shape()[0] : 0, 64});
      const TensorView src = x;
      const MutableTensorView dst = y;
      try {
        if (into)
          model.predict_into({&src, 1}, {&dst, 1}, stop);
        else
          static_cast<void>(model.predict(x, stop));
        ADD_FAILURE() << "ended with an answer";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::cancelled);
        EXPECT_THAT(error.what(), HasSubstr(core::format(" of {} rows were started", x.shape()[0])));
      }
    };
    std::stop_source asked;
    asked.request_stop();
    cancelled(few, asked.get_token());
    cancelled(few, asked.get_token(), true);
    std::stop_source later;
    const std::jthread stopper([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      later.request_stop();
    });
    cancelled(random_input({200'000, 64}), later.get_token());
    cancelled(random_input({200'000, 64}), later.get_token(), true);
    EXPECT_TRUE(same_bits(model.predict(few, std::stop_source().get_token()), before));
  }
}

TEST(ModelTest, PredictIntoWritesTheCallersMemoryOnly) {
  SpecBuilder builder;
  const auto x = builder.input({5});
  const Model model = model_of(builder.build({builder.dense(x, 5, 3, {.kind = ActivationKind::Relu})}), kCpu);
  const Tensor input = random_input({7, 5});
  std::vector<float> memory(7 * 3 + 2, -7.0F);
  model.predict_into(input, MutableTensorView(std::span(memory).subspan(1, 21), Shape{7, 3}));
  EXPECT_EQ(memory.front(), -7.0F);
  EXPECT_EQ(memory.back(), -7.0F);
  EXPECT_EQ(std::vector<float>(memory.begin() + 1, memory.end() - 1), values(model.predict(input)));
}

TEST(ModelTest, RefusesAWrongShapeAndNamesTheInput) {
  SpecBuilder builder;
  const auto x = builder.input({5});
  const Model model = model_of(builder.build({builder.dense(x, 5, 3)}), kCpu);
  try {
    static_cast<void>(model.predict(Tensor({2, 4})));
    FAIL();
  } catch (const ArgumentError& error) {
    EXPECT_EQ(error.code(), ErrorCode::shape);
    EXPECT_THAT(error.what(), HasSubstr("expected shape (None, 5), got (2, 4)"));
  }
}

/// As Keras does: (n, 1) for (n,), and (n,) for (n, 1).
TEST(ModelTest, AcceptsARankThatDiffersByAnExtentOfOne) {
  const auto dense = [](std::int64_t inputs) {
    SpecBuilder builder;
    return model_of(builder.build({builder.dense(builder.input({inputs}), inputs, 2, ActivationSpec{})}), kCpu);
  };
  const Tensor x = random_input({6, 3});
  const Model three = dense(3);
  EXPECT_TRUE(same_bits(three.predict(TensorView(x).reshaped({6, 3, 1})), three.predict(x)));
  const Tensor column = random_input({6, 1});
  const Model one = dense(1);
  EXPECT_TRUE(same_bits(one.predict(TensorView(column).reshaped({6})), one.predict(column)));
  for (const Shape& shape : {Shape{6, 3, 2}, Shape{6, 3, 1, 1}, Shape{2, 9, 1}, Shape{18}, Shape{}, Shape{18, 1}}) {
    EXPECT_THROW(static_cast<void>(three.predict(Tensor::zeros(shape))), ArgumentError) << to_string(shape);
  }
  for (const Shape& shape : {Shape{6, 2}, Shape{}, Shape{3, 1, 2}}) {
    EXPECT_THROW(static_cast<void>(one.predict(Tensor::zeros(shape))), ArgumentError) << to_string(shape);
  }
}

TEST(ModelTest, NamesItsInputsAndOutputs) {
  SpecBuilder builder;
  const auto a = builder.input({3});
  const auto b = builder.input({3});
  const Model model =
      model_of(builder.build({builder.dense(a, 3, 2, ActivationSpec{}), builder.dense(b, 3, 4, ActivationSpec{})}), kCpu);
  ASSERT_EQ(model.input_names().size(), 2U);
  const auto message = [](const auto& call) {
    try {
      static_cast<void>(call());
    } catch (const ArgumentError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const Tensor x = random_input({5, 3});
  const std::string both = "'" + model.input_names()[0] + "', '" + model.input_names()[1] + "'";
  EXPECT_THAT(message([&] { return model.predict(x); }), HasSubstr("2 outputs"));
  EXPECT_THAT(message([&] { return model.predict(std::span<const TensorView>()); }), HasSubstr(both));
  EXPECT_THAT(message([&] { return model.predict(std::map<std::string, TensorView>{{"c", x}}); }), HasSubstr(both));
  EXPECT_THAT(message([&] {
                return model.predict(std::map<std::string, TensorView>{{model.input_names()[0], x}});
              }),
              HasSubstr("is not given"));
  const Tensor other = random_input({4, 3});
  EXPECT_THAT(message([&] { return model.predict(std::vector<TensorView>{x, other}); }), HasSubstr("has 4 rows"));
  EXPECT_EQ(model.predict(std::map<std::string, TensorView>{{model.input_names()[1], x}, {model.input_names()[0], x}}).size(),
            2U);
  Tensor y({5, 2});
  EXPECT_THAT(message([&] { return model.predict_into(x, y), 0; }), HasSubstr("got 1 and 1"));
  for (const int index : {-1, 2}) {
    EXPECT_THAT(message([&] { return model.input_shape(index); }), HasSubstr("allowed 0..1"));
    EXPECT_THAT(message([&] { return model.output_shape(index); }), HasSubstr("allowed 0..1"));
  }
}

TEST(ModelTest, FoldsBatchNormalizationIntoTheDenseBeforeIt) {
  SpecBuilder builder;
  const auto x = builder.input({9});
  const auto hidden = builder.dense(x, 9, 11);
  const auto normal = builder.add("BatchNormalization", core::BatchNormalizationParams{}, {hidden},
                                  {{"gamma", builder.random({11})},
                                   {"beta", builder.random({11})},
                                   {"moving_mean", builder.random({11})},
                                   {"moving_variance", builder.random({11}, 0.5F, 2.0F)}});
  const auto spec = builder.build({builder.activation(normal, {.kind = ActivationKind::Relu})});
  const Model model = model_of(spec, kCpu);
  const auto plan = nlohmann::json::parse(model.explain({.batch = 3, .json = true}));
  ASSERT_EQ(plan["steps"].size(), 1U);
  EXPECT_EQ(plan["steps"][0]["layers"].size(), 3U);
  const Tensor input = random_input({3, 9});
  std::vector<double> wide(input.span<float>().begin(), input.span<float>().end());
  wide = dense_in_double(wide, *spec->layers[1], 3);
  const auto at = [&](std::size_t weight, std::size_t unit) {
    return static_cast<double>(spec->layers[2]->weights[weight].value->span<float>()[unit]);
  };
  for (std::size_t i = 0; i < wide.size(); ++i) {
    const std::size_t u = i % 11;
    wide[i] = std::max(0.0, (wide[i] - at(2, u)) / std::sqrt(at(3, u) + 1e-3) * at(0, u) + at(1, u));
  }
  expect_close(model.predict(input), wide);
}

TEST(ModelTest, SharedLayersSeveralOutputsAndMergesRun) {
  SpecBuilder builder;
  const auto a = builder.input({4});
  const auto b = builder.input({4});
  const auto first = builder.dense(a, 4, 6);
  const auto again = builder.call(2, {b});
  const auto sum = builder.add("Add", core::MergeParams{core::CombineKind::add}, {first, again}, {});
  const auto both = builder.add("Concatenate", core::ConcatenateParams{-1}, {first, sum}, {});
  const auto spec = builder.build({sum, both, first});
  const Model model = model_of(spec, kCpu);
  const Tensor x = random_input({3, 4}, 1);
  const Tensor z = random_input({3, 4}, 2);
  const std::vector<Tensor> outputs = model.predict(std::vector<TensorView>{x, z});
  ASSERT_EQ(outputs.size(), 3U);
  const auto in_double = [&](const Tensor& t) {
    return dense_in_double({t.span<float>().begin(), t.span<float>().end()}, *spec->layers[2], 3);
  };
  const std::vector<double> fx = in_double(x);
  const std::vector<double> fz = in_double(z);
  std::vector<double> sums(fx.size());
  std::vector<double> joined;
  for (std::size_t i = 0; i < fx.size(); ++i) sums[i] = fx[i] + fz[i];
  for (std::size_t r = 0; r < 3; ++r) {
    joined.insert(joined.end(), fx.begin() + static_cast<std::ptrdiff_t>(6 * r),
                  fx.begin() + static_cast<std::ptrdiff_t>(6 * r + 6));
    joined.insert(joined.end(), sums.begin() + static_cast<std::ptrdiff_t>(6 * r),
                  sums.begin() + static_cast<std::ptrdiff_t>(6 * r + 6));
  }
  expect_close(outputs[0], sums);
  expect_close(outputs[1], joined);
  expect_close(outputs[2], fx);
}

TEST(ModelTest, AnOutputThatIsTheInputIsCopied) {
  SpecBuilder builder;
  const auto x = builder.input({2, 3});
  const auto flat = builder.add("Flatten", core::FlattenParams{}, {x}, {});
  const Model model = model_of(builder.build({flat, x}), kCpu);
  const Tensor input = random_input({2, 2, 3});
  const std::vector<Tensor> outputs = model.predict(std::vector<TensorView>{input});
  EXPECT_EQ(outputs[0].shape(), (Shape{2, 6}));
  EXPECT_EQ(values(outputs[0]), values(input));
  EXPECT_EQ(values(outputs[1]), values(input));
}

TEST(ModelTest, OpenExtentsAreFilledByTheInput) {
  SpecBuilder builder;
  const auto x = builder.input({std::nullopt, 4});
  const Model model = model_of(builder.build({builder.dense(x, 4, 3)}), kCpu);
  EXPECT_EQ(model.output_shape(), (std::vector<std::int64_t>{-1, 3}));
  EXPECT_EQ(model.predict(random_input({2, 5, 4})).shape(), (Shape{2, 5, 3}));
  EXPECT_EQ(model.predict(random_input({2, 1, 4})).shape(), (Shape{2, 1, 3}));
}

TEST(ModelTest, SetActivationSwapsTheFunctionAndSharesTheWeights) {
  SpecBuilder builder;
  const auto x = builder.input({4});
  Model model = model_of(builder.build({builder.activation(builder.dense(x, 4, 3), {.kind = ActivationKind::Tanh})}), kCpu);
  const Model before = model;
  const Tensor input = random_input({2, 4});
  model.set_activation("Activation_2", "sigmoid");
  const std::vector<float> old_values = values(before.predict(input));
  const std::vector<float> new_values = values(model.predict(input));
  for (std::size_t i = 0; i < old_values.size(); ++i) {
    EXPECT_NEAR(new_values[i], 1.0 / (1.0 + std::exp(-std::atanh(static_cast<double>(old_values[i])))), 1e-5);
  }
  EXPECT_EQ(before.weights()[0].data(), model.weights()[0].data());
  EXPECT_THROW(model.set_activation("nowhere", "relu"), ArgumentError);
  EXPECT_THROW(model.set_activation("Activation_2", "no_such_function"), ArgumentError);
  EXPECT_EQ(values(model.predict(input)), new_values);
}

TEST(ModelTest, ManyThreadsGetTheBitsOfOneThread) {
  SpecBuilder builder;
  const auto x = builder.input({16});
  auto h = builder.dense(x, 16, 32, {.kind = ActivationKind::Gelu});
  h = builder.add("LayerNormalization", core::LayerNormalizationParams{}, {h},
                  {{"gamma", builder.random({32})}, {"beta", builder.random({32})}});
  const Model model = model_of(builder.build({builder.dense(h, 32, 10, {.kind = ActivationKind::Softmax})}), kCpu);
  std::vector<Tensor> inputs;
  std::vector<std::vector<float>> wanted;
  for (const std::int64_t rows : {1, 2, 7, 33}) {
    inputs.push_back(random_input({rows, 16}, static_cast<unsigned>(rows)));
    wanted.push_back(values(model.predict(inputs.back())));
  }
  std::vector<std::thread> threads;
  std::vector<int> wrong(8, 0);
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < 100; ++i) {
        const std::size_t k = (i + t) % inputs.size();
        if (values(model.predict(inputs[k])) != wanted[k]) ++wrong[t];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(wrong, ::testing::Each(0));
}

TEST(ModelTest, HalfPrecisionStaysNearFloat) {
  for (const DType dtype : {DType::float16, DType::bfloat16}) {
    SpecBuilder builder;
    const auto x = builder.input({32});
    const auto spec = builder.build({builder.dense(x, 32, 16, {.kind = ActivationKind::Tanh})});
    Options half = kCpu;
    half.dtype = dtype;
    const Tensor input = random_input({9, 32});
    const Tensor narrow = model_of(spec, half).predict(input);
    ASSERT_EQ(narrow.dtype(), dtype);
    const std::vector<float> found = values(narrow.to(DType::float32));
    const std::vector<float> wanted = values(model_of(spec, kCpu).predict(input));
    for (std::size_t i = 0; i < wanted.size(); ++i) ASSERT_NEAR(found[i], wanted[i], dtype == DType::float16 ? 4e-3F : 4e-2F);
  }
}

}  // namespace
}  // namespace lamella
