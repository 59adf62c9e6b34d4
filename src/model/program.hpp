// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/mutex.hpp"
#include "model/graph.hpp"

namespace lamella::model {

/// One step of a program: a plan, and where it reads and writes.
struct ProgramStep {
  ops::Desc desc;
  std::vector<std::string> layers;
  ops::Choice choice;
  std::vector<int> srcs;  ///< slots
  int dst = -1;           ///< slot
  bool overlaps = false;  ///< ops::Args::overlaps
  /// If measurements said that the layers from here on are faster one by one: the times.
  std::string one_by_one = {};
};

/// Buffers begin at multiples of it.
inline constexpr std::size_t kAlignment = 256;
[[nodiscard]] constexpr std::size_t aligned(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

/// Where the memory of a slot comes from.
struct Slot {
  enum class Kind { input, output, arena } kind = Kind::arena;
  std::size_t at = 0;  ///< index of the input or output, or offset in the arena
  std::size_t bytes = 0;
};

/// The outcome of capturing a program as a graph, for explain(). Thread-safe.
class CaptureNote {
 public:
  void set(std::string text) {
    const std::lock_guard lock(mutex_);
    text_ = std::move(text);
  }
  [[nodiscard]] std::string get() const {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  mutable core::Mutex mutex_;
  std::string text_;
};

/// The times of a program's steps, in a model with Options::profile on a device that works inline. Thread-safe.
class StepTimes {
 public:
  struct Least {
    std::int64_t runs = 0;
    std::vector<std::int64_t> nanoseconds;  ///< of each step, in its fastest run
  };
  /// One run.
  void add(std::span<const std::int64_t> nanoseconds) {
    const std::lock_guard lock(mutex_);
    least_.nanoseconds.resize(nanoseconds.size(), std::numeric_limits<std::int64_t>::max());
    for (std::size_t i = 0; i < nanoseconds.size(); ++i) least_.nanoseconds[i] = std::min(least_.nanoseconds[i], nanoseconds[i]);
    ++least_.runs;
  }
  [[nodiscard]] Least get() const {
    const std::lock_guard lock(mutex_);
    return least_;
  }

 private:
  mutable core::Mutex mutex_;
  Least least_;
};

/// The steps of a model at one batch size, engines chosen and buffers assigned by liveness. Immutable; any number of sessions may
/// run it.
struct Program {
  const Graph* graph = nullptr;  ///< compiled from; lives as long as this
  std::int64_t batch = 0;
  int threads = 1;  ///< threads that one run may use; CPU only
  std::vector<Slot> slots;
  std::vector<ProgramStep> steps;
  std::size_t arena_bytes = 0;  ///< buffers, then the workspace that all steps share
  std::size_t workspace_at = 0;
  mutable CaptureNote captured;
  mutable StepTimes times;
};

/// Chooses engines and assigns buffers. Throws ArgumentError (value) if a forced engine refuses.
[[nodiscard]] std::shared_ptr<const Program> compile(const Graph& graph, std::int64_t batch, ops::OpSet& ops,
                                                     const ops::PlanContext& context, const std::string& forced_engine);

}  // namespace lamella::model
