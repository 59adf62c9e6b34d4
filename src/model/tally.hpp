// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

namespace lamella::model {

/// Counts what the sessions of a model keep, for Model::stats() and Model::memory_bytes(). Thread-safe.
struct Tally {
  std::atomic<std::int64_t> sessions{0};
  std::atomic<std::int64_t> graphs{0};
  std::atomic<std::int64_t> host_bytes{0};
};

/// Adds to a number of a tally until the last copy of the result is destroyed.
[[nodiscard]] inline std::shared_ptr<void> counted(const std::shared_ptr<Tally>& tally, std::atomic<std::int64_t> Tally::*number,
                                                   std::int64_t n = 1) {
  (*tally).*number += n;  // first, because the deleter is called even if the pointer cannot be allocated
  return {tally.get(), [tally, number, n](void*) { (*tally).*number -= n; }};
}

}  // namespace lamella::model
