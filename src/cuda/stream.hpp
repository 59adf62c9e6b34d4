// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include "core/backend.hpp"
#include "cuda/context.hpp"
#include "cuda/device.hpp"

namespace lamella::cuda {

/// See core::Stream. Owns a non-blocking stream and borrows the library handles that its work needs; each is taken on first use,
/// which must not be during a capture.
class CudaStream final : public core::Stream {
 public:
  explicit CudaStream(CudaDevice& device);
  ~CudaStream() override;
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;

  [[nodiscard]] void* native() const noexcept override { return current_; }
  [[nodiscard]] std::uint64_t id() const noexcept override { return id_; }
  [[nodiscard]] bool is_idle() noexcept override;
  void switch_to(void* native) override;
  void follow(core::Stream& other) override;
  void begin_work() override;
  void end_work() override;
  void abandon_work() noexcept override;
  void begin_range(const char* name) override;
  void end_range() override;
  void synchronize() override;
  void copy(void* dst, const void* src, std::size_t bytes) override;
  [[nodiscard]] std::unique_ptr<core::Graph> capture(const std::function<void()>& work, core::NotCaptured& why_not) override;
  void launch(core::Graph& graph) override;
  void join_capture(void* native, std::shared_ptr<const void> what) override;

  [[nodiscard]] CudaDevice& device() const noexcept { return device_; }
  [[nodiscard]] cublasLtHandle_t cublaslt();
  /// Bound to this stream's current handle. Never null in builds with cuDNN; throws DeviceError (device) in others.
  [[nodiscard]] CudnnHandle& cudnn();
  /// Throws DeviceError (device_lost) when the device is. For failures of libraries, which do not give the reason: their CUDA
  /// runtime is separate, and ours does not know of their errors until queried.
  void expect_alive_after(const char* call) const;

 private:
  void mark();
  void wait_for_current() noexcept;

  CudaDevice& device_;
  std::optional<DeviceGuard> working_;  ///< between begin_work() and its end
  cudaStream_t own_ = nullptr;
  cudaStream_t current_ = nullptr;
  unsigned long long id_ = 0;    ///< of current_, if that is not own_: the handle alone may be reused by another stream
  bool joined_ = false;          ///< current_ is being captured, or was
  bool capturing_ = false;       ///< own_ is being captured
  cudaEvent_t event_ = nullptr;  ///< recorded after the last work on a caller's stream; orders one stream after another
  std::shared_ptr<cublasLtContext> cublaslt_;
  std::shared_ptr<CudnnHandle> cudnn_;
};

/// The CUDA stream that a plan's Args name.
[[nodiscard]] inline CudaStream& stream_of(core::Stream* stream) { return static_cast<CudaStream&>(*stream); }

/// The id of a caller's stream on this device: unlike the handle, never reused within the process.
[[nodiscard]] unsigned long long id_of(cudaStream_t stream, int device);

/// Throws DeviceError naming the call, or Error (out_of_memory).
void check(cublasStatus_t status, int device, const char* call);

}  // namespace lamella::cuda
