// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>

#include "rendezvous.hpp"

namespace lamella::host_grid {

/// The threads of one block at a time.
class Team {
 public:
  virtual ~Team() = default;
  Team() = default;
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  /// Runs `thread` for each; `here` is as on the caller but for `here.thread`.
  virtual void run_block(const std::function<void()>& thread) = 0;
  /// Called by one of the threads: returns when the barrier or exchange is complete. The answer is good until the thread's next.
  virtual const std::array<std::uint64_t, Rendezvous::kWarp>& wait(Rendezvous::State state, const char* operation,
                                                                   std::uint64_t value, bool orders_memory) = 0;
};

[[nodiscard]] std::unique_ptr<Team> make_team(unsigned threads);

}  // namespace lamella::host_grid
