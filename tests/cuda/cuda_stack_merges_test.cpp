// SPDX-License-Identifier: Apache-2.0
// Sums and concatenations inside of stacks: which ones are, and that results have the bits of the layers one by one.
#include <algorithm>
#include <functional>

#include "cuda/cuda_stack_support.hpp"
#include "kernels/kernels.hpp"

namespace lamella::test {
namespace {

using testing::ElementsAre;

class CudaStackMergesTest : public CudaTest {};

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

TEST_F(CudaStackMergesTest, ResidualsAreInside) {
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

TEST_F(CudaStackMergesTest, ConcatenationsAreInside) {
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
TEST_F(CudaStackMergesTest, ASumOrSoftmaxOfAResultThatIsReadAgainLater) {
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

TEST_F(CudaStackMergesTest, AConcatenationThatNeedsMoreThanTheStackHasEndsIt) {
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

TEST_F(CudaStackMergesTest, TheInputIsAddedToo) {
  SpecBuilder builder(7);
  const auto x = builder.input({20});
  const auto y = builder.dense(builder.dense(x, 20, 50, activation_of("relu")), 50, 20, activation_of("relu"));
  const auto spec = builder.build({sum(builder, {y, x})});
  EXPECT_THAT(plan_of(model_of(spec, on_cuda())).ops, ElementsAre("dense 20 -> 50 relu -> 20 relu + input"));
  expect_same_as_one_by_one(spec, 20);
}

TEST_F(CudaStackMergesTest, AnActivationWhoseArgumentIsAddedLaterIsALayerOfItsOwn) {
  SpecBuilder builder(9);
  const auto x = builder.dense(builder.input({20}), 20, 8);
  const auto y = builder.dense(builder.activation(x, activation_of("relu")), 8, 8);
  const auto spec = builder.build({builder.dense(sum(builder, {sum(builder, {y, x}), x}), 8, 2)});
  EXPECT_THAT(plan_of(model_of(spec, on_cuda())).ops, ElementsAre("dense 20 -> 8 relu -> 8 + result 1 + result 1 -> 2"));
  expect_same_as_one_by_one(spec, 20);
}

TEST_F(CudaStackMergesTest, SumsThatNeedMoreThanTheStackHasEndIt) {
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

TEST_F(CudaStackMergesTest, RandomStructuresHaveTheBitsOfTheirLayers) {
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

TEST_F(CudaStackMergesTest, LayersOf16BitsHaveTheBitsThatTensorCoresGiveEachOfThem) {
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

}  // namespace
}  // namespace lamella::test
