// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <mutex>

#include "core/mutex.hpp"

namespace lamella::model {

/// A readers-writer lock: calls share it, and an update of what they read holds it exclusively. Calls that come while an update
/// waits wait behind it.
class Gate {
 public:
  /// Held by a call, from beginning to end.
  class Passage {
   public:
    explicit Passage(Gate* gate) : gate_(gate) {
      if (gate_ == nullptr) return;
      const std::lock_guard lock(gate_->turnstile_);
      gate_->leave_behind_other_processes();
      ++gate_->inside_;
    }
    ~Passage() {
      if (gate_ != nullptr && --gate_->inside_ == 0) gate_->inside_.notify_all();
    }
    Passage(const Passage&) = delete;
    Passage& operator=(const Passage&) = delete;

   private:
    Gate* gate_;
  };

  /// Held by an update: waits for all calls, and blocks new ones while it lives. Must not be created by a thread with a Passage.
  class Alone {
   public:
    explicit Alone(Gate& gate) : lock_(gate.turnstile_) {
      gate.leave_behind_other_processes();
      for (std::int64_t inside = gate.inside_; inside != 0; inside = gate.inside_) gate.inside_.wait(inside);
    }

   private:
    std::lock_guard<core::Mutex> lock_;
  };

 private:
  /// A forked child does not have the threads that were inside.
  void leave_behind_other_processes() {
    if (const pid_t now = getpid(); now != process_) {
      process_ = now;
      inside_ = 0;
    }
  }

  core::Mutex turnstile_;
  std::atomic<std::int64_t> inside_{0};
  pid_t process_ = getpid();
};

}  // namespace lamella::model
