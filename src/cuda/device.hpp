// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <mutex>
#include <shared_mutex>
#include <utility>
#include <vector>

#include "core/trust.hpp"
#include "cuda/memory.hpp"

struct cublasLtContext;
struct CUstream_st;

namespace lamella::cuda {

class CudnnHandle;
class ProductAlgorithms;

/// Handles, lent to one user each. None that is given back is destroyed while the process lives: a library's would wait for the
/// whole device and break whatever is being captured on it. Thread-safe.
template <typename T>
class HandlePool {
 public:
  /// One that is free, else what `make` returns.
  template <typename Make>
  [[nodiscard]] std::shared_ptr<T> take(const Make& make) {
    {
      const std::lock_guard lock(mutex_);
      idle_.reserve(made_ + 1);  // so that give_back() needs no memory
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

/// What all of lamella's work on one GPU shares. Lives as long as the backend: for ever, but in tests.
class CudaDevice {
 public:
  explicit CudaDevice(int device);
  ~CudaDevice();
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;

  const int index;
  int architecture = 0;  ///< kernels::has_image()'s
  DeviceMemory memory;
  HandlePool<cublasLtContext> cublaslt;
  HandlePool<CudnnHandle> cudnn;
  HandlePool<CUstream_st> transfers;  ///< streams without work
  /// Held alone while a stream of lamella's is captured, shared by what may disturb a capture: making handles, and cuBLASLt's
  /// heuristics. Never taken twice by one thread.
  std::shared_mutex captures;
  core::Verdicts verdicts;                              ///< on the vendors' activations
  const std::unique_ptr<ProductAlgorithms> algorithms;  ///< of products that were planned
};

/// A handle of cuBLASLt. Throws DeviceError, Error (out_of_memory).
[[nodiscard]] std::shared_ptr<cublasLtContext> take_cublaslt(CudaDevice& device);
[[nodiscard]] std::shared_ptr<CudnnHandle> take_cudnn(CudaDevice& device);

}  // namespace lamella::cuda
