// SPDX-License-Identifier: Apache-2.0
#include "mlp.hpp"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace peer {
namespace {

constexpr std::size_t kWorkspace = std::size_t{32} << 20U;

void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
}

void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) throw std::runtime_error(std::string(what) + ": " + cublasLtGetStatusString(status));
}

cudaDataType data_type(Type type) {
  return type == Type::float32 ? CUDA_R_32F : type == Type::bfloat16 ? CUDA_R_16BF : CUDA_R_16F;
}

std::size_t size_of(Type type) { return type == Type::float32 ? 4 : 2; }

Memory allocate(std::size_t bytes) {
  void* memory = nullptr;
  check(cudaMalloc(&memory, std::max<std::size_t>(bytes, 16)), "cudaMalloc");
  return Memory(memory);
}

template <typename T>
std::vector<T> converted(const float* values, std::size_t count) {
  std::vector<T> result(count);
  for (std::size_t i = 0; i < count; ++i) result[i] = static_cast<T>(values[i]);
  return result;
}

template <typename T>
std::vector<float> fetched(const void* memory, std::size_t count, cudaStream_t stream) {
  std::vector<T> host(count);
  check(cudaMemcpyAsync(host.data(), memory, count * sizeof(T), cudaMemcpyDeviceToHost, stream), "cudaMemcpyAsync");
  check(cudaStreamSynchronize(stream), "a call");
  std::vector<float> result(count);
  for (std::size_t i = 0; i < count; ++i) result[i] = static_cast<float>(host[i]);
  return result;
}

Owned<cudaEvent_t> make_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreate(&event), "cudaEventCreate");
  return Owned<cudaEvent_t>(event);
}

Owned<cublasLtMatrixLayout_t> make_layout(Type type, std::int64_t rows, std::int64_t columns) {
  cublasLtMatrixLayout_t layout = nullptr;
  check(cublasLtMatrixLayoutCreate(&layout, data_type(type), static_cast<std::uint64_t>(rows),
                                   static_cast<std::uint64_t>(columns), rows),
        "cublasLtMatrixLayoutCreate");
  return Owned<cublasLtMatrixLayout_t>(layout);
}

}  // namespace

Mlp::Mlp(const std::vector<float>& weights, const Settings& settings) : settings_(settings) {
  const auto width = static_cast<std::size_t>(settings.width);
  if (weights.size() != static_cast<std::size_t>(settings.depth) * (width * width + width)) {
    throw std::runtime_error("the weights are " + std::to_string(weights.size()) +
                             " values, which is not what the sizes ask for");
  }
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
  stream_.reset(stream);
  cublasLtHandle_t handle = nullptr;
  check(cublasLtCreate(&handle), "cublasLtCreate");
  handle_.reset(handle);
  workspace_ = allocate(kWorkspace);
  const float* at = weights.data();
  for (int i = 0; i < settings.depth; ++i, at += width * width + width) {
    kernels_.push_back(upload(at, width * width));
    biases_.push_back(upload(at + width * width, width));
  }
}

bool Mlp::fuses_activation() const {
  return settings_.activation == Activation::relu || settings_.activation == Activation::gelu_tanh;
}

std::string Mlp::fused() const {
  return settings_.activation == Activation::relu        ? "bias+relu"
         : settings_.activation == Activation::gelu_tanh ? "bias+gelu_tanh"
                                                         : "bias";
}

Memory Mlp::upload(const float* values, std::size_t count) const {
  Memory memory = allocate(count * size_of(settings_.type));
  const auto copy = [&](const auto& host) {
    check(cudaMemcpyAsync(memory.get(), host.data(), count * size_of(settings_.type), cudaMemcpyHostToDevice, stream_.get()),
          "cudaMemcpyAsync");
    check(cudaStreamSynchronize(stream_.get()), "a copy");
  };
  if (settings_.type == Type::float32) copy(converted<float>(values, count));
  if (settings_.type == Type::bfloat16) copy(converted<__nv_bfloat16>(values, count));
  if (settings_.type == Type::float16) copy(converted<__half>(values, count));
  return memory;
}

/// cuBLASLt counts by columns, so it sees everything transposed: [units, batch] = [units, inputs] x [inputs, batch], and the bias
/// is one value a row, as its epilogue wants it.
void Mlp::describe(std::int64_t batch) {
  const bool tf32 = settings_.type == Type::float32 && settings_.tf32;
  cublasLtMatmulDesc_t matmul = nullptr;
  check(cublasLtMatmulDescCreate(&matmul, tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F),
        "cublasLtMatmulDescCreate");
  matmul_.reset(matmul);
  const cublasLtEpilogue_t epilogue = settings_.activation == Activation::relu        ? CUBLASLT_EPILOGUE_RELU_BIAS
                                      : settings_.activation == Activation::gelu_tanh ? CUBLASLT_EPILOGUE_GELU_BIAS
                                                                                      : CUBLASLT_EPILOGUE_BIAS;
  check(cublasLtMatmulDescSetAttribute(matmul, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue), "the epilogue");
  kernel_layout_ = make_layout(settings_.type, settings_.width, settings_.width);
  rows_layout_ = make_layout(settings_.type, settings_.width, batch);
  batch_ = batch;
}

