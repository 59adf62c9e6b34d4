// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/backend.hpp"
#include "cuda/kept.hpp"
#include "cuda/memory.hpp"

namespace lamella::cuda {

/// See core::Backend.
class CudaBackend final : public core::Backend {
 public:
  /// `devices` as usable_devices() found them.
  explicit CudaBackend(int devices);
  ~CudaBackend() override;

  [[nodiscard]] int device_count() const override { return static_cast<int>(devices_.size()); }
  [[nodiscard]] std::string describe(int index) const override;
  [[nodiscard]] std::vector<std::string> libraries() const override;
  [[nodiscard]] std::shared_ptr<void> allocate(int index, std::size_t bytes) override {
    let_go_of_kept();
    return memory(index).allocate(bytes);
  }
  [[nodiscard]] std::shared_ptr<void> allocate_pinned(int index, std::size_t bytes) override {
    return memory(index).allocate_pinned(bytes);
  }
  void copy(int index, void* dst, const void* src, std::size_t bytes) override;
  void fill(int index, void* dst, int byte, std::size_t bytes) override;
  void expect_device_memory(int index, const void* data, const char* what) override;
  [[nodiscard]] std::unique_ptr<core::Stream> create_stream(int index) override;
  [[nodiscard]] bool is_captured(int index, void* native) override;
  void beside_captures(const std::function<void()>& work) override;
  [[nodiscard]] ops::OpSet& ops() override { return *ops_; }

  /// Damaged canaries that freed memory showed, over all devices. Plain mode only.
  [[nodiscard]] int overruns() const;

 private:
  [[nodiscard]] DeviceMemory& memory(int index);

  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<DeviceMemory>> devices_;  ///< each made on first use
  std::unique_ptr<ops::OpSet> ops_;
};

}  // namespace lamella::cuda
