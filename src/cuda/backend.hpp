// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/backend.hpp"
#include "cuda/device.hpp"
#include "cuda/graph_user_object.hpp"

namespace lamella::cuda {

/// Whether this thread is inside Backend::with_relaxed_capture().
[[nodiscard]] bool is_capture_relaxed() noexcept;

/// See core::Backend.
class CudaBackend final : public core::Backend {
 public:
  /// `devices`: the result of usable_devices().
  explicit CudaBackend(int devices);
  ~CudaBackend() override;

  [[nodiscard]] int device_count() const override { return static_cast<int>(devices_.size()); }
  [[nodiscard]] std::string why_unusable(int index) override;
  [[nodiscard]] std::string describe(int index) const override;
  [[nodiscard]] std::vector<std::string> libraries() const override;
  [[nodiscard]] std::shared_ptr<void> allocate(int index, std::size_t bytes) override {
    if (!is_capture_relaxed()) cuda::release_retired();
    return device(index).memory.allocate(bytes);
  }
  [[nodiscard]] std::shared_ptr<void> allocate_pinned(int index, std::size_t bytes) override {
    return device(index).memory.allocate_pinned(bytes);
  }
  void copy(int index, void* dst, const void* src, std::size_t bytes) override;
  void fill(int index, void* dst, int byte, std::size_t bytes) override;
  void expect_device_memory(int index, const void* data, const char* what) override;
  [[nodiscard]] std::unique_ptr<core::Stream> create_stream(int index) override;
  [[nodiscard]] std::uint64_t stream_id(int index, void* native) override;
  void release_retired() noexcept override { cuda::release_retired(); }
  [[nodiscard]] bool is_captured(int index, void* native) override;
  void with_relaxed_capture(const std::function<void()>& work) override;
  [[nodiscard]] ops::OpSet& ops() override { return *ops_; }

  /// Created on first use. Throws DeviceError if there is no such device, or it cannot be used.
  [[nodiscard]] CudaDevice& device(int index);

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<CudaDevice>> devices_;  ///< each created on first use
  std::unique_ptr<ops::OpSet> ops_;
};

}  // namespace lamella::cuda
