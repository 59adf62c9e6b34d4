// SPDX-License-Identifier: Apache-2.0
// Layers that begin before the one before them has ended: where that is allowed, and that it is only done there.
#include <cuda_runtime_api.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cuda/cuda_support.hpp"
#include "kernels/kernels.hpp"
#include "tests/ptx/registry.hpp"

namespace lamella::test {
namespace {

using kernels::Overlap;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

bool can_overlap() {
  int architecture = 0;
  EXPECT_EQ(kernels::has_image(architecture), cudaSuccess);
  return architecture >= kernels::kOverlapArchitecture;
}

/// Kernels of a layer of 8 inputs and units, launched one after another; the weights are the identity times 2.
class OverlapKernelTest : public testing::Test {
 protected:
  OverlapKernelTest() {
    fake_cuda::reset();
    std::vector<float> twice(64, 0.0F);
    for (std::size_t i = 0; i < 8; ++i) twice[9 * i] = 2.0F;
    weights = device(64);
    EXPECT_EQ(cudaMemcpy(weights, twice.data(), 64 * sizeof(float), cudaMemcpyHostToDevice), cudaSuccess);
    for (float*& value : values) value = device(8);
    const std::vector<float> ones(8, 1.0F);
    EXPECT_EQ(cudaMemcpy(values[0], ones.data(), 8 * sizeof(float), cudaMemcpyHostToDevice), cudaSuccess);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    EXPECT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  }
  ~OverlapKernelTest() override {
    ptx::registry::edit(nullptr);
    fake_cuda::reset();
  }
  void SetUp() override {
    if (!can_overlap()) GTEST_SKIP() << "their code cannot";
  }

