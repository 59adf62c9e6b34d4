// SPDX-License-Identifier: Apache-2.0
// Several layers in one launch: which ones are combined, that results match the formulas, and that nothing else changes.
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "cuda/cuda_support.hpp"
#include "kernels/kernels.hpp"

namespace lamella::test {
namespace {

using testing::ElementsAre;

class CudaStackTest : public CudaTest {};

struct Plan {
  std::vector<std::string> ops, engines;
  std::vector<std::vector<std::string>> layers;
};
Plan plan_of(const Model& model, std::int64_t batch = 3) {
  Plan plan;
  const auto explained = nlohmann::json::parse(model.explain({.batch = batch, .json = true}));
  for (const auto& step : explained.at("steps")) {
    plan.ops.push_back(step.at("op"));
    plan.engines.push_back(step.at("engine"));
    plan.layers.push_back(step.at("layers"));
  }
  return plan;
}

/// A chain of Dense layers of these sizes with relu between them and random weights.
struct Net {
  explicit Net(std::vector<std::int64_t> widths_in, unsigned seed = 1) : widths(std::move(widths_in)), builder(seed) {
    value = builder.input({widths[0]});
    for (std::size_t n = 1; n < widths.size(); ++n) {
      const bool last = n + 1 == widths.size();
      value = builder.dense(value, widths[n - 1], widths[n], activation_of(last ? "linear" : "relu"));
    }
  }
  std::shared_ptr<const core::ModelSpec> build() { return builder.build({value}); }

  std::vector<std::int64_t> widths;
  SpecBuilder builder;
  core::ValueRef value;
};

/// The same computed in float64 from the spec's weights, optionally with a softmax at the end.
std::vector<double> exact(const core::ModelSpec& spec, const Tensor& x, bool softmax = false) {
  std::vector<double> values;
  for (const float value : x.span<float>()) values.push_back(value);
  const auto rows = static_cast<std::size_t>(x.shape()[0]);
  for (const auto& layer : spec.layers) {
    const auto* const dense = std::get_if<core::DenseParams>(&layer->params);
    if (dense == nullptr) continue;
    const auto kernel = layer->weights.at(0).value->span<float>();
    const auto bias = layer->weights.at(1).value->span<float>();
    const std::size_t inputs = values.size() / rows;
    const std::size_t units = bias.size();
    std::vector<double> sums;
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t u = 0; u < units; ++u) {
        double sum = static_cast<double>(bias[u]);
        for (std::size_t i = 0; i < inputs; ++i) sum += values[r * inputs + i] * static_cast<double>(kernel[i * units + u]);
        sums.push_back(dense->activation.kind == ActivationKind::Relu ? std::max(sum, 0.0) : sum);
      }
    }
    values = std::move(sums);
  }
  const std::size_t units = values.size() / rows;
  for (std::size_t r = 0; softmax && r < rows; ++r) {
    double total = 0;
    for (std::size_t u = 0; u < units; ++u) total += std::exp(values[r * units + u]);
    for (std::size_t u = 0; u < units; ++u) values[r * units + u] = std::exp(values[r * units + u]) / total;
  }
  return values;
}

void expect_exact(const Tensor& y, const std::vector<double>& wanted) {
  const auto found = y.span<float>();
  ASSERT_EQ(found.size(), wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i)
    ASSERT_NEAR(static_cast<double>(found[i]), wanted[i], 3e-6 * std::max(1.0, std::fabs(wanted[i]))) << i;
}

