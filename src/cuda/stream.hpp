// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include "core/backend.hpp"

namespace lamella::cuda {

class CudnnHandle;

/// See core::Stream. Owns a non-blocking stream and the library handles that work on it needs; each handle is made when it is
/// first asked for, which must not be while work is captured.
class CudaStream final : public core::Stream {
 public:
  explicit CudaStream(int device);
  ~CudaStream() override;
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;

  [[nodiscard]] void* native() const noexcept override { return current_; }
  void follow(void* native) override;
  void enqueue(const std::function<void()>& work) override;
  void begin_range(const char* name) override;
  void end_range() override;
  void synchronize() override;
  void copy(void* dst, const void* src, std::size_t bytes) override;
  [[nodiscard]] std::unique_ptr<core::Graph> capture(const std::function<void()>& work, std::string& why_not) override;
  void launch(core::Graph& graph) override;
  void join_capture(void* native, std::shared_ptr<const void> what) override;

  [[nodiscard]] int device() const noexcept { return device_; }
  [[nodiscard]] cublasLtHandle_t cublaslt();
  /// Bound to this stream's current handle. Never null in builds with cuDNN; throws DeviceError (device) in others.
  [[nodiscard]] CudnnHandle& cudnn();

 private:
  void mark();

  int device_;
  cudaStream_t own_ = nullptr;
  cudaStream_t current_ = nullptr;
  bool joined_ = false;          ///< current_ is being captured, or was
  cudaEvent_t event_ = nullptr;  ///< behind the last work on a handle of the caller's; orders one handle's work after another's
  cublasLtHandle_t cublaslt_ = nullptr;
  std::shared_ptr<CudnnHandle> cudnn_;
};

/// The CUDA stream that a plan's Args name.
[[nodiscard]] inline CudaStream& stream_of(core::Stream* stream) { return static_cast<CudaStream&>(*stream); }

/// Throws DeviceError naming the call, or Error (out_of_memory).
void check(cublasStatus_t status, int device, const char* call);

}  // namespace lamella::cuda
