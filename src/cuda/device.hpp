// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <utility>
#include <vector>

#include "core/trust.hpp"
#include "cuda/dense/predicted.hpp"
#include "cuda/memory.hpp"
#include "kernels/stack_cluster.hpp"

struct cublasLtContext;
struct CUstream_st;

namespace lamella::cuda {

class CudnnHandle;
class ProductAlgorithms;

/// Handles, each lent to one user at a time. Returned handles are never destroyed, because destroying a library's handle waits
/// for the whole device and breaks any capture on it. Thread-safe.
template <typename T>
class HandlePool {
 public:
  /// A free handle, else the one that `make` returns.
  template <typename Make>
  [[nodiscard]] std::shared_ptr<T> take(const Make& make) {
    {
      const std::lock_guard lock(mutex_);
      idle_.reserve(made_ + 1);  // so that give_back() does not allocate
      if (!idle_.empty()) {
        auto one = std::move(idle_.back());
        idle_.pop_back();
        return one;
      }
      ++made_;
    }
    try {
      return make();
    } catch (...) {
      const std::lock_guard lock(mutex_);
      --made_;
      throw;
    }
  }
  void give_back(std::shared_ptr<T> handle) noexcept {
    if (!handle) return;
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(handle));
  }

 private:
  std::mutex mutex_;
  std::vector<std::shared_ptr<T>> idle_;
  std::size_t made_ = 0;
};

/// State shared by all of lamella's work on one GPU. Lives as long as the backend: to the end of the process, except in tests.
class CudaDevice {
 public:
  explicit CudaDevice(int device);
  ~CudaDevice();
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;

  const int index;
  int architecture = 0;   ///< kernels::has_image()'s
  bool overlaps = false;  ///< kernels may begin before those before them end (kernels::Overlap)
  Hardware hardware;      ///< what predictions know of it
  DeviceMemory memory;
  HandlePool<cublasLtContext> cublaslt;
  HandlePool<CudnnHandle> cudnn;
  HandlePool<CUstream_st> transfers;  ///< idle streams
  /// Held exclusively while one of lamella's streams is captured, and shared by whatever may disturb a capture: creating handles,
  /// and cuBLASLt's heuristics. Never locked twice by one thread.
  std::shared_mutex captures;
  core::Verdicts verdicts;                              ///< on the vendors' activations
  const std::unique_ptr<ProductAlgorithms> algorithms;  ///< for planned products

  /// How many clusters of kernels::stack_cluster() for so many rows, at most kMostClusterRows, it can run at a time. Throws
  /// DeviceError.
  [[nodiscard]] int clusters_at_once(std::int64_t rows);

 private:
  std::array<std::atomic<int>, kernels::kMostClusterRows + 1> clusters_{};  ///< one more than that; 0 before it is asked
};

/// A handle of cuBLASLt. Throws DeviceError, Error (out_of_memory).
[[nodiscard]] std::shared_ptr<cublasLtContext> take_cublaslt(CudaDevice& device);
[[nodiscard]] std::shared_ptr<CudnnHandle> take_cudnn(CudaDevice& device);

}  // namespace lamella::cuda
