// SPDX-License-Identifier: Apache-2.0
// Finds layers by name and by path, and replaces the activation of one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <lamella/models.hpp>
#include <nlohmann/json.hpp>
#include <optional>

#include "model/spec_builder.hpp"

namespace lamella {
namespace {

using test::model_of;
using test::SpecBuilder;
using ::testing::AllOf;
using ::testing::HasSubstr;

const Options kCpu{.device = Device::cpu(), .threads = 1};

std::vector<float> values(const Tensor& tensor) { return {tensor.span<float>().begin(), tensor.span<float>().end()}; }

template <typename F>
std::string refusal(const F& f) {
  try {
    f();
  } catch (const ArgumentError& error) {
    EXPECT_EQ(error.code(), ErrorCode::value) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

/// Two blocks, each with a layer `dense`, followed by a layer of that name; all are linear with identity kernels.
class InspectTest : public ::testing::Test {
 protected:
  InspectTest() {
    const auto dense = [](const char* name) { return Dense(3, {.kernel_initializer = "identity", .name = name}); };
    const Sequential first(
        {dense("dense"), Dense(3, {.activation = PReLU({.name = "p"}), .kernel_initializer = "identity", .name = "only"})},
        {.name = "first"});
    const Sequential second({dense("dense"), Activation("linear", {.name = "act"})}, {.name = "second"});
    const Sequential outer({Input({3}), first, second, dense("dense")}, {.name = "outer"});
    model.emplace(outer.compile(kCpu));
  }
  [[nodiscard]] std::vector<float> answer(const Model& of) const {
    return values(of.predict(std::vector<float>{-2, 0.5F, 3}, {1, 3}));
  }
  std::optional<Model> model;
};

TEST_F(InspectTest, FindsLayersByPathAndByUniqueName) {
  EXPECT_EQ(model->get_layer("dense").path, "dense");
  EXPECT_EQ(model->get_layer("first/dense").path, "first/dense");
  EXPECT_EQ(model->get_layer("second/dense").path, "second/dense");
  EXPECT_EQ(model->get_layer("act").path, "second/act");
  EXPECT_EQ(model->get_layer("second").class_name, "Sequential");
  EXPECT_THAT(refusal([&] { static_cast<void>(model->get_layer("first/act")); }),
              AllOf(HasSubstr("no layer is named 'first/act'"), HasSubstr("'first/dense', 'first/only', 'second'")));
}

TEST_F(InspectTest, SaysInWhatTypeALayerComputes) {
  const Sequential inner({Dense(3, {.name = "narrow", .dtype = "mixed_bfloat16"})}, {.name = "inner"});
  const Sequential outer({Input({3}, {.dtype = "float64"}), inner, Dense(2, {.name = "wide", .dtype = "float64"})});
  for (const Options& options : {kCpu, Options{.device = Device::cpu(), .dtype = DType::float16}}) {
    const Model made = outer.compile(options);
    EXPECT_EQ(made.layers().front().compute_dtype, DType::float64) << "an InputLayer's own";
    EXPECT_EQ(made.get_layer("narrow").compute_dtype, DType::bfloat16);
    EXPECT_EQ(made.get_layer("wide").compute_dtype, DType::float64);
    EXPECT_EQ(made.get_layer("inner").compute_dtype, std::nullopt);
  }
  const Model operations = Model::load(LAMELLA_FIXTURES "/operations/keras3/reductions/model.keras", kCpu);
  EXPECT_EQ(operations.get_layer("sum").compute_dtype, std::nullopt);
  EXPECT_EQ(operations.get_layer("dense").compute_dtype, DType::float32);
}

TEST_F(InspectTest, ListsTheLayersOfAnAmbiguousName) {
  const Sequential first({Dense(3, {.name = "dense"})}, {.name = "first"});
  const Sequential second({Dense(3, {.name = "dense"})}, {.name = "second"});
  const Sequential outer({Input({3}), first, second});
  const Model two = outer.compile(kCpu);
  const auto says = AllOf(HasSubstr("2 layers are named 'dense'"), HasSubstr("'first/dense', 'second/dense'"));
  EXPECT_THAT(refusal([&] { static_cast<void>(two.get_layer("dense")); }), says);
  EXPECT_THAT(refusal([&] { static_cast<void>(two.with_activation("dense", "relu")); }), says);
}

TEST_F(InspectTest, ReplacesTheActivationOfTheGivenLayer) {
  const std::vector<float> before = answer(*model);
  struct Case {
    const char* layer;
    const char* path;
  };
  for (const Case& c : {Case{"dense", "dense"}, Case{"first/dense", "first/dense"}, Case{"second/dense", "second/dense"},
                        Case{"act", "second/act"}, Case{"second/act", "second/act"}, Case{"only", "first/only"}}) {
    SCOPED_TRACE(c.layer);
    const Model changed = model->with_activation(c.layer, "exponential");
    for (const LayerInfo& layer : changed.layers()) {
      const auto config = nlohmann::json::parse(layer.config);
      if (!config.contains("activation")) continue;
      EXPECT_EQ(config.at("activation") == "exponential", layer.path == c.path) << layer.path;
    }
    EXPECT_NE(answer(changed), before);
    EXPECT_EQ(answer(*model), before);
    EXPECT_EQ(changed.weights()[0].data(), model->weights()[0].data());
  }
  const std::vector<float> last = answer(model->with_activation("dense", "exponential"));
  for (std::size_t i = 0; i < last.size(); ++i) EXPECT_FLOAT_EQ(last[i], std::exp(before[i]));
}

TEST_F(InspectTest, WeightsOfAPReLUInsideADenseFollowItsOwn) {
  const LayerInfo only = model->get_layer("only");
  ASSERT_EQ(only.weights.size(), 3U);
  EXPECT_EQ(only.weights[2].first, "alpha");
  EXPECT_EQ(only.weights[2].second.shape(), (Shape{3}));
  const auto changed = model->with_activation("only", "relu");
  EXPECT_EQ(changed.get_layer("only").weights.size(), 2U);
  EXPECT_EQ(changed.weights().size(), model->weights().size() - 1);
}

TEST_F(InspectTest, OnlyDenseAndActivationHaveAnActivationToReplace) {
  EXPECT_THAT(refusal([&] { static_cast<void>(model->with_activation("first", "relu")); }),
              HasSubstr("no activation to replace"));
  EXPECT_THAT(refusal([&] { static_cast<void>(model->with_activation("dense", "softmaks")); }), HasSubstr("softmaks"));
  EXPECT_THAT(refusal([&] { static_cast<void>(model->with_activation("nowhere", "relu")); }), HasSubstr("set_activation"));
}

TEST(LayersByNameTest, ANameOfTheOutermostModelComesBeforeAPathAndTwoEqualPathsAreRefused) {
  const auto relu = [](SpecBuilder& b, const char* path, const char* name, core::ValueRef x) {
    b.path = path;
    b.name = name;
    return b.activation(x, activation_of(name == std::string("b") ? "relu" : "tanh"));
  };
  const auto nested = [&](const char* path, const char* name) {
    SpecBuilder b;
    const core::ValueRef x = b.input({3});
    return core::NestedParams{b.build({relu(b, path, name, x)})};
  };
  SpecBuilder outer;
  core::ValueRef x = outer.input({3});
  x = outer.add("Functional", nested("a/b", "b"), {x}, {});
  outer.path = "a/b";
  x = outer.add("Functional", nested("a/b/c", "c"), {x}, {});
  x = outer.add("Functional", nested("a/b/c", "b/c"), {x}, {});
  const Model model = model_of(outer.build({x}), kCpu);
  EXPECT_EQ(model.get_layer("a/b").class_name, "Functional");
  EXPECT_EQ(model.get_layer("b").path, "a/b");
  EXPECT_EQ(model.get_layer("c").path, "a/b/c");
  EXPECT_THAT(refusal([&] { static_cast<void>(model.get_layer("a/b/c")); }), HasSubstr("2 layers are named 'a/b/c'"));
}

}  // namespace
}  // namespace lamella
