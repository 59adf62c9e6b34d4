// SPDX-License-Identifier: Apache-2.0
// Whole models in use: graphs, streams, threads, memory; on the test double and on a GPU, through the public interface, compared
// with Keras' own output.
#include <atomic>
#include <chrono>
#include <cmath>
#include <lamella/models.hpp>
#include <optional>
#include <thread>

#include "sessions/session_support.hpp"

namespace lamella::test {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(SessionTest, ReplaysHaveTheBitsOfTheFirstCallAndOfACallWithoutGraphs) {
  const Model with = load();
  const Model without = load({.graphs = false});
  for (const std::int64_t rows : {1, 3, 16, 128, 257}) {
    const Tensor x = rows_of(truth().x, rows);
    // Padding for graphs changes the size of the product, for which cuBLASLt may add in another order.
    const bool padded = rows == 3;
    const auto wanted = values_of((padded ? with : without).predict(x));
    for (int i = 0; i < 4; ++i) {
      const Tensor y = with.predict(x);
      ASSERT_EQ(values_of(y), wanted) << rows << " rows, call " << i;
      expect_keras(y);
    }
    EXPECT_THAT(with.explain({.batch = rows}), HasSubstr("captured as a CUDA graph"));
    EXPECT_THAT(without.explain({.batch = rows}), Not(HasSubstr("captured as a CUDA graph")));
  }
}

TEST(SessionTest, ResultsIntoTheMemoryOfTheInputAreRefused) {
  const Model model = load();
  Tensor x = rows_of(truth().x, 20).to(model.device());
  for (const std::int64_t past : {0, 60, 137}) {
    const MutableTensorView y(static_cast<float*>(x.data()) + past, Shape{1, kOutputs}, DType::float32, model.device());
    EXPECT_THROW(model.predict_into(x, y), ArgumentError) << past;
    EXPECT_THROW(model.predict_into(x, y, nullptr), ArgumentError) << past;
  }
}

TEST(SessionTest, BatchesThatShareAGraphNeverShowItsPadding) {
  const Model model = load();
  for (int round = 0; round < 3; ++round) {
    for (const std::int64_t rows : {16, 9, 12, 16, 13, 33, 64, 255, 256, 257}) {
      const Tensor y = model.predict(rows_of(truth().x, rows, rows));
      ASSERT_EQ(y.shape(), (Shape{rows, kOutputs}));
      expect_keras(y, rows);
    }
  }
}

TEST(SessionTest, ReplaysTakeNoMemory) {
  const Model model = load();
  const Tensor x = rows_of(truth().x, 2).to(device());
  Tensor y = poisoned(2, kOutputs);
  for (int i = 0; i < 3; ++i) model.predict_into(x, y);
  const std::size_t before = free_memory();
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(3);  // the test double is slow
  for (int i = 0; i < 100'000 && std::chrono::steady_clock::now() < end; ++i) model.predict_into(x, y);
  EXPECT_GE(free_memory() + kSlack, before);
  expect_keras(y);
}

/// Kernels of layers of few rows may begin before the layer before them has ended. Their width is odd, so that they read elements
/// one by one, by way of the first cache, in which the numbers of an earlier layer could lie.
TEST(SessionTest, LayersThatOverlapSeeTheResultsOfTheLayerBefore) {
  constexpr std::int64_t kWidth = 131;
  for (const DType dtype : {DType::float32, DType::bfloat16}) {
    Sequential layers{Input({kWidth})};
    for (int i = 0; i < 8; ++i) layers.add(Dense(kWidth, {.activation = "tanh"}));
    const Model model = layers.compile({.device = device(), .dtype = dtype, .engine = "small_batch"});
    const Tensor xs[2] = {rows_of(truth().x, kWidth, 0), rows_of(truth().x, kWidth, 3)};  // numbers of any kind
    std::vector<float> wanted[2];
    Tensor y({3, kWidth}, dtype, device());
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(1);  // the test double is slow
    for (int i = 0; i < 2000 && (i < 6 || std::chrono::steady_clock::now() < end); ++i) {
      const auto k = static_cast<std::size_t>(i % 2);
      const TensorView rows(xs[k].data(), Shape{3, kWidth}, DType::float32);
      model.predict_into(Tensor::copy_of(rows).to(device()), y);
      const auto found = values_of(y.to(Device::cpu()).to(DType::float32));
      if (wanted[k].empty()) wanted[k] = found;
      ASSERT_EQ(found, wanted[k]) << to_string(dtype) << ", call " << i;
    }
    EXPECT_NE(wanted[0], wanted[1]);
  }
}

TEST(SessionTest, DestroyedModelsReturnTheirMemory) {
  const Tensor x = rows_of(truth().x, 5);
  std::size_t before = 0;
  for (int i = 0; i < 12; ++i) {
    {
      const Model model = load();
      for (int call = 0; call < 3; ++call) expect_keras(model.predict(x));
    }
    if (i == 1) before = free_memory();
  }
  EXPECT_GE(free_memory() + kSlack, before);
}

TEST(SessionTest, WorkRunsAfterWhatTheCallersStreamHolds) {
  const Model model = load();
  const CallersStream streams[2];
  const Tensor sources[2] = {rows_of(truth().x, 4, 2).to(device()), rows_of(truth().x, 4, 5).to(device())};
  for (int i = 0; i < 6; ++i) {
    // A slow caller: the input is only valid when the caller's stream has waited and copied it.
    const auto which = static_cast<std::size_t>(i % 2);
    Tensor x = poisoned(4, kInputs);
    Tensor y = poisoned(4, kOutputs);
    const auto wait = [](void*) { std::this_thread::sleep_for(std::chrono::milliseconds(10)); };
    ASSERT_EQ(cudaLaunchHostFunc(streams[which], wait, nullptr), cudaSuccess);
    ASSERT_EQ(cudaMemcpyAsync(x.data(), sources[which].data(), x.bytes(), cudaMemcpyDeviceToDevice, streams[which]), cudaSuccess);
    model.predict_into(x, y, streams[which]);
    streams[which].synchronize();
    expect_keras(y, which == 0 ? 2 : 5);
  }
}

TEST(SessionTest, WorkOnACallersStreamPrecedesLaterWorkThere) {
  const Model model = load();
  const CallersStream stream;
  const Tensor x = rows_of(truth().x, 64).to(device());
  for (int i = 0; i < 4; ++i) {
    Tensor y = poisoned(64, kOutputs);
    Tensor copy = poisoned(64, kOutputs);
    model.predict_into(x, y, stream);
    ASSERT_EQ(cudaMemcpyAsync(copy.data(), y.data(), y.bytes(), cudaMemcpyDeviceToDevice, stream), cudaSuccess);
    stream.synchronize();
    expect_keras(copy);
  }
}

TEST(SessionTest, TwoStreamsAtOnceDoNotDisturbEachOther) {
  const Model model = load();
  const CallersStream streams[2];
  const Tensor xs[2] = {rows_of(truth().x, 33).to(device()), rows_of(truth().x, 33, 4).to(device())};
  Tensor ys[2] = {poisoned(33, kOutputs), poisoned(33, kOutputs)};
  for (int i = 0; i < 20; ++i) {
    for (std::size_t k = 0; k < 2; ++k) model.predict_into(xs[k], ys[k], streams[k]);
  }
  for (const CallersStream& stream : streams) stream.synchronize();
  expect_keras(ys[0]);
  expect_keras(ys[1], 4);
}

TEST(SessionTest, AModelMayBeDestroyedWhileItsWorkRuns) {
  const Tensor x = rows_of(truth().x, 4).to(device());
  Tensor on_stream = poisoned(4, kOutputs);
  Tensor on_default = poisoned(4, kOutputs);
  const CallersStream stream;
  load().predict_into(x, on_stream, stream);
  load().predict_into(x, on_default, nullptr);  // CUDA's default stream
  stream.synchronize();
  ASSERT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess);
  expect_keras(on_stream);
  expect_keras(on_default);
}

TEST(SessionTest, ByNameWorkIsEnqueuedToo) {
  const Model model = load();
  const Tensor x = rows_of(truth().x, 4).to(device());
  Tensor y = poisoned(4, kOutputs);
  const CallersStream stream;
  model.predict_into({{model.input_names()[0], x}}, {{model.output_names()[0], y}}, stream);
  stream.synchronize();
  expect_keras(y);
}

TEST(SessionTest, ManyRowsRunInChunksOnTwoSessions) {
  const Model model = load({.max_batch = 8});
  for (int i = 0; i < 3; ++i) expect_keras(model.predict(rows_of(truth().x, 127)));
}

TEST(SessionTest, AnotherActivationIsAnotherProgramOnTheSameWeights) {
  Model model = load();
  const Tensor x = rows_of(truth().x, 5);
  for (int i = 0; i < 3; ++i) static_cast<void>(model.predict(x));
  const Model copy = model;
  const std::string last = model.layers().back().path;
  model.set_activation(last, "linear");
  const Tensor logits = model.predict(x);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(values_of(model.predict(x)), values_of(logits));
    expect_keras(copy.predict(x));
  }
  // Softmax in double gives what Keras gave.
  Tensor y({5, kOutputs});
  const auto z = values_of(logits);
  const auto to = y.span<float>();
  for (std::size_t row = 0; row < z.size(); row += kOutputs) {
    double sum = 0;
    for (std::size_t k = 0; k < kOutputs; ++k) sum += std::exp(static_cast<double>(z[row + k]));
    for (std::size_t k = 0; k < kOutputs; ++k) to[row + k] = static_cast<float>(std::exp(static_cast<double>(z[row + k])) / sum);
  }
  expect_keras(y);
}

TEST(SessionTest, AMemoryLimitIsKept) {
  const Tensor x = rows_of(truth().x, 6);
  try {
    static_cast<void>(load({.memory_limit = 1000}).predict(x));
    FAIL() << "1000 bytes were enough";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
    EXPECT_THAT(error.what(), HasSubstr("memory_limit"));
  }
  expect_keras(load({.memory_limit = std::size_t{256} << 20U}).predict(x));
}

TEST(SessionTest, EightThreadsAndTwoModelsShareADevice) {
  const Model models[2] = {load(), load({.graphs = false})};
  const Tensor x = rows_of(truth().x, 7);
  const auto wanted = values_of(models[0].predict(x));
  expect_keras(models[0].predict(x));
  std::atomic<int> wrong{0};
  {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        for (std::size_t i = 0; i < 10; ++i) wrong += values_of(models[(t + i) % 2].predict(x)) != wanted ? 1 : 0;
      });
    }
  }
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace lamella::test
