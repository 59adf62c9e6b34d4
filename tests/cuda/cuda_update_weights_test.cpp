// SPDX-License-Identifier: Apache-2.0
// update_weights() on a device: nothing is captured again, and work on streams sees either the old weights or the new ones.
#include <cuda_runtime_api.h>

#include <map>
#include <string>
#include <vector>

#include "cuda/cuda_support.hpp"
#include "effort.hpp"

namespace lamella::test {
namespace {

constexpr unsigned kSeeds = kOneCaseOf == 1 ? 20 : 2;

Options updatable() {
  Options options = on_cuda();
  options.updatable = true;
  return options;
}

/// Every weight, doubled.
std::map<std::string, Tensor> doubled(const Model& model) {
  std::map<std::string, Tensor> result;
  for (const LayerInfo& layer : model.layers()) {
    for (const auto& [name, value] : layer.weights) {
      Tensor other = Tensor::copy_of(value);
      for (float& v : other.span<float>()) v *= 2.0F;
      result.emplace(layer.path + "/" + name, std::move(other));
    }
  }
  return result;
}

std::map<std::string, TensorView> views_of(const std::map<std::string, Tensor>& values) { return {values.begin(), values.end()}; }

class CudaUpdateWeightsTest : public CudaTest {};

TEST_F(CudaUpdateWeightsTest, ReplaysExistingGraphs) {
  Model model = model_of(small_spec(), updatable());
  const Tensor x = random_rows(20, 7);
  for (int i = 0; i < 3; ++i) static_cast<void>(model.predict(x));
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

}  // namespace
}  // namespace lamella::test
