// SPDX-License-Identifier: Apache-2.0
#include "cuda/graph_user_object.hpp"

#include <atomic>
#include <utility>

#include "cuda/status.hpp"

namespace lamella::cuda {
namespace {

struct Kept {
  std::shared_ptr<const void> what;
  Kept* next = nullptr;
};

std::atomic<Kept*> retired{nullptr};

/// CUDA calls it on its own thread or the caller's: it must not call CUDA or allocate.
void CUDART_CB retire(void* kept) {
  auto* const node = static_cast<Kept*>(kept);
  node->next = retired.load(std::memory_order_relaxed);
  while (!retired.compare_exchange_weak(node->next, node, std::memory_order_release, std::memory_order_relaxed)) {
  }
}

}  // namespace

void keep_with(cudaGraph_t graph, std::shared_ptr<const void> what, int device) {
  auto kept = std::make_unique<Kept>(Kept{std::move(what), nullptr});
  cudaUserObject_t object = nullptr;
  check(cudaUserObjectCreate(&object, kept.get(), retire, 1, cudaUserObjectNoDestructorSync), device, "cudaUserObjectCreate");
  static_cast<void>(kept.release());  // owned by the user object from here on
  const cudaError_t status = cudaGraphRetainUserObject(graph, object, 1, cudaGraphUserObjectMove);
  if (status == cudaSuccess) return;
  check_quietly(cudaUserObjectRelease(object, 1), device, "cudaUserObjectRelease");
  check(status, device, "cudaGraphRetainUserObject");
}

void release_retired() noexcept {
  if (retired.load(std::memory_order_relaxed) == nullptr) return;
  Kept* node = retired.exchange(nullptr, std::memory_order_acquire);
  while (node != nullptr) {
    const std::unique_ptr<Kept> gone(node);
    node = node->next;
  }
}

}  // namespace lamella::cuda
