// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "cli/bench/clock.hpp"

namespace lamella::bench {

/// A clock on which calls take the time that the test says. Runs each call once, however many are requested.
class ScriptedClock final : public Clock {
 public:
  /// `us` gives the microseconds of one call and is called after it ran.
  explicit ScriptedClock(std::function<double()> us) : us_(std::move(us)) {}
  double time(const Call& call, std::int64_t calls) override {
    call();
    return us_() * static_cast<double>(calls);
  }
  void evict() override { ++evictions; }
  double copy_rate(std::size_t) override { return 1000; }
  int evictions = 0;

 private:
  std::function<double()> us_;
};

}  // namespace lamella::bench