void Mlp::product(int layer, const cublasLtMatmulAlgo_t& algorithm) {
  const auto at = static_cast<std::size_t>(layer);
  const void* bias = biases_[at].get();
  check(cublasLtMatmulDescSetAttribute(matmul_.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias), "the bias");
  const void* from = layer == 0 ? x_.get() : buffers_[(layer - 1) % 2].get();
  void* to = buffers_[layer % 2].get();
  const float one = 1;
  const float zero = 0;
  check(cublasLtMatmul(handle_.get(), matmul_.get(), &one, kernels_[at].get(), kernel_layout_.get(), from, rows_layout_.get(),
                       &zero, to, rows_layout_.get(), to, rows_layout_.get(), &algorithm, workspace_.get(), kWorkspace,
                       stream_.get()),
        "cublasLtMatmul");
}

void Mlp::choose_algorithm() {
  cublasLtMatmulPreference_t made = nullptr;
  check(cublasLtMatmulPreferenceCreate(&made), "cublasLtMatmulPreferenceCreate");
  const Owned<cublasLtMatmulPreference_t> preference(made);
  check(cublasLtMatmulPreferenceSetAttribute(made, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &kWorkspace, sizeof kWorkspace),
        "the workspace");
  std::array<cublasLtMatmulHeuristicResult_t, 8> offered{};
  int count = 0;
  check(cublasLtMatmulAlgoGetHeuristic(handle_.get(), matmul_.get(), kernel_layout_.get(), rows_layout_.get(), rows_layout_.get(),
                                       rows_layout_.get(), made, static_cast<int>(offered.size()), offered.data(), &count),
        "cublasLtMatmulAlgoGetHeuristic");
  if (count == 0) throw std::runtime_error("cuBLASLt offers no algorithm for this product");
  const Owned<cudaEvent_t> begin = make_event();
  const Owned<cudaEvent_t> end = make_event();
  constexpr int kCalls = 20;
  float least = 0;
  for (int i = 0; i < count; ++i) {
    const cublasLtMatmulAlgo_t& algorithm = offered[static_cast<std::size_t>(i)].algo;
    product(0, algorithm);  // warm
    check(cudaEventRecord(begin.get(), stream_.get()), "cudaEventRecord");
    for (int call = 0; call < kCalls; ++call) product(0, algorithm);
    check(cudaEventRecord(end.get(), stream_.get()), "cudaEventRecord");
    check(cudaEventSynchronize(end.get()), "an algorithm of cuBLASLt");
    float ms = 0;
    check(cudaEventElapsedTime(&ms, begin.get(), end.get()), "cudaEventElapsedTime");
    if (i == 0 || ms < least) algorithm_ = algorithm;
    least = i == 0 ? ms : std::min(least, ms);
  }
}

void Mlp::enqueue() {
  const auto count = static_cast<std::size_t>(batch_ * settings_.width);
  for (int layer = 0; layer < settings_.depth; ++layer) {
    product(layer, algorithm_);
    if (fuses_activation()) continue;
    check(plain_activation(buffers_[layer % 2].get(), count, settings_.activation, settings_.type, stream_.get()),
          "the activation");
  }
}

void Mlp::capture() {
  check(cudaStreamBeginCapture(stream_.get(), cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  enqueue();
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(stream_.get(), &graph), "cudaStreamEndCapture");
  cudaGraphExec_t exec = nullptr;
  const cudaError_t made = cudaGraphInstantiate(&exec, graph, 0);
  cudaGraphDestroy(graph);
  check(made, "cudaGraphInstantiate");
  graph_.reset(exec);
}

void Mlp::prepare(const std::vector<float>& x) {
  const auto width = static_cast<std::size_t>(settings_.width);
  if (x.empty() || x.size() % width != 0) throw std::runtime_error("the input is not a whole number of rows");
  check(cudaStreamSynchronize(stream_.get()), "the last call");
  graph_.reset();
  x_ = upload(x.data(), x.size());
  for (Memory& buffer : buffers_) buffer = allocate(x.size() * size_of(settings_.type));
  describe(static_cast<std::int64_t>(x.size() / width));
  choose_algorithm();
  if (settings_.graph) capture();
}

void Mlp::run() {
  if (graph_) {
    check(cudaGraphLaunch(graph_.get(), stream_.get()), "cudaGraphLaunch");
  } else {
    enqueue();
  }
}

std::vector<float> Mlp::answer() {
  run();
  const void* y = buffers_[(settings_.depth - 1) % 2].get();
  const auto count = static_cast<std::size_t>(batch_ * settings_.width);
  if (settings_.type == Type::bfloat16) return fetched<__nv_bfloat16>(y, count, stream_.get());
  if (settings_.type == Type::float16) return fetched<__half>(y, count, stream_.get());
  return fetched<float>(y, count, stream_.get());
}

Times Mlp::time(int samples, int calls) {
  const Owned<cudaEvent_t> begin = make_event();
  const Owned<cudaEvent_t> end = make_event();
  std::vector<double> times;
  for (int i = 0; i < samples + 3; ++i) {
    check(cudaEventRecord(begin.get(), stream_.get()), "cudaEventRecord");
    for (int call = 0; call < calls; ++call) run();
    check(cudaEventRecord(end.get(), stream_.get()), "cudaEventRecord");
    check(cudaEventSynchronize(end.get()), "a call");
    float ms = 0;
    check(cudaEventElapsedTime(&ms, begin.get(), end.get()), "cudaEventElapsedTime");
    if (i >= 3) times.push_back(static_cast<double>(ms) * 1e3 / calls);  // the first are for warming up
  }
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times.front()};
}

}  // namespace peer
