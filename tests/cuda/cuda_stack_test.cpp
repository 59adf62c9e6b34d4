// SPDX-License-Identifier: Apache-2.0
// Several layers in one launch: which ones are combined, that results match the formulas, and that nothing else changes.
#include <cmath>
#include <map>

#include "cuda/cuda_stack_support.hpp"

namespace lamella::test {
namespace {

using testing::ElementsAre;

class CudaStackTest : public CudaTest {};

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
  EXPECT_EQ(steps([](Options& o) { o.fusion = Fusion::epilogue; }), 2U);
  EXPECT_EQ(steps([](Options& o) { o.dtype = DType::float64; }), 2U);
}

TEST_F(CudaStackTest, WhereProductsMayRoundStacksAreTakenForTheRowsThatTheyArePredictedToBeFasterFor) {
  const auto steps = [](Math math, std::int64_t rows, const auto& change) {
    Options options = on_cuda();
    options.math = math;
    change(options);
    return plan_of(model_of(Net({128, 128, 128, 128, 128}).build(), options), rows).ops.size();
  };
  const auto nothing = [](Options&) {};
  for (const Math math : {Math::tf32, Math::bf16x6}) {
    EXPECT_EQ(steps(math, 1, nothing), 1U);
    EXPECT_EQ(steps(math, 64, nothing), 1U);
    EXPECT_EQ(steps(math, 65536, nothing), 4U);
    EXPECT_EQ(steps(math, 65536, [](Options& o) { o.engine = "stack"; }), 1U);
    EXPECT_EQ(steps(math, 64, [](Options& o) { o.determinism = Determinism::batch_invariant; }), 4U);
  }
  EXPECT_EQ(steps(Math::exact, 65536, nothing), 1U);
  Options options = on_cuda();
  options.math = Math::tf32;
  const auto spec = Net({5, 8, 3}).build();
  const Tensor x = random_rows(33, 5);
  expect_exact(model_of(spec, options).predict(x), exact(*spec, x));
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
