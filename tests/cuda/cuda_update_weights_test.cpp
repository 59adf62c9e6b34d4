// SPDX-License-Identifier: Apache-2.0
// update_weights() on a device: nothing is captured again, and work on streams sees either the old weights or the new ones.
#include <cuda_runtime_api.h>

#include <map>
#include <string>
#include <vector>

#include "cuda/cuda_support.hpp"
#include "effort.hpp"
#include "sessions/callers_stream.hpp"

namespace lamella::test {
namespace {

constexpr unsigned kSeeds = kOneCaseOf == 1 ? 20 : 2;

Options updatable() {
  Options options = on_cuda();
  options.updatable = true;
  return options;
}

/// Every weight, multiplied.
std::map<std::string, Tensor> times(const Model& model, float factor) {
  std::map<std::string, Tensor> result;
  for (const LayerInfo& layer : model.layers()) {
    for (const auto& [name, value] : layer.weights) {
      Tensor other = Tensor::copy_of(value);
      for (float& v : other.span<float>()) v *= factor;
      result.emplace(layer.path + "/" + name, std::move(other));
    }
  }
  return result;
}

std::map<std::string, Tensor> doubled(const Model& model) { return times(model, 2.0F); }

std::map<std::string, TensorView> views_of(const std::map<std::string, Tensor>& values) { return {values.begin(), values.end()}; }

class CudaUpdateWeightsTest : public CudaTest {};

TEST_F(CudaUpdateWeightsTest, ReplaysExistingGraphs) {
  Model model = model_of(small_spec(), updatable());
  const Tensor x = random_rows(20, 7);
  for (int i = 0; i < 3; ++i) static_cast<void>(model.predict(x));
  model.update_weights({});  // makes the stream on which weights are written
  const auto other = doubled(model);
  const auto wanted = values_of(model_of(small_spec(), on_cuda()).with_weights(views_of(other)).predict(x));
  const auto live = fake_cuda::live();
  fake_cuda::clear_call_log();
  model.update_weights(views_of(other));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(values_of(model.predict(x)), wanted);
  EXPECT_EQ(fake_cuda::count_calls("cudaStreamBeginCapture"), 0U);
  EXPECT_EQ(fake_cuda::count_calls("cudaGraphLaunch"), 3U);
  EXPECT_EQ(fake_cuda::count_calls("cudaMallocFromPoolAsync"), 0U);
  EXPECT_EQ(fake_cuda::live(), live);
}

TEST_F(CudaUpdateWeightsTest, SplitsFloat32Anew) {
  SpecBuilder builder(4);
  const auto spec = builder.build({builder.dense(builder.input({70}), 70, 9, activation_of("silu"))});
  Options options = updatable();
  options.math = Math::bf16x6;
  options.engine = "mma_gemm_float32";
  Model model = model_of(spec, options);
  const Tensor x = random_rows(20, 70);
  const auto before = values_of(model.predict(x));
  const auto other = times(model, 0.3F);
  const auto wanted = values_of(model_of(spec, options).with_weights(views_of(other)).predict(x));
  ASSERT_NE(wanted, before);
  model.update_weights(views_of(other));
  EXPECT_EQ(values_of(model.predict(x)), wanted);
}

TEST_F(CudaUpdateWeightsTest, WaitsForEnqueuedWorkAndIsSeenByLaterWork) {
  for (unsigned seed = 0; seed < kSeeds; ++seed) {
    restart_cuda({.seed = seed});
    Model model = model_of(small_spec(), updatable());
    const auto other = doubled(model);
    const Tensor x = random_rows(4, 7).to(Device::cuda(0));
    const auto before = values_of(model.predict(x.to(Device::cpu())));
    const auto after = values_of(model.with_weights(views_of(other)).predict(x.to(Device::cpu())));
    ASSERT_NE(before, after);
    cudaStream_t streams[2] = {};
    for (cudaStream_t& stream : streams) ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    std::vector<Tensor> old_results;
    std::vector<Tensor> new_results;
    for (int i = 0; i < 2; ++i) {
      old_results.emplace_back(Shape{4, 5}, DType::float32, Device::cuda(0));
      new_results.emplace_back(Shape{4, 5}, DType::float32, Device::cuda(0));
    }
    for (std::size_t i = 0; i < 2; ++i) model.predict_into(x, old_results[i], streams[i]);
    model.update_weights(views_of(other));
    for (std::size_t i = 0; i < 2; ++i) model.predict_into(x, new_results[i], streams[1 - i]);
    for (const cudaStream_t stream : streams) {
      ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
      ASSERT_EQ(cudaStreamDestroy(stream), cudaSuccess);
    }
    for (const Tensor& y : old_results) EXPECT_EQ(values_of(y.to(Device::cpu())), before) << "seed " << seed;
    for (const Tensor& y : new_results) EXPECT_EQ(values_of(y.to(Device::cpu())), after) << "seed " << seed;
    ASSERT_THAT(fake_cuda::misuses(), testing::IsEmpty()) << "seed " << seed;
  }
}

TEST_F(CudaUpdateWeightsTest, ReachesTheCallersGraphsToo) {
  Model model = model_of(small_spec(), updatable());
  const auto other = doubled(model);
  const Tensor x = random_rows(2, 7).to(Device::cuda(0));
  Tensor y({2, 5}, DType::float32, Device::cuda(0));
  const auto after = values_of(model.with_weights(views_of(other)).predict(x.to(Device::cpu())));
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  model.predict_into(x, y, stream);
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
  model.update_weights(views_of(other));
  ASSERT_EQ(cudaGraphLaunch(executable, stream), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(values_of(y.to(Device::cpu())), after);
  ASSERT_EQ(cudaGraphExecDestroy(executable), cudaSuccess);
  ASSERT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  ASSERT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

TEST_F(CudaUpdateWeightsTest, OnAStreamAllocatesOnceKeepsGraphsAndDoesNotWait) {
  bool waited = true;  // with one seed the double runs the call before by chance, with others it does not
  for (unsigned seed = 0; seed < 8; ++seed) {
    restart_cuda({.seed = seed});
    Model model = model_of(small_spec(), updatable());
    const auto other = doubled(model);
    const Tensor x = random_rows(4, 7).to(Device::cuda(0));
    Tensor y({4, 5}, DType::float32, Device::cuda(0));
    const CallersStream stream;
    for (int i = 0; i < 3; ++i) model.predict_into(x, y, stream);
    model.update_weights(views_of(other), stream);
    ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    const auto live = fake_cuda::live();
    const ModelStats stats = model.stats();
    model.predict_into(x, y, stream);
    fake_cuda::clear_call_log();
    const std::uint64_t executed = fake_cuda::executed();
    model.update_weights(views_of(other), stream);
    model.predict_into(x, y, stream);
    waited = waited && fake_cuda::executed() != executed;
    EXPECT_EQ(fake_cuda::count_calls("cudaStreamBeginCapture"), 0U);
    EXPECT_EQ(fake_cuda::count_calls("cudaGraphLaunch"), 1U);
    ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    EXPECT_EQ(fake_cuda::live(), live);
    EXPECT_EQ(model.stats().graphs, stats.graphs);
  }
  EXPECT_FALSE(waited);
}

/// Whether all weights are these, on the host and on the device.
void expect_weights(const Model& model, const std::map<std::string, Tensor>& values, const Tensor& x,
                    const std::vector<float>& answer, const std::string& what) {
  for (const LayerInfo& layer : model.layers()) {
    for (const auto& [name, value] : layer.weights)
      EXPECT_EQ(values_of(Tensor::copy_of(value)), values_of(values.at(layer.path + "/" + name))) << what << " " << name;
  }
  EXPECT_EQ(values_of(model.predict(x)), answer) << what;
}

TEST_F(CudaUpdateWeightsTest, WhenACallFailsEveryWeightIsAsBeforeOrTheDeviceFailed) {
  for (const bool from_device : {false, true}) {
    std::size_t refused = 0;
    for (std::uint64_t n = 1; n < 200; ++n) {
      restart_cuda({.seed = static_cast<unsigned>(n)});
      Model model = model_of(small_spec(), updatable());
      const auto plain = times(model, 1.0F);
      const auto other = doubled(model);
      std::map<std::string, Tensor> given;
      for (const auto& [name, value] : other) given.emplace(name, from_device ? value.to(Device::cuda(0)) : value.clone());
      const Tensor x = random_rows(4, 7);
      const auto before = values_of(model.predict(x));
      const CallersStream stream;
      fake_cuda::fail_nth(n, fake_cuda::Fault::once);
      bool failed = false;
      bool device_failed = false;
      try {
        model.update_weights(views_of(given), stream);
      } catch (const DeviceError&) {
        device_failed = true;
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::out_of_memory) << error.what();
        failed = true;
      }
      const bool struck = fake_cuda::fault_struck();
      fake_cuda::no_faults();
      refused += failed ? 1 : 0;
      const std::string what = "call " + std::to_string(n);
      if (failed) expect_weights(model, plain, x, before, what);
      if (!failed && !device_failed) {
        const auto after = values_of(model_of(small_spec(), on_cuda()).with_weights(views_of(other)).predict(x));
        expect_weights(model, other, x, after, what);
      }
      if (!struck) break;
      ASSERT_LT(n, 199U);
    }
    EXPECT_GE(refused, 1U) << "the pinned buffer can always be refused";
  }
}

}  // namespace
}  // namespace lamella::test