TEST_F(CudaStackTest, NarrowLayersAndASoftmaxAreOneStep) {
  Net net({4, 24, 100, 3});
  net.value = net.builder.activation(net.value, activation_of("softmax"));
  const auto spec = net.build();
  const Model model = model_of(spec, on_cuda());
  const Plan plan = plan_of(model);
  EXPECT_THAT(plan.ops, ElementsAre("dense 4 -> 24 relu -> 100 relu -> 3 softmax"));
  EXPECT_THAT(plan.engines, ElementsAre("stack"));
  EXPECT_THAT(plan.layers, ElementsAre(ElementsAre("Dense_1", "Dense_2", "Dense_3", "Activation_4")));
  for (const std::int64_t rows : {1, 2, 9, 70}) {
    const Tensor x = random_rows(rows, 4);
    for (int i = 0; i < 3; ++i) expect_exact(model.predict(x), exact(*spec, x, true));  // the third call is a replay
  }
}

TEST_F(CudaStackTest, BothSpellingsOfAnActivationAreOneProgramWithTheSameBits) {
  const auto spec = [](bool apart) {
    SpecBuilder builder(5);
    auto x = builder.dense(builder.input({20}), 20, 33, apart ? ActivationSpec{} : activation_of("tanh"));
    if (apart) x = builder.activation(x, activation_of("tanh"));
    return builder.build({builder.dense(x, 33, 7)});
  };
  const Model together = model_of(spec(false), on_cuda());
  const Model apart = model_of(spec(true), on_cuda());
  EXPECT_EQ(plan_of(together).ops, plan_of(apart).ops);
  const Tensor x = random_rows(11, 20);
  EXPECT_EQ(values_of(together.predict(x)), values_of(apart.predict(x)));
}

TEST_F(CudaStackTest, AWideLayerDividesTheStack) {
  const auto spec = Net({200, 64, 32, 129, 16, 8}).build();
  const Model model = model_of(spec, on_cuda());
  constexpr std::int64_t kRows = 16;  // fewer may take more layers together (cuda_cluster_test.cpp)
  EXPECT_THAT(plan_of(model, kRows).ops,
              ElementsAre("dense 200 -> 64 relu -> 32 relu", "dense 32 -> 129 relu", "dense 129 -> 16 relu -> 8"));
  const auto longer = Net({200, 64, 32, 16, 8}).build();
  const Model more = model_of(longer, on_cuda());
  EXPECT_THAT(plan_of(more, kRows).ops, ElementsAre("dense 200 -> 64 relu -> 32 relu -> 16 relu -> 8"));
  const Model too_wide = model_of(Net({257, 8, 4, 2}).build(), on_cuda());
  EXPECT_THAT(plan_of(too_wide, kRows).ops, ElementsAre("dense 257 -> 8 relu", "dense 8 -> 4 relu -> 2"));
  const Tensor x = random_rows(5, 200);
  expect_exact(model.predict(x), exact(*spec, x));
  expect_exact(more.predict(x), exact(*longer, x));
  const Tensor wide = random_rows(3, 257);
  expect_exact(too_wide.predict(wide), exact(*Net({257, 8, 4, 2}).build(), wide));
}

TEST_F(CudaStackTest, StacksHaveAtMostAsManyLayersAsTheEngineTakes) {
  const auto spec = Net(std::vector<std::int64_t>(35, 5)).build();
  const Model model = model_of(spec, on_cuda());
  EXPECT_THAT(plan_of(model).layers, ElementsAre(testing::SizeIs(32), testing::SizeIs(2)));
  const Tensor x = random_rows(2, 5);
  expect_exact(model.predict(x), exact(*spec, x));
}

TEST_F(CudaStackTest, AResultWithOtherReadersEndsTheStack) {
  SpecBuilder builder(3);
  const auto x = builder.input({6});
  const auto hidden = builder.dense(x, 6, 9, activation_of("relu"));
  const auto last = builder.dense(hidden, 9, 4);
  const Model model = model_of(builder.build({last, hidden}), on_cuda());
  EXPECT_THAT(plan_of(model).ops, ElementsAre("dense 6 -> 9 relu", "dense 9 -> 4"));
  SpecBuilder twice(3);
  const auto shared = twice.dense(twice.input({6}), 6, 6, activation_of("relu"));
  const auto spec = twice.build({twice.call(1, {twice.call(1, {shared})})});  // one layer called three times
  EXPECT_THAT(plan_of(model_of(spec, on_cuda())).ops, ElementsAre("dense 6 -> 6 relu -> 6 relu -> 6 relu"));
}

