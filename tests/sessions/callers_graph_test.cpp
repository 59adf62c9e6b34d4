// SPDX-License-Identifier: Apache-2.0
// Predictions in graphs that the caller captures.
#include <atomic>
#include <optional>
#include <thread>

#include "sessions/session_support.hpp"

namespace lamella::test {
namespace {

/// A caller's graph of the work that `work` enqueues on a stream.
class CallersGraph {
 public:
  template <typename F>
  CallersGraph(cudaStream_t stream, const F& work, cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal) {
    EXPECT_EQ(cudaStreamBeginCapture(stream, mode), cudaSuccess);
    work();
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    EXPECT_EQ(cudaGraphInstantiate(&exec_, graph, 0), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  }
  ~CallersGraph() { EXPECT_EQ(cudaGraphExecDestroy(exec_), cudaSuccess); }
  CallersGraph(const CallersGraph&) = delete;
  CallersGraph& operator=(const CallersGraph&) = delete;
  void launch(cudaStream_t stream) const { ASSERT_EQ(cudaGraphLaunch(exec_, stream), cudaSuccess); }

 private:
  cudaGraphExec_t exec_ = nullptr;
};

TEST(CallersGraphTest, ACallersGraphContainsAPredictionAndOutlivesTheModel) {
  for (const std::int64_t rows : {4, 19}) {  // as one batch, and in three parts
    const CallersStream stream;
    Tensor x = poisoned(rows, kInputs);
    Tensor y = poisoned(rows, kOutputs);
    Tensor copy = poisoned(rows, kOutputs);
    std::optional<Model> model = load({.max_batch = 8});
    const CallersGraph graph(stream, [&] {
      model->predict_into(x, y, stream);
      ASSERT_EQ(cudaMemcpyAsync(copy.data(), y.data(), y.bytes(), cudaMemcpyDeviceToDevice, stream), cudaSuccess);
    });
    for (const std::int64_t first : {0, 3, 5}) {
      const Tensor source = rows_of(truth().x, rows, first).to(device());
      ASSERT_EQ(cudaMemcpyAsync(x.data(), source.data(), x.bytes(), cudaMemcpyDeviceToDevice, stream), cudaSuccess);
      graph.launch(stream);
      // The graph has its own memory, which no other call uses.
      if (model) expect_keras(model->predict(rows_of(truth().x, rows)));
      stream.synchronize();
      expect_keras(copy, first);
      model.reset();
    }
  }
}

TEST(CallersGraphTest, ACallersCaptureSurvivesARefusedCall) {
  const Model model = load();
  const CallersStream stream;
  const Tensor x = rows_of(truth().x, 4).to(device());
  Tensor y = poisoned(4, kOutputs);
  Tensor wrong = poisoned(4, kOutputs + 1);
  const CallersGraph graph(stream, [&] {
    EXPECT_THROW(model.predict_into(x, wrong, stream), ArgumentError);
    model.predict_into(x, y, stream);
  });
  graph.launch(stream);
  stream.synchronize();
  expect_keras(y);
}

TEST(CallersGraphTest, CallersGraphsReturnTheirMemory) {
  const Model model = load();
  const std::int64_t planned[] = {64};  // some versions of cuBLAS cannot plan during a capture
  model.prepare(planned);
  const CallersStream stream;
  const Tensor x = rows_of(truth().x, 64).to(device());
  Tensor y = poisoned(64, kOutputs);
  std::size_t before = 0;
  for (int i = 0; i < 12; ++i) {
    {
      const CallersGraph graph(
          stream, [&] { model.predict_into(x, y, stream); }, cudaStreamCaptureModeRelaxed);
      graph.launch(stream);
      stream.synchronize();
    }
    expect_keras(y);
    if (i == 1) before = free_memory();
  }
  EXPECT_GE(free_memory() + kSlack, before);
}

/// A capture in global mode would make such calls fail, and they would end it.
TEST(CallersGraphTest, CapturingLeavesOtherThreadsAlone) {
  std::atomic<int> failed{0};
  std::atomic<int> calls{0};
  std::jthread other([&](const std::stop_token& stop) {  // stops when the test ends, however it ends
    while (!stop.stop_requested()) {
      void* memory = nullptr;
      failed += cudaMalloc(&memory, 4096) != cudaSuccess || cudaMemset(memory, 0, 4096) != cudaSuccess ||
                cudaStreamSynchronize(nullptr) != cudaSuccess || cudaFree(memory) != cudaSuccess;
      ++calls;
    }
  });
  const Model model = load();
  for (const std::int64_t rows : {1, 2, 3, 5, 9, 17, 33, 65, 129}) {
    for (int i = 0; i < 3; ++i) expect_keras(model.predict(rows_of(truth().x, rows)));
    EXPECT_THAT(model.explain({.batch = rows}), testing::HasSubstr("captured as a CUDA graph"));
  }
  while (calls == 0) std::this_thread::yield();
  other.request_stop();
  other.join();
  EXPECT_EQ(failed, 0);
}

}  // namespace
}  // namespace lamella::test
