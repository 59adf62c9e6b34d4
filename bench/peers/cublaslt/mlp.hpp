// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include "plain.hpp"

/// A stack of equal Dense layers, written by hand on cuBLASLt: a product with the library's epilogue, or with a plain kernel
/// after it where the library has none. A peer of lamella that uses nothing of it.
namespace peer {

struct Settings {
  std::int64_t width = 1;
  int depth = 1;
  Activation activation = Activation::relu;
  Type type = Type::float32;
  bool tf32 = false;   ///< float32 products may be rounded to TensorFloat-32
  bool graph = false;  ///< a call replays one CUDA graph
};

struct Times {
  double median_us = 0;
  double min_us = 0;
};

struct Destroy {
  void operator()(cublasLtHandle_t handle) const noexcept { cublasLtDestroy(handle); }
  void operator()(cublasLtMatmulDesc_t desc) const noexcept { cublasLtMatmulDescDestroy(desc); }
  void operator()(cublasLtMatrixLayout_t layout) const noexcept { cublasLtMatrixLayoutDestroy(layout); }
  void operator()(cublasLtMatmulPreference_t preference) const noexcept { cublasLtMatmulPreferenceDestroy(preference); }
  void operator()(cudaStream_t stream) const noexcept { cudaStreamDestroy(stream); }
  void operator()(cudaEvent_t event) const noexcept { cudaEventDestroy(event); }
  void operator()(cudaGraphExec_t graph) const noexcept { cudaGraphExecDestroy(graph); }
  void operator()(void* memory) const noexcept { cudaFree(memory); }
};
template <typename Handle>
using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, Destroy>;
using Memory = std::unique_ptr<void, Destroy>;

/// Throws std::runtime_error with what failed.
class Mlp {
 public:
  /// `weights`: for each layer the kernel [width, width], whose rows are inputs as in Keras, then the bias.
  Mlp(const std::vector<float>& weights, const Settings& settings);
  /// For inputs [batch, width]: copies them, tries the library's algorithms, keeps the fastest, and captures the graph.
  void prepare(const std::vector<float>& x);
  /// Enqueues one call.
  void run();
  /// The result of one call, which it waits for.
  [[nodiscard]] std::vector<float> answer();
  /// Between two events around `calls` calls, `samples` times.
  [[nodiscard]] Times time(int samples, int calls);
  /// The part that the library's epilogue computes: "bias+relu", "bias+gelu_tanh" or "bias".
  [[nodiscard]] std::string fused() const;

 private:
  [[nodiscard]] bool fuses_activation() const;
  [[nodiscard]] Memory upload(const float* values, std::size_t count) const;
  void describe(std::int64_t batch);
  void choose_algorithm();
  void product(int layer, const cublasLtMatmulAlgo_t& algorithm);
  void enqueue();
  void capture();

  Settings settings_;
  std::int64_t batch_ = 0;
  Owned<cudaStream_t> stream_;
  Owned<cublasLtHandle_t> handle_;
  std::vector<Memory> kernels_;
  std::vector<Memory> biases_;
  Memory workspace_;
  Memory x_;
  Memory buffers_[2];
  Owned<cublasLtMatmulDesc_t> matmul_;
  Owned<cublasLtMatrixLayout_t> kernel_layout_;
  Owned<cublasLtMatrixLayout_t> rows_layout_;
  cublasLtMatmulAlgo_t algorithm_{};
  Owned<cudaGraphExec_t> graph_;
};

}  // namespace peer
