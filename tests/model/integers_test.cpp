// SPDX-License-Identifier: Apache-2.0
// The interface for values of integer dtype; tests/fixtures and tests/device/integer_ops_test.cpp check the results.
#include <gmock/gmock.h>

#include <lamella/lamella.hpp>

namespace lamella {
namespace {

const Options kCpu{.device = Device::cpu()};

template <typename T>
std::vector<T> values_of(const Tensor& tensor) {
  const auto span = tensor.span<T>();
  return {span.begin(), span.end()};
}

Model passing(const std::string& dtype) {
  const KerasTensor x = Input({2}, {.dtype = dtype});
  return Functional(x, Flatten()(x)).compile(kCpu);
}

TEST(IntegerModelTest, ReportsTheDtypesOfInputsAndOutputs) {
  const KerasTensor key = Input({1}, {.name = "key", .dtype = "int64"});
  const KerasTensor x = Input({3}, {.name = "x"});
  const Model model = Functional({key, x}, {key, Dense(1)(x), Add()({key, key})}).compile(kCpu);
  EXPECT_EQ(model.input_dtype(0), DType::int64);
  EXPECT_EQ(model.input_dtype(1), DType::float32);
  EXPECT_EQ(model.output_dtype(0), DType::int64);
  EXPECT_EQ(model.output_dtype(1), DType::float32);
  EXPECT_EQ(model.output_dtype(2), DType::int64);
  EXPECT_THROW(static_cast<void>(model.input_dtype(2)), ArgumentError);
  EXPECT_THROW(static_cast<void>(model.output_dtype(-1)), ArgumentError);
}

TEST(IntegerModelTest, KeepsEveryBitOf64) {
  const std::vector<std::int64_t> x{(std::int64_t{1} << 53) + 1, -(std::int64_t{1} << 62) - 3};
  const Tensor y = passing("int64").predict(Tensor::of<std::int64_t>(x, {1, 2}));
  EXPECT_EQ(values_of<std::int64_t>(y), x);
}

TEST(IntegerModelTest, PredictConvertsItsInput) {
  const std::vector<float> x{1.7F, -2.6F};
  EXPECT_EQ(values_of<std::int32_t>(passing("int32").predict(x, {1, 2})), (std::vector<std::int32_t>{1, -2}));
  EXPECT_EQ(values_of<std::uint8_t>(passing("uint8").predict(x, {1, 2})), (std::vector<std::uint8_t>{1, 0}));
  EXPECT_EQ(values_of<bool>(passing("bool").predict(x, {1, 2})), (std::vector<bool>{true, true}));
  const Tensor wide = Tensor::of<std::int64_t>(std::vector<std::int64_t>{300, -1}, {1, 2});
  EXPECT_EQ(values_of<std::uint8_t>(passing("uint8").predict(wide)), (std::vector<std::uint8_t>{44, 255}));
}

TEST(IntegerModelTest, PredictIntoTakesTheInputsOwnTypeOnly) {
  const Model model = passing("int32");
  Tensor y({1, 2}, DType::int32);
  model.predict_into(Tensor::of<std::int32_t>(std::vector<std::int32_t>{2147483647, -5}, {1, 2}), y);
  EXPECT_EQ(values_of<std::int32_t>(y), (std::vector<std::int32_t>{2147483647, -5}));
  try {
    model.predict_into(Tensor::zeros({1, 2}), y);
    FAIL() << "took float32";
  } catch (const ArgumentError& error) {
    EXPECT_EQ(error.code(), ErrorCode::dtype);
    EXPECT_THAT(error.what(), testing::HasSubstr("is float32, the model takes int32; Tensor::to(dtype) converts"));
  }
}

TEST(IntegerModelTest, RefusesWhatKerasRefusesWithAReason) {
  const auto refused = [](const KerasTensor& x, const Layer& layer) -> std::string {
    try {
      static_cast<void>(Functional(x, layer(x)).compile(kCpu));
    } catch (const ArgumentError& error) {
      return error.what();
    }
    return "was compiled";
  };
  const auto of = [](const char* dtype) { return Input({4}, {.dtype = dtype}); };
  EXPECT_THAT(refused(of("int32"), Activation("sigmoid")), testing::HasSubstr("activation 'sigmoid' of int32 values"));
  EXPECT_THAT(refused(of("uint8"), Activation("softmax")), testing::HasSubstr("activation 'softmax' of uint8 values"));
  EXPECT_THAT(refused(of("int8"), Activation("softsign")), testing::HasSubstr("activation 'softsign' of int8 values"));
  EXPECT_THAT(refused(of("bool"), PReLU()), testing::HasSubstr("its input is bool"));
  const KerasTensor x = of("bool");
  EXPECT_THROW(static_cast<void>(Functional(x, Subtract()({x, x})).compile(kCpu)), ArgumentError);
}

TEST(IntegerModelTest, GoesIntoAFloat64LayerWithEveryBit) {
  const KerasTensor x = Input({1}, {.dtype = "int32"});
  const Model model = Functional(x, Dense(1, {.kernel_initializer = Initializer::ones(), .dtype = "float64"})(x)).compile(kCpu);
  const Tensor y = model.predict(Tensor::of<std::int32_t>(std::vector<std::int32_t>{123456789}, {1, 1}));
  EXPECT_EQ(values_of<double>(y), std::vector<double>{123456789});
}

}  // namespace
}  // namespace lamella
