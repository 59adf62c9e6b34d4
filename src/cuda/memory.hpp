// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>

#include <cuda_runtime_api.h>

namespace lamella::cuda {

/// The memory of one device. Memory comes from a pool of lamella's own that keeps up to kKept bytes for the next allocation. With
/// LAMELLA_CUDA_ALLOCATOR=exact, and on devices without pools, each allocation is a cudaMalloc of exactly the bytes that were
/// asked for and nothing is written to it, so that compute-sanitizer sees every overrun and every read of what nobody wrote.
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
  std::shared_ptr<Pool> pool_;  ///< made on first use
};

}  // namespace lamella::cuda