core::ValueRef sum(SpecBuilder& builder, std::vector<core::ValueRef> values) {
  return builder.add("Add", core::MergeParams{core::CombineKind::add}, std::move(values), {});
}

core::ValueRef concatenation(SpecBuilder& builder, std::vector<core::ValueRef> values) {
  return builder.add("Concatenate", core::ConcatenateParams{}, std::move(values), {});
}

/// The step that takes all layers, and the steps that take one each, have the same bits: sums run in the same order. So do those
/// of layers that are left alone.
void expect_same_as_one_by_one(const std::shared_ptr<const core::ModelSpec>& spec, std::int64_t inputs) {
  Options options = on_cuda();
  options.determinism = Determinism::batch_invariant;
  const Model model = model_of(spec, options);
  options.engine = "tiled";
  const Model reference = model_of(spec, options);
  for (const std::int64_t rows : {1, 19}) {
    const Tensor x = random_rows(rows, inputs);
    const auto wanted = values_of(reference.predict(x));
    for (int i = 0; i < 3; ++i) ASSERT_EQ(values_of(model.predict(x)), wanted) << rows;
  }
}

TEST_F(CudaStackTest, ResidualsAreInside) {
  SpecBuilder builder(7);
  auto x = builder.dense(builder.input({20}), 20, 32, activation_of("relu"));
  for (int block = 0; block < 2; ++block) {
    auto y = builder.dense(x, 32, 50, activation_of("silu"));
    x = sum(builder, {x, builder.dense(y, 50, 32)});
    x = builder.activation(x, activation_of("tanh"));
  }
  const auto spec = builder.build({builder.activation(builder.dense(x, 32, 3), activation_of("softmax"))});
  const Model model = model_of(spec, on_cuda());
  EXPECT_THAT(plan_of(model).ops, ElementsAre("dense 20 -> 32 relu -> 50 silu -> 32 + result 1 tanh -> 50 silu -> 32 + result 4 "
                                              "tanh -> 3 softmax"));
  expect_same_as_one_by_one(spec, 20);
  const int allocations = fake_cuda::live().device_allocations;
  const Model changed = model.with_activation("Activation_5", "linear");
  EXPECT_THAT(plan_of(changed).ops, ElementsAre("dense 20 -> 32 relu -> 50 silu -> 32 + result 1 -> 50 silu -> 32 + result 3 "
                                                "tanh -> 3 softmax"));
  EXPECT_EQ(fake_cuda::live().device_allocations, allocations);  // the weights are packed once
}

TEST_F(CudaStackTest, ConcatenationsAreInside) {
  SpecBuilder builder(7);
  const auto x = builder.input({20});
  auto y = builder.dense(x, 20, 12, activation_of("relu"));
  const auto both = concatenation(builder, {x, y});
  const auto z = builder.dense(both, 32, 9, activation_of("tanh"));
  const auto three = concatenation(builder, {z, y, both});
  const auto spec = builder.build({builder.dense(builder.activation(three, activation_of("relu")), 53, 3)});
  EXPECT_THAT(
      plan_of(model_of(spec, on_cuda())).ops,
      ElementsAre("dense 20 -> 12 relu -> [input, result 1] -> 9 tanh -> [result 3, result 1] -> [result 4, result 2] relu "
                  "-> 3"));
  expect_same_as_one_by_one(spec, 20);
}