  static float* device(std::size_t elements) {
    void* made = nullptr;
    EXPECT_EQ(cudaMalloc(&made, elements * sizeof(float)), cudaSuccess);
    return static_cast<float*>(made);
  }
  void layer(std::size_t number, Overlap overlap) {
    const kernels::Dense args{.activation = {},
                              .src = values[number],
                              .kernel = weights,
                              .dst = values[number + 1],
                              .batch = 1,
                              .inputs = 8,
                              .units = 8,
                              .overlap = overlap};
    EXPECT_EQ(kernels::small_batch(args, 8, stream), cudaSuccess);
  }
  void layers() {
    layer(0, Overlap::inside);
    for (std::size_t n = 1; n < 3; ++n) layer(n, Overlap::all);
  }
  std::vector<float> result() {
    std::vector<float> host(8);
    EXPECT_EQ(cudaMemcpyAsync(host.data(), values[3], 8 * sizeof(float), cudaMemcpyDeviceToHost, stream), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    return host;
  }

  float* weights = nullptr;
  float* values[4] = {};
  cudaStream_t stream = nullptr;
};

TEST_F(OverlapKernelTest, LayersBeginEarlyAndAreRight) {
  layers();
  EXPECT_THAT(result(), testing::Each(8.0F));
  EXPECT_THAT(fake_cuda::misuses(), IsEmpty());
}

TEST_F(OverlapKernelTest, WhatReadsResultsBeforeItWaitsIsFound) {
  ptx::registry::edit_statements("griddepcontrol.wait", [](const std::string&) { return ""; });
  layers();
  EXPECT_THAT(fake_cuda::misuses(), testing::AllOf(Contains(HasSubstr("too early")), Contains(HasSubstr("race on allocation"))));
}

TEST_F(OverlapKernelTest, WhatIsBeforeHasToLetItBegin) {
  layer(0, Overlap::all);
  EXPECT_THAT(fake_cuda::take_misuses(), ElementsAre(HasSubstr("launched to overlap what is before it")));
  layer(0, Overlap::inside);
  EXPECT_EQ(cudaMemsetAsync(weights, 0, 64 * sizeof(float), stream), cudaSuccess);  // new weights
  layer(1, Overlap::all);
  EXPECT_THAT(fake_cuda::take_misuses(), ElementsAre(HasSubstr("launched to overlap what is before it")));
  ASSERT_EQ(kernels::elementwise({ActivationKind::Tanh}, DType::float32, values[1], values[1], 8, stream), cudaSuccess);
  layer(1, Overlap::all);
  EXPECT_THAT(fake_cuda::take_misuses(), ElementsAre(HasSubstr("launched to overlap what is before it")));
  ptx::registry::edit_statements("griddepcontrol.launch_dependents", [](const std::string&) { return ""; });
  layer(0, Overlap::inside);
  layer(1, Overlap::all);
  EXPECT_THAT(fake_cuda::take_misuses(), ElementsAre(HasSubstr("launched to overlap what is before it")));
}

TEST_F(OverlapKernelTest, ACapturedGraphKeepsItAndChecksIt) {
  layers();
  EXPECT_THAT(result(), testing::Each(8.0F));
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  layers();
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
  for (int replay = 0; replay < 2; ++replay) {
    ASSERT_EQ(cudaMemsetAsync(values[3], 0, 8 * sizeof(float), stream), cudaSuccess);
    ASSERT_EQ(cudaGraphLaunch(executable, stream), cudaSuccess);
    ASSERT_EQ(cudaGraphLaunch(executable, stream), cudaSuccess);
    EXPECT_THAT(result(), testing::Each(8.0F));
  }
  EXPECT_THAT(fake_cuda::take_misuses(), IsEmpty());
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  layer(0, Overlap::all);
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  EXPECT_THAT(fake_cuda::take_misuses(), ElementsAre(HasSubstr("launched to overlap what is before it")));
}

class CudaOverlapTest : public CudaTest {};

std::shared_ptr<const core::ModelSpec> wide(const std::vector<std::int64_t>& widths, const char* activation = "gelu") {
  SpecBuilder builder(3);
  auto x = builder.input({widths[0]});
  for (std::size_t n = 1; n < widths.size(); ++n) x = builder.dense(x, widths[n - 1], widths[n], activation_of(activation));
  return builder.build({x});
}

std::vector<bool> overlaps_of(const Model& model, std::int64_t batch = 1) {
  std::vector<bool> result;
  const auto explained = nlohmann::json::parse(model.explain({.batch = batch, .json = true}));
  for (const auto& step : explained.at("steps")) result.push_back(step.at("overlaps"));
  return result;
}

TEST_F(CudaOverlapTest, LayersOfFewRowsOverlapEachOther) {
  const bool can = can_overlap();
  const auto spec = wide({7, 300, 150, 200, 5});
  Options options = on_cuda();
  options.engine = "small_batch";
  const Model model = model_of(spec, options);
  EXPECT_THAT(overlaps_of(model), ElementsAre(false, can, can, can));
  EXPECT_EQ(model.explain({.batch = 1}).find("overlaps the step before") != std::string::npos, can);
  options.engine = "tiled";
  const Model one_by_one = model_of(spec, options);
  EXPECT_THAT(overlaps_of(one_by_one), ElementsAre(false, false, false, false));
  for (const std::int64_t rows : {1, 8}) {
    const Tensor x = random_rows(rows, 7);
    const auto wanted = values_of(one_by_one.predict(x));
    for (int i = 0; i < 3; ++i) {  // the third call is a replay
      const auto found = values_of(model.predict(x));
      for (std::size_t k = 0; k < wanted.size(); ++k)
        ASSERT_NEAR(found[k], wanted[k], 1e-5 * std::max(1.0F, std::fabs(wanted[k]))) << k;
    }
  }
}

TEST_F(CudaOverlapTest, TensorCoresDoSoToo) {
  const bool can = can_overlap();
  const auto spec = wide({70, 300, 150, 200});
  Options options = on_cuda();
  options.dtype = DType::bfloat16;
  for (const char* engine : {"small_batch", "mma_gemm"}) {
    options.engine = engine;
    const Model model = model_of(spec, options);
    EXPECT_THAT(overlaps_of(model), ElementsAre(false, false, can, can));  // the first converts the input
    const Tensor x = random_rows(5, 70);
    const auto first = values_of(model.predict(x).to(DType::float32));
    for (int i = 0; i < 3; ++i) EXPECT_EQ(values_of(model.predict(x).to(DType::float32)), first);
  }
}

/// A softmax between layers neither waits nor lets the next one begin.
TEST_F(CudaOverlapTest, StepsOfAnotherKindEndTheChain) {
  SpecBuilder builder(3);
  auto x = builder.dense(builder.input({7}), 7, 300);
  x = builder.activation(x, activation_of("softmax"));
  x = builder.dense(builder.dense(x, 300, 200), 200, 150);
  Options options = on_cuda();
  options.engine = "small_batch";
  const Model model = model_of(builder.build({x}), options);
  EXPECT_THAT(overlaps_of(model), ElementsAre(false, false, false, can_overlap()));
  static_cast<void>(model.predict(random_rows(2, 7)));
}

TEST_F(CudaOverlapTest, OlderDevicesAndDriversLaunchOneAfterAnother) {
  for (const fake_cuda::Options& options : {fake_cuda::Options{.compute_capability = 89}, {.driver_version = 12020}}) {
    restart_cuda(options);
    Options of_model = on_cuda();
    of_model.engine = "small_batch";
    const Model model = model_of(wide({7, 300, 150}), of_model);
    EXPECT_THAT(overlaps_of(model), ElementsAre(false, false));
    static_cast<void>(model.predict(random_rows(2, 7)));
    EXPECT_THAT(fake_cuda::misuses(), IsEmpty());
  }
}

/// An update writes the weights that the layers read early, on the caller's stream and in front of them.
TEST_F(CudaOverlapTest, UpdatesAreSeenByAllLayers) {
  const auto spec = wide({7, 300, 150, 200, 5});
  Options options = on_cuda();
  options.engine = "small_batch";
  options.updatable = true;
  for (unsigned seed = 0; seed < 5; ++seed) {
    restart_cuda({.seed = seed});
    Model model = model_of(spec, options);
    std::map<std::string, Tensor> other;
    for (const LayerInfo& layer : model.layers()) {
      for (const auto& [name, value] : layer.weights) {
        Tensor changed = Tensor::copy_of(value);
        for (float& v : changed.span<float>()) v *= 0.5F;
        other.emplace(layer.path + "/" + name, std::move(changed));
      }
    }
    const std::map<std::string, TensorView> views(other.begin(), other.end());
    const Tensor on_host = random_rows(1, 7);
    const auto before = values_of(model.predict(on_host));
    const auto after = values_of(model.with_weights(views).predict(on_host));
    ASSERT_NE(before, after);
    const Tensor x = on_host.to(Device::cuda(0));
    std::vector<Tensor> results;
    for (int i = 0; i < 5; ++i) results.emplace_back(Shape{1, 5}, DType::float32, Device::cuda(0));
    cudaStream_t stream = nullptr;
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    model.predict_into(x, results[0], stream);
    model.update_weights(views, stream);
    for (std::size_t i = 1; i < results.size(); ++i) model.predict_into(x, results[i == 4 ? 3 : i], stream);
    ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    ASSERT_EQ(cudaStreamDestroy(stream), cudaSuccess);
    EXPECT_EQ(values_of(results[0].to(Device::cpu())), before);
    for (std::size_t i = 1; i < 4; ++i) EXPECT_EQ(values_of(results[i].to(Device::cpu())), after) << seed;
    EXPECT_THAT(fake_cuda::misuses(), IsEmpty());
  }
}

}  // namespace
}  // namespace lamella::test
