// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace lamella::host_grid {

/// Who of a block's threads runs, waits or has ended. The block advances in turns: everybody runs until nobody can, then
/// release() lets go those whose barrier or exchange is complete. It takes no locks.
class Rendezvous {
 public:
  enum class State { running, at_block, at_warp, ended };
  static constexpr unsigned kWarp = 32;

  /// `threads` is a multiple of kWarp.
  explicit Rendezvous(unsigned threads) : members_(threads), exchanged_(threads / kWarp) {}

  [[nodiscard]] unsigned threads() const { return static_cast<unsigned>(members_.size()); }
  [[nodiscard]] State state(unsigned thread) const { return members_[thread].state; }
  [[nodiscard]] unsigned running() const;

  void wait(unsigned thread, State state, const char* operation, std::uint64_t value) {
    members_[thread] = {state, operation, value};
  }
  void end(unsigned thread) { members_[thread].state = State::ended; }

  /// Lets go whom it can and says how many those are; 0 when all have ended, or when the rest waits for ever (see stuck()).
  unsigned release();
  /// Why the threads that wait can never go on, or nothing.
  [[nodiscard]] std::string stuck() const;
  /// What the lanes of the thread's warp gave to the exchange that was last complete.
  [[nodiscard]] const std::array<std::uint64_t, kWarp>& values(unsigned thread) const { return exchanged_[thread / kWarp]; }

 private:
  struct Member {
    State state = State::running;
    const char* operation = "";
    std::uint64_t value = 0;
  };
  [[nodiscard]] bool together(unsigned first, unsigned count, State state) const;
  unsigned release(unsigned first, unsigned count);
  [[nodiscard]] std::string describe(unsigned thread) const;

  std::vector<Member> members_;
  std::vector<std::array<std::uint64_t, kWarp>>
      exchanged_;  // of each warp: who goes on first may give anew before the others have read
};

}  // namespace lamella::host_grid