/// What a later step reads exists, though the step that follows could do without it.
TEST_F(CudaStackTest, ASumOrSoftmaxOfAResultThatIsReadAgainLater) {
  SpecBuilder builder(4);
  const auto x = builder.input({12});
  const auto h = builder.dense(x, 12, 12, activation_of("relu"));
  const auto s = sum(builder, {h, x});
  const auto spec = builder.build({builder.dense(concatenation(builder, {s, h}), 24, 3)});
  EXPECT_THAT(plan_of(model_of(spec, on_cuda())).ops, ElementsAre("dense 12 -> 12 relu + input -> [result 2, result 1] -> 3"));
  expect_same_as_one_by_one(spec, 12);
  SpecBuilder other(5);
  const auto y = other.dense(other.dense(other.input({9}), 9, 9, activation_of("relu")), 9, 9);
  const auto soft = other.activation(y, activation_of("softmax"));
  expect_same_as_one_by_one(other.build({sum(other, {soft, y})}), 9);
}

TEST_F(CudaStackTest, AConcatenationThatNeedsMoreThanTheStackHasEndsIt) {
  const auto ops = [](const std::function<core::ValueRef(SpecBuilder&, core::ValueRef, core::ValueRef)>& end) {
    SpecBuilder builder(3);
    const auto x = builder.input({8});
    const auto y = builder.dense(builder.dense(x, 8, 8, activation_of("relu")), 8, 100);
    const auto spec = builder.build({end(builder, x, y)});
    expect_same_as_one_by_one(spec, 8);
    return plan_of(model_of(spec, on_cuda()), 16).ops;
  };
  const std::string both = "dense 8 -> 8 relu -> 100";
  EXPECT_THAT(ops([](auto& b, auto x, auto y) { return concatenation(b, {x, y}); }), ElementsAre(both + " -> [input, result 2]"));
  EXPECT_THAT(ops([](auto& b, auto, auto y) { return concatenation(b, {y, y}); }), ElementsAre(both, testing::_));  // too wide
  EXPECT_THAT(ops([](auto& b, auto x, auto y) {
                return concatenation(b, {y, b.activation(x, activation_of("tanh"))});
              }),
              testing::Contains(both));
}

TEST_F(CudaStackTest, TheInputIsAddedToo) {
  SpecBuilder builder(7);
  const auto x = builder.input({20});
  const auto y = builder.dense(builder.dense(x, 20, 50, activation_of("relu")), 50, 20, activation_of("relu"));
  const auto spec = builder.build({sum(builder, {y, x})});
  EXPECT_THAT(plan_of(model_of(spec, on_cuda())).ops, ElementsAre("dense 20 -> 50 relu -> 20 relu + input"));
  expect_same_as_one_by_one(spec, 20);
}

TEST_F(CudaStackTest, AnActivationWhoseArgumentIsAddedLaterIsALayerOfItsOwn) {
  SpecBuilder builder(9);
  const auto x = builder.dense(builder.input({20}), 20, 8);
  const auto y = builder.dense(builder.activation(x, activation_of("relu")), 8, 8);
  const auto spec = builder.build({builder.dense(sum(builder, {sum(builder, {y, x}), x}), 8, 2)});
  EXPECT_THAT(plan_of(model_of(spec, on_cuda())).ops, ElementsAre("dense 20 -> 8 relu -> 8 + result 1 + result 1 -> 2"));
  expect_same_as_one_by_one(spec, 20);
}

TEST_F(CudaStackTest, SumsThatNeedMoreThanTheStackHasEndIt) {
  const auto ops = [](const std::function<core::ValueRef(SpecBuilder&, core::ValueRef, core::ValueRef)>& end) {
    SpecBuilder builder(3);
    const auto x = builder.input({8});
    const auto y = builder.dense(builder.dense(x, 8, 8, activation_of("relu")), 8, 8);
    const auto spec = builder.build({end(builder, x, y)});
    expect_same_as_one_by_one(spec, 8);
    return plan_of(model_of(spec, on_cuda())).ops;
  };
  const std::string both = "dense 8 -> 8 relu -> 8";
  EXPECT_THAT(ops([](auto& b, auto, auto y) { return sum(b, {y, y}); }), ElementsAre(both, testing::_));
  EXPECT_THAT(ops([](auto& b, auto x, auto y) { return sum(b, {x, y, x}); }), ElementsAre(both, testing::_));
  EXPECT_THAT(ops([](auto& b, auto x, auto y) {
                return sum(b, {y, b.activation(x, activation_of("tanh"))});
              }),
              testing::Contains(both));
  EXPECT_THAT(ops([](auto& b, auto, auto y) { return sum(b, {b.dense(y, 8, 8), b.dense(y, 8, 8)}); }), testing::Contains(both));
}

