// SPDX-License-Identifier: Apache-2.0
// predict_into() with several inputs and outputs in device memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <lamella/models.hpp>
#include <map>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "device/test_device.hpp"
#include "model/model_support.hpp"

namespace lamella {
namespace {

using namespace test;

/// Two inputs, two outputs, neither in the order of their names; one output is wider than the other.
Model two_by_two() {
  const auto a = Input({3}, {.name = "p"});
  const auto b = Input({5}, {.name = "b"});
  const auto sum = Add()({Dense(4, {.activation = "tanh"})(a), Dense(4)(b)});
  const Functional net({a, b}, {Dense(2, {.activation = "sigmoid", .name = "y"})(sum), Dense(7, {.name = "h"})(sum)});
  return net.compile({.device = device()});
}

class PredictInto : public ::testing::Test {
 protected:
  explicit PredictInto(std::int64_t rows = 6)
      : a_(random_input({rows, 3}, 1).to(device())),
        b_(random_input({rows, 5}, 2).to(device())),
        y_(Tensor::zeros({rows, 2}, DType::float32, device())),
        z_(Tensor::zeros({rows, 7}, DType::float32, device())) {}

  const Model model_ = two_by_two();
  Tensor a_;
  Tensor b_;
  Tensor y_;
  Tensor z_;
};

TEST_F(PredictInto, OfSeveralArraysHasTheBitsOfPredict) {
  const Tensor a = a_.to(Device::cpu());
  const Tensor b = b_.to(Device::cpu());
  const std::vector<Tensor> wanted = model_.predict(std::array<TensorView, 2>{a, b});
  for (int call = 0; call < 4; ++call) {  // later calls replay a graph if the device has graphs
    model_.predict_into(std::array<TensorView, 2>{a_, b_}, std::array<MutableTensorView, 2>{y_, z_});
    EXPECT_TRUE(same_bits(y_.to(Device::cpu()), wanted[0])) << call;
    EXPECT_TRUE(same_bits(z_.to(Device::cpu()), wanted[1])) << call;
  }
}

TEST_F(PredictInto, ByNameTakesAnyOrder) {
  const std::vector<Tensor> wanted = model_.predict({a_.to(Device::cpu()), b_.to(Device::cpu())});
  const auto expect_written = [&] {
    EXPECT_TRUE(same_bits(y_.to(Device::cpu()), wanted[0]));
    EXPECT_TRUE(same_bits(z_.to(Device::cpu()), wanted[1]));
    y_ = Tensor::zeros({6, 2}, DType::float32, device());
    z_ = Tensor::zeros({6, 7}, DType::float32, device());
  };
  model_.predict_into({{"b", b_}, {"p", a_}}, {{"h", z_}, {"y", y_}});
  expect_written();
  const std::map<std::string, TensorView> srcs{{"b", b_}, {"p", a_}};
  model_.predict_into(srcs, {{"y", y_}, {"h", z_}}, std::stop_token());
  expect_written();
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(model_.predict_into(srcs, {{"y", y_}, {"h", z_}}, stop.get_token()), Error);
  if (device().is_cuda()) return;  // SessionTest does so on a stream
  expect_error(ErrorCode::device, "which has none", [&] { model_.predict_into(srcs, {{"y", y_}, {"h", z_}}, nullptr); });
}

TEST_F(PredictInto, UnknownAndMissingNamesAreNamed) {
  const auto refused = [&](ErrorCode code, const std::string& words, const std::map<std::string, TensorView>& srcs,
                           const std::map<std::string, MutableTensorView>& dsts) {
    expect_error(code, words, [&] { model_.predict_into(srcs, dsts); });
  };
  refused(ErrorCode::value, "[Model::predict_into] no input is named 'c'; known: 'p', 'b'", {{"p", a_}, {"b", b_}, {"c", b_}},
          {{"y", y_}, {"h", z_}});
  refused(ErrorCode::missing, "[Model::predict_into] input 'b' is not given", {{"p", a_}}, {{"y", y_}, {"h", z_}});
  refused(ErrorCode::value, "no output is named 'p'; known: 'y', 'h'", {{"p", a_}, {"b", b_}}, {{"y", y_}, {"p", z_}});
  refused(ErrorCode::missing, "output 'h' is not given", {{"p", a_}, {"b", b_}}, {{"y", y_}});
  refused(ErrorCode::missing, "output 'y' is not given", {{"p", a_}, {"b", b_}}, {});
  refused(ErrorCode::shape, "is float32 (6, 7), the result is float32 (6, 2)", {{"p", a_}, {"b", b_}}, {{"y", z_}, {"h", y_}});
  EXPECT_TRUE(same_bits(y_.to(Device::cpu()), Tensor::zeros({6, 2}))) << "a refused call writes nothing";
}

TEST_F(PredictInto, ByNameTellsOutputsOfOneLayerApart) {
  const auto x = Input({3}, {.name = "a"});
  const auto once = Dense(2, {.name = "twice"})(x);
  const Model model = Functional({x}, {once, once}).compile({.device = device()});
  Tensor again = Tensor::zeros({6, 2}, DType::float32, device());
  model.predict_into({{"a", a_}}, {{"twice_1", again}, {"twice", y_}});
  EXPECT_TRUE(same_bits(again.to(Device::cpu()), y_.to(Device::cpu())));
  expect_error(ErrorCode::missing, "output 'twice_1' is not given", [&] { model.predict_into({{"a", a_}}, {{"twice", y_}}); });
}

TEST_F(PredictInto, ArraysThatDoNotFitAreNamed) {
  const auto into = [&](const TensorView& a, const TensorView& b, const MutableTensorView& y, const MutableTensorView& z) {
    return [this, srcs = std::array{a, b}, dsts = std::array{y, z}] { model_.predict_into(srcs, dsts); };
  };
  Tensor few = random_input({5, 5}).to(device());
  expect_error(ErrorCode::shape, "input 'b' has 5 rows, input 'p' has 6", into(a_, few, y_, z_));
  expect_error(ErrorCode::shape, "is float32 (6, 7), the result is float32 (6, 2)", into(a_, b_, z_, y_));
  expect_error(ErrorCode::argument, "and an input share memory",
               into(a_, b_, y_, MutableTensorView(b_.data(), Shape{6, 5}, DType::float32, device())));
  expect_error(ErrorCode::argument, "and another output share memory",
               into(a_, b_, MutableTensorView(z_.data(), Shape{6, 2}, DType::float32, device()), z_));
  expect_error(ErrorCode::argument, "2 inputs ('p', 'b')", [&] { model_.predict_into(a_, y_); });
}

}  // namespace
}  // namespace lamella
