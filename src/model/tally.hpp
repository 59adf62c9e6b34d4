// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

namespace lamella::model {

/// What the sessions of a model keep, for Model::stats() and Model::memory_bytes(). Thread-safe.
struct Tally {
  std::atomic<std::int64_t> sessions{0};
  std::atomic<std::int64_t> graphs{0};
  std::atomic<std::int64_t> host_bytes{0};
};

/// Adds to a number of a tally until the last copy of the result goes.
[[nodiscard]] inline std::shared_ptr<void> counted(const std::shared_ptr<Tally>& tally, std::atomic<std::int64_t> Tally::*number,
                                                   std::int64_t n = 1) {
  (*tally).*number += n;  // before: where there is no memory for the pointer, its deleter is called
  return {tally.get(), [tally, number, n](void*) { (*tally).*number -= n; }};
}

}  // namespace lamella::model