TEST_F(CudaStackTest, RandomStructuresHaveTheBitsOfTheirLayers) {
  std::mt19937 random(5);
  const auto draw = [&](std::int64_t from, std::int64_t to) {
    return std::uniform_int_distribution<std::int64_t>(from, to)(random);
  };
  int merged = 0;
  int joined = 0;
  for (unsigned n = 0; n < 40; ++n) {
    SpecBuilder builder(n);
    const std::int64_t inputs = draw(1, n % 3 == 0 ? 280 : 40);
    std::vector<std::pair<core::ValueRef, std::int64_t>> values{{builder.input({inputs}), inputs}};
    for (auto layers = draw(3, 9); layers > 0; --layers) {
      const auto [x, width] = draw(0, 9) == 0 ? values[static_cast<std::size_t>(draw(0, std::ssize(values) - 1))] : values.back();
      const auto [other, other_width] = values[static_cast<std::size_t>(draw(0, std::ssize(values) - 1))];
      const auto kind = draw(0, 7);
      const std::int64_t units = kind == 6 ? draw(1, 130) : 16;
      if (kind == 0) values.emplace_back(builder.activation(x, activation_of("silu")), width);
      const auto alike = std::find_if(values.begin(), values.end(), [&, w = width](const auto& one) { return one.second == w; });
      if (kind == 1 || kind == 2) values.emplace_back(sum(builder, {alike->first, x}), width);
      if (kind == 7 && width + other_width < 140) values.emplace_back(concatenation(builder, {x, other}), width + other_width);
      if (kind > 2 && kind < 7)
        values.emplace_back(builder.dense(x, width, units, activation_of(draw(0, 1) == 0 ? "linear" : "tanh")), units);
    }
    values.emplace_back(builder.dense(values.back().first, values.back().second, 3), 3);
    const auto spec = builder.build({values.back().first});
    SCOPED_TRACE(n);
    ASSERT_NO_FATAL_FAILURE(expect_same_as_one_by_one(spec, inputs));
    for (const std::string& op : plan_of(model_of(spec, on_cuda())).ops) {
      merged += op.find(" + ") != std::string::npos ? 1 : 0;
      joined += op.find('[') != std::string::npos ? 1 : 0;
    }
  }
  EXPECT_GE(merged, 5);
  EXPECT_GE(joined, 3);
}

TEST_F(CudaStackTest, LayersOf16BitsHaveTheBitsThatTensorCoresGiveEachOfThem) {
  int architecture = 0;
  ASSERT_EQ(kernels::has_image(architecture), cudaSuccess);
  SpecBuilder builder(7);
  const auto x = builder.dense(builder.input({130}), 130, 40, activation_of("relu"));
  const auto y = builder.dense(builder.dense(x, 40, 60, activation_of("tanh")), 60, 40);
  const auto spec = builder.build({builder.dense(builder.activation(sum(builder, {y, x}), activation_of("relu")), 40, 7)});
  for (const DType dtype : {DType::float16, DType::bfloat16}) {
    Options options = on_cuda();
    options.dtype = dtype;
    options.determinism = Determinism::batch_invariant;
    const Model model = model_of(spec, options);
    if (architecture < kernels::kMmaArchitecture) {
      EXPECT_THAT(plan_of(model).engines, testing::Not(testing::Contains("stack")));
      continue;
    }
    EXPECT_THAT(plan_of(model).ops, testing::Contains("dense 130 -> 40 relu -> 60 tanh -> 40 + result 1 relu -> 7"));
    EXPECT_THAT(plan_of(model).engines, testing::Contains("stack"));
    options.engine = "mma_gemm";
    const Model one_by_one = model_of(spec, options);
    for (const std::int64_t rows : {1, 19, 33}) {
      const Tensor input = random_rows(rows, 130);
      const auto wanted = values_of(one_by_one.predict(input).to(DType::float32));
      for (int i = 0; i < 3; ++i) ASSERT_EQ(values_of(model.predict(input).to(DType::float32)), wanted) << rows;
    }
    const Model changed = model.with_activation("Dense_2", "silu");
    EXPECT_THAT(plan_of(changed).engines, testing::Contains("stack"));
  }
}

