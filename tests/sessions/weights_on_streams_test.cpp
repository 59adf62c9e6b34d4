// SPDX-License-Identifier: Apache-2.0
// update_weights() on callers' streams and from device memory. On the test double and on a GPU alike, through the public
// interface; the truth is a model that had the weights from the start.
#include <cuda_runtime_api.h>

#include <array>
#include <lamella/models.hpp>
#include <optional>
#include <string>
#include <vector>

#include "device/test_device.hpp"
#include "model/model_support.hpp"

namespace lamella::test {
namespace {

using Values = std::map<std::string, Tensor>;

class WeightsOnStreamsTest : public testing::Test {
 protected:
  WeightsOnStreamsTest() {
    for (cudaStream_t& stream : streams_) EXPECT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  }
  ~WeightsOnStreamsTest() override {
    for (const cudaStream_t stream : streams_) {
      EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
      EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
    }
  }

  /// A layer too wide to be stacked, one that folds into it, and two narrow ones.
  static Model model_of(const Options& options) {
    const auto x = Input({19}, {.name = "x"});
    const auto h = BatchNormalization({.name = "norm"})(Dense(150, {.activation = "tanh", .name = "wide"})(x));
    const auto y = Dense(5, {.name = "out"})(Dense(33, {.activation = "gelu", .name = "narrow"})(h));
    return Functional({x}, {y}).compile(options);
  }
  static Values times(const Values& values, float factor) {
    Values result;
    for (const auto& [name, value] : values) {
      Tensor other = value.clone();
      for (float& v : other.span<float>()) v *= factor;
      result.emplace(name, std::move(other));
    }
    return result;
  }
  static Values there(const Values& values) {
    Values result;
    for (const auto& [name, value] : values) result.emplace(name, value.to(device()));
    return result;
  }
  static Tensor output() { return Tensor({kRows, 5}, DType::float32, device()); }
  void finish() const {
    for (const cudaStream_t stream : streams_) ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  }
  static void expect(const Tensor& on_device, const Tensor& wanted, const std::string& what) {
    EXPECT_TRUE(same_bits(on_device.to(Device::cpu()), wanted)) << what;
  }

