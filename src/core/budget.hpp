// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include "core/check.hpp"
#include "core/mutex.hpp"

namespace lamella::core {

/// The limit on the device memory of a model and its copies. Thread-safe.
class MemoryBudget {
 public:
  /// `limit` in bytes; 0: none.
  explicit MemoryBudget(std::size_t limit) : limit_(limit) {}

  void take(std::size_t bytes, const char* what) {
    const std::lock_guard lock(mutex_);
    if (limit_ != 0 && (bytes > limit_ || used_ > limit_ - bytes)) {
      throw Error(
          ErrorCode::out_of_memory,
          core::format(
              "[Options] memory_limit: no room for {} of {} bytes: {} of {} bytes are in use; raise the limit or lower max_batch",
              what, bytes, used_, limit_));
    }
    used_ += bytes;
  }
  void give_back(std::size_t bytes) noexcept {
    const std::lock_guard lock(mutex_);
    used_ -= bytes;
  }
  [[nodiscard]] std::size_t used() const {
    const std::lock_guard lock(mutex_);
    return used_;
  }

 private:
  mutable Mutex mutex_;
  std::size_t limit_;
  std::size_t used_ = 0;
};

/// Takes bytes from a budget until the last copy of the result is destroyed. Throws Error (out_of_memory). A null budget has no
/// limit.
[[nodiscard]] inline std::shared_ptr<void> charge(const std::shared_ptr<MemoryBudget>& budget, std::size_t bytes,
                                                  const char* what) {
  if (!budget) return nullptr;
  budget->take(bytes, what);
  return {budget.get(), [budget, bytes](void*) { budget->give_back(bytes); }};
}

/// `memory`, which also keeps `charge`.
[[nodiscard]] inline std::shared_ptr<void> charged(std::shared_ptr<void> memory, std::shared_ptr<void> charge) {
  if (!charge) return memory;
  void* const data = memory.get();
  auto both = std::make_shared<std::pair<std::shared_ptr<void>, std::shared_ptr<void>>>(std::move(charge), std::move(memory));
  return {std::move(both), data};
}

}  // namespace lamella::core