TEST_F(CudaStackTest, OtherArithmeticRunsLayerByLayer) {
  const auto spec = Net({4, 8, 3}).build();
  const auto steps = [&](const auto& change) {
    Options options = on_cuda();
    change(options);
    return plan_of(model_of(spec, options)).ops.size();
  };
  EXPECT_EQ(steps([](Options&) {}), 1U);
  EXPECT_EQ(steps([](Options& o) { o.determinism = Determinism::batch_invariant; }), 1U);
  EXPECT_EQ(steps([](Options& o) { o.engine = "stack"; }), 1U);
  EXPECT_EQ(steps([](Options& o) { o.engine = "tiled"; }), 2U);
  EXPECT_EQ(steps([](Options& o) { o.math = Math::tf32; }), 2U);
  EXPECT_EQ(steps([](Options& o) { o.fusion = Fusion::epilogue; }), 2U);
  EXPECT_EQ(steps([](Options& o) { o.dtype = DType::float64; }), 2U);
}

TEST_F(CudaStackTest, ASampleHasTheSameBitsInEveryBatch) {
  const Model model = model_of(Net({30, 100, 50, 7}).build(), on_cuda());
  const Tensor x = random_rows(300, 30);
  const auto all = values_of(model.predict(x));
  for (const std::int64_t rows : {1, 3, 17, 64, 200}) {
    Tensor part({rows, 30});
    std::copy_n(x.span<float>().begin(), rows * 30, part.span<float>().begin());
    const auto some = values_of(model.predict(part));
    EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin())) << rows;
  }
}

TEST_F(CudaStackTest, AnotherActivationReusesTheWeights) {
  const auto spec = Net({6, 40, 20, 3}).build();
  const Model model = model_of(spec, on_cuda());
  const Tensor x = random_rows(4, 6);
  const auto before = values_of(model.predict(x));
  const int allocations = fake_cuda::live().device_allocations;
  const Model changed = model.with_activation("Dense_2", "tanh");
  EXPECT_THAT(plan_of(changed).ops, ElementsAre("dense 6 -> 40 relu -> 20 tanh -> 3"));
  EXPECT_EQ(fake_cuda::live().device_allocations, allocations);
  EXPECT_NE(values_of(changed.predict(x)), before);
  EXPECT_EQ(values_of(model.predict(x)), before);
}

TEST_F(CudaStackTest, UpdatedWeightsReachTheStack) {
  Options options = on_cuda();
  options.updatable = true;
  const auto before = Net({6, 40, 20, 3}, 1).build();
  const auto after = Net({6, 40, 20, 3}, 2).build();
  Model model = model_of(before, options);
  const Tensor x = random_rows(4, 6);
  for (int i = 0; i < 3; ++i) expect_exact(model.predict(x), exact(*before, x));
  std::map<std::string, TensorView> values;
  for (const auto& layer : after->layers) {
    for (const auto& weight : layer->weights) values.emplace(layer->path + "/" + weight.name, *weight.value);
  }
  model.update_weights(values);
  EXPECT_THAT(plan_of(model).engines, ElementsAre("stack"));
  for (int i = 0; i < 3; ++i) expect_exact(model.predict(x), exact(*after, x));
}

}  // namespace
}  // namespace lamella::test