  static constexpr std::int64_t kRows = 4;
  Model plain_ = model_of({.device = device()});
  Model model_ = model_of({.device = device(), .updatable = true});
  Values old_ = values_of(plain_);
  Values new_ = times(old_, 1.5F);
  const Tensor host_x_ = random_input({kRows, 19});
  const Tensor x_ = host_x_.to(device());
  /// What predict_into() gives with these weights: not the bits of predict(), which may pad rows.
  [[nodiscard]] Tensor answer(const Values& values) const {
    Tensor y = output();
    plain_.with_weights(views_of(values)).predict_into(x_, y);
    return y.to(Device::cpu());
  }
  const Tensor before_ = answer(old_);
  const Tensor after_ = answer(new_);
  std::array<cudaStream_t, 2> streams_{};
};

TEST_F(WeightsOnStreamsTest, TakeEffectBetweenTheCallsBeforeAndAfterOnEveryStream) {
  ASSERT_FALSE(same_bits(before_, after_));
  for (int round = 0; round < 3; ++round) {  // the first calls, then what is captured, then replays
    std::vector<Tensor> olds;
    std::vector<Tensor> news;
    for (std::size_t i = 0; i < streams_.size(); ++i) {
      olds.push_back(output());
      news.push_back(output());
    }
    for (std::size_t i = 0; i < streams_.size(); ++i) model_.predict_into(x_, olds[i], streams_[i]);
    Values given = times(old_, 1.5F);
    model_.update_weights(views_of(given), streams_[0]);
    given = times(given, 7.0F);  // it was copied
    for (std::size_t i = 0; i < streams_.size(); ++i) model_.predict_into(x_, news[i], streams_[1 - i]);
    const Tensor waited = model_.predict(host_x_);
    EXPECT_TRUE(same_bits(waited, plain_.with_weights(views_of(new_)).predict(host_x_)));
    finish();
    for (std::size_t i = 0; i < streams_.size(); ++i) {
      expect(olds[i], before_, "before, stream " + std::to_string(i));
      expect(news[i], after_, "after, stream " + std::to_string(1 - i));
    }
    for (const auto& [name, value] : values_of(model_)) EXPECT_TRUE(same_bits(value, new_.at(name))) << name;
    model_.update_weights(views_of(old_), streams_[1]);
  }
}

TEST_F(WeightsOnStreamsTest, ManyUpdatesAlternateWithCallsOnOneStream) {
  std::vector<Tensor> outputs;
  for (int i = 0; i < 12; ++i) {
    model_.update_weights(views_of(i % 2 == 0 ? new_ : old_), streams_[0]);
    outputs.push_back(output());
    model_.predict_into(x_, outputs.back(), streams_[0]);
  }
  finish();
  for (std::size_t i = 0; i < outputs.size(); ++i)
    expect(outputs[i], i % 2 == 0 ? after_ : before_, "update " + std::to_string(i));
}

TEST_F(WeightsOnStreamsTest, DeviceMemoryIsReadAfterTheWorkOnTheStream) {
  Values values = there(old_);
  for (auto& [name, value] : values) {
    ASSERT_EQ(cudaMemcpyAsync(value.data(), new_.at(name).data(), value.bytes(), cudaMemcpyDefault, streams_[0]), cudaSuccess);
  }
  model_.update_weights(views_of(values), streams_[0]);
  values.clear();
  Tensor y = output();
  model_.predict_into(x_, y, streams_[0]);
  finish();
  expect(y, after_, "from the device");
  // Without a stream, complete memory; from the host and the device together; other floating types.
  Values some = there(old_);
  some["out/bias"] = old_.at("out/bias").clone();
  some["out/kernel"] = old_.at("out/kernel").to(DType::float64).to(device());
  model_.update_weights(views_of(some));
  model_.predict_into(x_, y);
  expect(y, before_, "without a stream");
  model_.update_weights(views_of(new_), nullptr);
  model_.predict_into(x_, y, nullptr);
  ASSERT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess);
  expect(y, after_, "on CUDA's default stream");
}

TEST_F(WeightsOnStreamsTest, AreSeenByGraphsThatWereCapturedBefore) {
  Tensor y = output();
  model_.predict_into(x_, y, streams_[0]);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(streams_[0], cudaStreamCaptureModeThreadLocal), cudaSuccess);
  model_.predict_into(x_, y, streams_[0]);
  expect_error(ErrorCode::unsupported, "the stream is being captured",
               [&] { model_.update_weights(views_of(new_), streams_[0]); });
  model_.update_weights(views_of(new_), streams_[1]);  // another stream, while this one is captured
  ASSERT_EQ(cudaStreamEndCapture(streams_[0], &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
  finish();
  const std::array<const Values*, 3> all{&old_, &new_, &old_};
  std::vector<Tensor> found;
  for (const Values* values : all) {
    model_.update_weights(views_of(*values), streams_[0]);
    ASSERT_EQ(cudaGraphLaunch(executable, streams_[0]), cudaSuccess);
    found.push_back(output());
    ASSERT_EQ(cudaMemcpyAsync(found.back().data(), y.data(), y.bytes(), cudaMemcpyDefault, streams_[0]), cudaSuccess);
  }
  finish();
  for (std::size_t i = 0; i < found.size(); ++i) expect(found[i], i == 1 ? after_ : before_, "launch " + std::to_string(i));
  ASSERT_EQ(cudaGraphExecDestroy(executable), cudaSuccess);
  ASSERT_EQ(cudaGraphDestroy(graph), cudaSuccess);
}

TEST_F(WeightsOnStreamsTest, TheStreamAndTheModelMayBeDestroyedBeforeTheWorkIsDone) {
  Tensor y = output();
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  std::optional<Model> model(model_of({.device = device(), .updatable = true}));
  model->predict_into(x_, y, stream);
  model->update_weights(views_of(new_), stream);
  ASSERT_EQ(cudaStreamDestroy(stream), cudaSuccess);
  model->update_weights(views_of(old_), streams_[0]);
  model->update_weights(views_of(new_), streams_[1]);
  model->predict_into(x_, y, streams_[0]);
  model.reset();
  finish();
  expect(y, after_, "the last update");
}

TEST_F(WeightsOnStreamsTest, RefusalsChangeNothing) {
  Tensor y = output();
  model_.predict_into(x_, y);
  const auto refused = [&](ErrorCode code, const std::string& words, const std::string& name, const TensorView& value) {
    auto values = views_of(new_);
    values[name] = value;
    expect_error(code, words, [&] { model_.update_weights(values, streams_[0]); });
    expect_error(code, words, [&] { model_.update_weights(values); });
    for (const auto& [each, now] : values_of(model_)) EXPECT_TRUE(same_bits(now, old_.at(each))) << each;
    model_.predict_into(x_, y, streams_[0]);
    finish();
    expect(y, before_, words);
  };
  const Tensor bias = old_.at("wide/bias").to(device());
  refused(ErrorCode::shape, "'wide/kernel': got shape (150,), allowed (19, 150)", "wide/kernel", bias);
  const Tensor whole = Tensor::zeros({150}, DType::int32, device());
  refused(ErrorCode::dtype, "'wide/bias': got int32, allowed floating types", "wide/bias", whole);
  refused(ErrorCode::value, "no weight is named 'wide/gamma'", "wide/gamma", bias);
  const Tensor host = old_.at("wide/bias").clone();
  refused(ErrorCode::device, "'wide/bias' should be on " + to_string(device()) + ", but is host memory", "wide/bias",
          TensorView(host.data(), host.shape(), host.dtype(), device()));
  refused(ErrorCode::device, "allowed is host memory, or memory of " + to_string(device()), "wide/bias",
          TensorView(bias.data(), bias.shape(), bias.dtype(), Device::cuda(device().index() + 1)));
  Tensor tiny = old_.at("norm/gamma").clone();
  for (float& v : tiny.span<float>()) v = 1e-40F;  // the layer may not fold any more (docs/architecture.md)
  const Tensor tiny_there = tiny.to(device());
  refused(ErrorCode::unsupported, "needs different steps", "norm/gamma", tiny_there);
  expect_error(ErrorCode::unsupported, "was made without Options::updatable",
               [&] { plain_.update_weights(views_of(new_), streams_[0]); });
  Model on_cpu = model_of({.device = Device::cpu(), .threads = 1, .updatable = true});
  expect_error(ErrorCode::device, "[Model::update_weights] a stream was given, but the model is on cpu",
               [&] { on_cpu.update_weights(views_of(new_), streams_[0]); });
  expect_error(ErrorCode::device, "'wide/bias': its elements are on " + to_string(device()) + ", allowed is host memory", [&] {
    on_cpu.update_weights({{"wide/bias", bias}});
  });
  expect_error(ErrorCode::device, "allowed is host memory", [&] {
    static_cast<void>(plain_.with_weights({{"wide/bias", bias}}));
  });
}

}  // namespace
}  // namespace lamella::test
