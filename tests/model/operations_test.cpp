// SPDX-License-Identifier: Apache-2.0
// Operations between layers: the steps they become, their types, and refusals. The fixtures have Keras' results.
#include <gmock/gmock.h>

#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

#include <lamella/model.hpp>

#include "model/spec_builder.hpp"

namespace lamella::test {
namespace {

using core::CombineKind;
using testing::HasSubstr;

const Options kCpu{.device = Device::cpu(), .threads = 1};

core::ArithmeticParams with(CombineKind kind, const std::vector<double>& numbers, const Shape& shape, bool first = false,
                            std::optional<DType> dtype = std::nullopt) {
  return {kind, std::make_shared<const Tensor>(Tensor::of<double>(numbers, shape)), first, dtype};
}

core::ValueRef operation(SpecBuilder& builder, core::LayerParams params, std::vector<core::ValueRef> inputs) {
  builder.policy.follows_inputs = true;
  const core::ValueRef result = builder.add("Operation", std::move(params), std::move(inputs), {});
  builder.policy.follows_inputs = false;
  return result;
}

/// A model of one operation on samples of four numbers.
Model alone(core::LayerParams params, DType dtype = DType::float32) {
  SpecBuilder builder;
  const auto x = builder.input({4}, dtype);
  return model_of(builder.build({operation(builder, std::move(params), {x})}), kCpu);
}

std::vector<float> floats(const Tensor& tensor) {
  const Tensor wide = tensor.to(DType::float32);
  return {wide.span<float>().begin(), wide.span<float>().end()};
}

Tensor numbers_of(const std::vector<float>& values) { return Tensor::of<float>(values, {values.size() / 4, 4}); }

std::size_t steps(const Model& model) {
  return nlohmann::json::parse(model.explain({.batch = 4, .json = true})).at("steps").size();
}

TEST(OperationsTest, NumbersAndArraysFoldIntoTheDenseBeforeThem) {
  for (const auto& params :
       {with(CombineKind::multiply, {2}, {}), with(CombineKind::subtract, {1}, {}, true), with(CombineKind::divide, {4}, {}),
        with(CombineKind::multiply, {1, -2, 3}, {3}), with(CombineKind::add, {1, -2, 3}, {1, 3})}) {
    SpecBuilder builder;
    const auto x = builder.input({4});
    const Model model = model_of(builder.build({operation(builder, params, {builder.dense(x, 4, 3)})}), kCpu);
    EXPECT_EQ(steps(model), 1U) << static_cast<int>(params.kind);
  }
}

TEST(OperationsTest, AQuotientHasTheBitsOfADivision) {
  const std::vector<float> x{0.1F, 7, -0.3F, 1e-40F, 5, 11, 1.7F, 3e38F};
  const auto by_number = floats(alone(with(CombineKind::divide, {3}, {})).predict(numbers_of(x)));
  const auto by_array = floats(alone(with(CombineKind::divide, {3, 7, 11, 13}, {4})).predict(numbers_of(x)));
  const auto of_number = floats(alone(with(CombineKind::divide, {3}, {}, true)).predict(numbers_of(x)));
  constexpr float kDivisors[] = {3, 7, 11, 13};
  for (std::size_t i = 0; i < x.size(); ++i) {
    EXPECT_EQ(by_number[i], x[i] / 3);
    EXPECT_EQ(by_array[i], x[i] / kDivisors[i % 4]);
    EXPECT_EQ(of_number[i], 3 / x[i]);
  }
}

TEST(OperationsTest, AProductKeepsTheSignOfZero) {
  for (const auto& params : {with(CombineKind::multiply, {2}, {}), with(CombineKind::multiply, {1, 2, 3, 4}, {4})}) {
    const auto y = floats(alone(params).predict(numbers_of({-0.F, 0.F, -0.F, 1})));
    EXPECT_TRUE(std::signbit(y[0]) && !std::signbit(y[1]) && std::signbit(y[2]));
  }
}

TEST(OperationsTest, ANumberTakesTheTensorsTypeAndAnArrayKeepsItsOwn) {
  const Tensor x = numbers_of({1, 2, 3, -4}).to(DType::float16);
  const auto tenth = static_cast<float>(float16(0.1F));
  const Tensor y = alone(with(CombineKind::multiply, {0.1}, {}), DType::float16).predict(x);
  EXPECT_EQ(y.dtype(), DType::float16);
  EXPECT_EQ(floats(y)[2], static_cast<float>(float16(3 * tenth)));
  const Tensor wide =
      alone(with(CombineKind::multiply, {0.1, 0.1, 0.1, 0.1}, {4}, false, DType::float32), DType::float16).predict(x);
  EXPECT_EQ(wide.dtype(), DType::float32);
  EXPECT_EQ(floats(wide)[2], 3 * 0.1F);
}

TEST(OperationsTest, ALimitOfNaNMakesAllResultsNaN) {
  for (const float v : floats(alone(with(CombineKind::maximum, {std::nan("")}, {})).predict(numbers_of({1, 2, 3, 4}))))
    EXPECT_TRUE(std::isnan(v));
}

TEST(OperationsTest, OnIntegersNeedTwoTensors) {
  const auto of_two = [](CombineKind kind) {
    SpecBuilder builder;
    const auto x = builder.input({4}, DType::int32);
    return model_of(builder.build({operation(builder, core::ArithmeticParams{kind, nullptr, false, {}}, {x, x})}), kCpu);
  };
  const Tensor x = Tensor::of<std::int32_t>(std::vector<std::int32_t>{2147483647, -5, 0, 65536}, {1, 4});
  const Tensor sum = of_two(CombineKind::add).predict(x);
  ASSERT_EQ(sum.dtype(), DType::int32);
  const auto values = sum.span<std::int32_t>();
  EXPECT_THAT((std::vector<std::int32_t>(values.begin(), values.end())), testing::ElementsAre(-2, -10, 0, 131072));
  const std::vector<std::function<Model()>> refused{
      [&] { return of_two(CombineKind::divide); }, [&] { return of_two(CombineKind::power); },
      [] { return alone(with(CombineKind::add, {1}, {}), DType::int32); },
      [] { return alone(with(CombineKind::maximum, {1}, {}), DType::int32); },
      [] {
        return alone(core::ReduceParams{core::ReduceKind::sum, {1}, false}, DType::int32);
      }};
  for (const auto& make : refused) {
    try {
      static_cast<void>(make());
      ADD_FAILURE() << "was made";
    } catch (const ArgumentError& error) {
      EXPECT_THAT(error.what(), HasSubstr("its input is int32; lamella needs a floating-point input here"));
    }
  }
}

TEST(OperationsTest, OperationsAcrossSamplesAreRefused) {
  using Item = core::SliceItem;
  const std::vector<core::LayerParams> refused{
      core::ReduceParams{core::ReduceKind::sum, {}, false},
      core::ReduceParams{core::ReduceKind::sum, {0}, false},
      core::ReduceParams{core::ReduceKind::mean, {-2}, true},
      core::TransposeParams{{1, 0}},
      core::TransposeParams{{}},
      core::ExpandDimsParams{{0}},
      core::SqueezeParams{{0}},
      core::ConcatenateParams{0},
      core::StackParams{0},
      core::SliceParams{{Item{Item::Kind::index, 0, {}, {}}}},
      core::SliceParams{{Item{Item::Kind::range, {}, 2, {}}}},
      core::SliceParams{{Item{Item::Kind::new_axis, {}, {}, {}}}},
      with(CombineKind::add, std::vector<double>(12, 1.0), {3, 4}),
  };
  for (const core::LayerParams& params : refused) {
    try {
      static_cast<void>(alone(params).predict(numbers_of({1, 2, 3, 4})));
      ADD_FAILURE() << "took params " << params.index();
    } catch (const ArgumentError& error) {
      EXPECT_EQ(error.code(), ErrorCode::unsupported) << error.what();
      EXPECT_THAT(error.what(), HasSubstr("lamella computes each sample on its own"));
    }
  }
}

}  // namespace
}  // namespace lamella::test
