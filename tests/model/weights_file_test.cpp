// SPDX-License-Identifier: Apache-2.0
// Weights from .npz and .safetensors files. data/weights was written by numpy and safetensors themselves (make_weights.py);
// safetensors_test.cpp has damaged files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <lamella/architecture.hpp>
#include <lamella/models.hpp>
#include <lamella/npy.hpp>
#include <lamella/weights.hpp>

#include "keras/refused.hpp"
#include "model/model_support.hpp"

namespace lamella {
namespace {

using test::refusal;

using ::testing::AllOf;
using ::testing::HasSubstr;

const Options kCpu{.device = Device::cpu(), .threads = 1, .updatable = true};

std::string file(const std::string& name) { return LAMELLA_SOURCE_DIR "/tests/keras/data/weights/" + name; }

/// Element i of the files' arrays: a number that every floating type holds.
Tensor rule(const Shape& shape) {
  Tensor array(shape);
  int i = 0;
  for (float& element : array.span<float>()) element = static_cast<float>(i++ * 7 % 101 - 50) / 64;
  return array;
}

Model small(const std::string& first = "a", const std::string& second = "b") {
  Sequential layers({Dense(6, {.activation = "tanh", .name = first}), Dense(2, {.name = second})});
  layers.build({4}, {.seed = 3});
  return layers.compile(kCpu);
}

/// The model with these weights, given from memory.
Model wanted(const Model& model, bool transposed) {
  const auto kernel = [&](std::int64_t in, std::int64_t out) {
    Tensor made = rule({in, out});
    if (!transposed) return made;
    const Tensor stored = rule({out, in});
    for (std::int64_t i = 0; i < in; ++i) {
      for (std::int64_t o = 0; o < out; ++o)
        made.span<float>()[static_cast<std::size_t>(i * out + o)] = stored.span<float>()[static_cast<std::size_t>(o * in + i)];
    }
    return made;
  };
  const std::string a = model.layers()[1].path;
  const std::string b = model.layers()[2].path;
  const Tensor arrays[] = {kernel(4, 6), rule({6}), kernel(6, 2), rule({2})};
  return model.with_weights(
      {{a + "/kernel", arrays[0]}, {a + "/bias", arrays[1]}, {b + "/kernel", arrays[2]}, {b + "/bias", arrays[3]}});
}

/// By every way into a model.
void expect_read(const std::string& path, const Model& model, const Model& want) {
  SCOPED_TRACE(path);
  const Tensor x = test::random_input({5, 4});
  const Tensor y = want.predict(x);
  EXPECT_TRUE(test::same_bits(model.with_weights(path).predict(x), y));
  Model updated = model;
  const auto weights = load_weights(model, path);
  updated.update_weights({weights.begin(), weights.end()});
  EXPECT_TRUE(test::same_bits(updated.predict(x), y));
  std::ifstream stream(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
  EXPECT_EQ(parse_weights(model, std::as_bytes(std::span(bytes)), "memory").size(), weights.size());
}

TEST(WeightsFileTest, NamesOfTheModel) {
  for (const char* name : {"keras.npz", "compressed.npz", "orders.npz", "keras.safetensors"})
    expect_read(file(name), small(), wanted(small(), false));
}

TEST(WeightsFileTest, NamesOfTorchInTheOrderOfTheirNumbers) {
  for (const char* name : {"torch.npz", "torch.safetensors"}) expect_read(file(name), small(), wanted(small(), true));
}

TEST(WeightsFileTest, NamesOfTorchThatAreTheModels) {
  expect_read(file("brain.safetensors"), small(), wanted(small(), true));
  const Sequential net({Dense(6, {.activation = "tanh", .name = "2"}), Dense(2, {.name = "10"})}, {.name = "net"});
  Sequential outer({net});
  outer.build({4});
  const Model nested = outer.compile(kCpu);
  const auto weights = load_weights(nested, file("torch.safetensors"));
  EXPECT_EQ(weights.count("net/2/kernel") + weights.count("net/10/bias"), 2U);
  const Tensor x = test::random_input({5, 4});
  EXPECT_TRUE(test::same_bits(nested.with_weights(file("torch.safetensors")).predict(x), wanted(small(), true).predict(x)));
}

TEST(WeightsFileTest, ElementsKeepTheirTypes) {
  const Model model = small();
  const auto brain = load_weights(model, file("brain.safetensors"));
  EXPECT_EQ(brain.at("a/kernel").dtype(), DType::bfloat16);
  EXPECT_EQ(brain.at("a/kernel").shape(), Shape({4, 6}));
  EXPECT_EQ(load_weights(model, file("half.safetensors")).at("b/bias").dtype(), DType::float16);
  const auto types = load_weights(model, file("types.safetensors"));
  EXPECT_EQ(types.size(), 14U);
  for (const DType dtype : {DType::float64, DType::float32, DType::float16, DType::int64, DType::int32, DType::int16, DType::int8,
                            DType::uint64, DType::uint32, DType::uint16, DType::uint8, DType::boolean}) {
    const std::string name = dtype == DType::boolean ? "x/bool" : "x/" + std::string(to_string(dtype));
    const Tensor& array = types.at(name);
    EXPECT_EQ(array.dtype(), dtype) << name;
    EXPECT_EQ(array.shape(), Shape({3})) << name;
    EXPECT_EQ(array.to(DType::float64).span<double>()[2], dtype == DType::boolean ? 1 : 100) << name;
  }
  EXPECT_EQ(types.at("x/scalar").shape(), Shape({}));
  EXPECT_EQ(types.at("x/scalar").span<double>()[0], 2.5);
  EXPECT_EQ(types.at("x/empty").shape(), Shape({0, 3}));
}

TEST(WeightsFileTest, SomeOfTheWeightsLeaveTheOthers) {
  const Model model = small();
  const Tensor x = test::random_input({3, 4});
  EXPECT_TRUE(test::same_bits(model.with_weights(file("none.safetensors")).predict(x), model.predict(x)));
  const Tensor bias = rule({2});
  EXPECT_TRUE(test::same_bits(model.with_weights(file("half.safetensors")).predict(x),
                              model.with_weights({{"b/bias", bias}}).predict(x)));
}

TEST(WeightsFileTest, WhatDoesNotFitIsNamed) {
  const Model other = small("first", "second");
  EXPECT_THAT(refusal(ErrorCode::value, [&] { (void)other.with_weights(file("keras.npz")); }),
              AllOf(HasSubstr("keras.npz: "), HasSubstr("no weight is named 'a/bias'; known: 'first/bias'")));
  EXPECT_THAT(refusal(ErrorCode::value, [&] { (void)other.with_weights(file("brain.safetensors")); }),
              HasSubstr("does not keep the order of its Linear layers, and 'a', 'b' differ in more than numbers"));
  Sequential one({Dense(6)});
  one.build({4});
  EXPECT_THAT(refusal(ErrorCode::value, [&] { (void)load_weights(one.compile(kCpu), file("torch.npz")); }),
              HasSubstr("got 2 Linear layers ('net.10', 'net.2'), the model has 1 Dense layers ('dense"));
  Sequential wide({Dense(6), Dense(3)});
  wide.build({4});
  EXPECT_THAT(refusal(ErrorCode::shape, [&] { (void)wide.compile(kCpu).with_weights(file("torch.safetensors")); }),
              HasSubstr("torch.safetensors: 'net.10.weight': got shape (2, 6), Dense layer '"));
  Sequential plain({Dense(6, {.use_bias = false}), Dense(2)});
  plain.build({4});
  EXPECT_THAT(refusal(ErrorCode::missing, [&] { (void)plain.compile(kCpu).with_weights(file("torch.npz")); }),
              HasSubstr("'net.2.bias' is given, but Dense layer '"));
  EXPECT_THAT(refusal(ErrorCode::dtype, [&] { (void)small().with_weights(file("eight.safetensors")); }),
              HasSubstr("eight.safetensors: 'x/eight': dtype: got 'F8_E4M3', allowed BF16, F16, F32, F64, I8"));
}

TEST(WeightsFileTest, OtherLayersOfTorchAreRefused) {
  const std::string path = testing::TempDir() + "/weights_file_test.npz";
  save_npz(path, {{"0.weight", rule({6, 4})}, {"0.bias", rule({6})}, {"1.running_mean", rule({6})}});
  EXPECT_THAT(refusal(ErrorCode::unsupported, [&] { (void)small().with_weights(path); }),
              HasSubstr("'1.running_mean': got shape (6,), allowed are weight (out, in) and bias (out,)"));
  save_npz(path, {{"0.weight", rule({6, 4})}, {"0.bias", rule({6})}, {"1.weight", rule({6})}, {"1.bias", rule({2})}});
  EXPECT_THAT(refusal(ErrorCode::unsupported, [&] { (void)small().with_weights(path); }),
              HasSubstr("'1.weight': got shape (6,)"));
  save_npz(path, {{"weight", rule({6, 4})}, {"1.weight", rule({2, 6})}, {"1.bias", rule({2})}});
  EXPECT_THAT(refusal(ErrorCode::value, [&] { (void)small().with_weights(path); }),
              HasSubstr("'', '1' differ in more than numbers"));
  save_npz(path, {{"0.weight", rule({6, 4})}, {"1.weight", rule({2, 6})}, {"1.bias", rule({2})}});
  EXPECT_THAT(refusal(ErrorCode::missing, [&] { (void)small().with_weights(path); }),
              HasSubstr("'0.bias' is missing, but Dense layer 'a' has a bias"));
}

TEST(WeightsFileTest, FilesOfOtherKindsAreNamed) {
  const Model model = small();
  EXPECT_THAT(refusal(ErrorCode::io, [&] { (void)load_weights(model, file("absent.npz")); }),
              HasSubstr("absent.npz: cannot be opened"));
  EXPECT_THAT(refusal(ErrorCode::archive, [&] { (void)load_weights(model, LAMELLA_SOURCE_DIR "/examples/models/mlp.keras"); }),
              HasSubstr("mlp.keras is neither an .npz nor a .safetensors file"));
  for (const char* name : {"keras.npz", "keras.safetensors"}) {
    EXPECT_THAT(refusal(ErrorCode::archive, [&] { (void)Model::load(file(name), kCpu); }),
                HasSubstr("holds weights only: load a model and give it this file"));
  }
  const std::string json = testing::TempDir() + "/weights_file_test.json";
  std::ofstream(json)
      << R"({"class_name": "Sequential", "config": {"name": "s", "layers": [{"class_name": "InputLayer",)"
      << R"( "config": {"batch_shape": [null, 4], "name": "x"}}, {"class_name": "Dense", "config": {"units": 2, "name": "d"}}]}})";
  EXPECT_THAT(refusal(ErrorCode::unsupported, [&] { (void)load_architecture(json, file("keras.npz"), kCpu); }),
              HasSubstr("keras.npz: may hold some of the weights only"));
}

}  // namespace
}  // namespace lamella
