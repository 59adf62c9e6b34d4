// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>

namespace lamella::model {

/// Counts what the sessions of a model keep, for Model::stats() and Model::memory_bytes(). Thread-safe.
struct Tally {
  std::atomic<std::int64_t> sessions{0};
  std::atomic<std::int64_t> graphs{0};
  std::atomic<std::int64_t> host_bytes{0};
  std::atomic<std::int64_t> preparing_ns{0};
};

/// Adds the time for which it lives to Tally::preparing_ns.
class Preparing {
 public:
  explicit Preparing(Tally& tally) : tally_(tally) {}
  Preparing(const Preparing&) = delete;
  Preparing& operator=(const Preparing&) = delete;
  ~Preparing() { tally_.preparing_ns += std::chrono::nanoseconds(Clock::now() - begin_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Tally& tally_;
  Clock::time_point begin_ = Clock::now();
};

/// Adds to a number of a tally until the last copy of the result is destroyed.
[[nodiscard]] inline std::shared_ptr<void> counted(const std::shared_ptr<Tally>& tally, std::atomic<std::int64_t> Tally::*number,
                                                   std::int64_t n = 1) {
  (*tally).*number += n;  // first, because the deleter is called even if the pointer cannot be allocated
  return {tally.get(), [tally, number, n](void*) { (*tally).*number -= n; }};
}

}  // namespace lamella::model
