// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>

#include <cuda_runtime_api.h>

namespace lamella::cuda {

/// The memory of one device. Memory comes from lamella's own pool, which keeps up to kKept bytes for later allocations.
/// With LAMELLA_CUDA_ALLOCATOR=exact, and on devices without pools, each allocation is a cudaMalloc of exactly the
/// requested bytes and is not written to, so that compute-sanitizer sees every overrun and every uninitialised read.
/// Thread-safe.
class DeviceMemory {
 public:
  explicit DeviceMemory(int device);
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  /// See Backend::allocate.
  [[nodiscard]] std::shared_ptr<void> allocate(std::size_t bytes);
  [[nodiscard]] std::shared_ptr<void> allocate_pinned(std::size_t bytes) const;

 private:
  static constexpr std::size_t kKept = std::size_t{256} << 20U;

  struct DeferredFrees;
  struct Pool;
  [[nodiscard]] std::shared_ptr<void> from_pool(std::size_t bytes);
  [[nodiscard]] std::shared_ptr<void> exact(std::size_t bytes);
  [[noreturn]] void throw_out_of_memory(std::size_t bytes) const;

  int device_;
  bool is_exact_;
  std::shared_ptr<DeferredFrees> deferred_;
  std::mutex mutex_;
  std::shared_ptr<Pool> pool_;  ///< created on first use
};

}  // namespace lamella::cuda
