// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include <cuda.h>
#include <cuda_runtime_api.h>

/// What this process knows of its devices, for status.cpp and context.cpp. It is never destroyed, because destructors of static
/// objects use it.
namespace lamella::cuda {

/// Work for which waiting failed.
struct Pending {
  cudaStream_t stream = nullptr;
  cudaEvent_t event = nullptr;
  unsigned long long callers_id = 0;  ///< of a caller's stream, which may be destroyed; 0: our own, to be destroyed
};

/// The failures of a device. A loss is permanent: only a new process can use the device again.
struct Trouble {
  std::atomic<bool> lost{false};
  std::atomic<bool> undrained{false};
  std::mutex draining;
  std::mutex mutex;
  std::string reason;
  std::vector<Pending> pending;
  bool untracked = false;  ///< other work may still run: memory leaks, which is better than being reused while in use
};
[[nodiscard]] Trouble& trouble_of(int device);

/// The primary context of a device; null until it is first used, after which it is retained.
[[nodiscard]] std::atomic<CUcontext>& primary_context_of(int device);

}  // namespace lamella::cuda
