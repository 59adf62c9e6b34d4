// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "tests/ptx/warp.hpp"

namespace ptx {

Block::Block(Grid& of) : grid(of), threads(of.how.block[0] * of.how.block[1] * of.how.block[2]) {
  for (unsigned first = 0; first < threads; first += kLanes) warps_.emplace_back(*this);
}

void Block::run(std::array<unsigned, 3> which) {
  index = which;
  ++epoch;
  shared.reset(grid.how.shared > 0 ? grid.program.dynamic_shared + grid.how.shared : grid.program.shared_bytes, epoch);
  for (unsigned warp = 0; warp < warps_.size(); ++warp) {
    const unsigned left = threads - warp * kLanes;
    warps_[warp].start(warp, left >= kLanes ? kAllLanes : (1U << left) - 1);
  }
  done_.assign(warps_.size(), false);
  while (step()) ++epoch;
}

/// Runs every warp to its next barrier; returns false if all have ended.
bool Block::step() {
  const Warp* waiting = nullptr;
  const Warp* ended = nullptr;
  for (std::size_t i = 0; i < warps_.size(); ++i) {
    Warp& warp = warps_[i];
    if (!done_[i]) done_[i] = warp.run() == Warp::State::ended;
    if (done_[i]) {
      ended = &warp;
      continue;
    }
    if (waiting != nullptr && &waiting->waits_at() != &warp.waits_at())
      warp.report(Fault::divergent_barrier, warp.waits_at(), 0,
                  "another warp waits at another barrier: " + std::string(waiting->waits_at().text));
    if (warp.ended() != 0) warp.report(Fault::divergent_barrier, warp.waits_at(), 0, "lanes of the warp have ended");
    waiting = &warp;
  }
  if (waiting == nullptr) return false;
  if (ended != nullptr)
    waiting->report(Fault::divergent_barrier, waiting->waits_at(), 0, "warp " + std::to_string(ended->index()) + " has ended");
  for (std::size_t i = 0; i < warps_.size(); ++i) {
    if (!done_[i]) warps_[i].resume();
  }
  return true;
}

}  // namespace ptx
