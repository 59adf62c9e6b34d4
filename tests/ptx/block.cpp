// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "tests/ptx/warp.hpp"

namespace ptx {

Block::Block(Grid& of) : grid(of), threads(of.how.block[0] * of.how.block[1] * of.how.block[2]) {
  for (unsigned first = 0; first < threads; first += kLanes) warps_.emplace_back(*this);
}

void Block::start(std::array<unsigned, 3> which) {
  index = which;
  lets_next_begin = has_ended = false;
  remote = 0;
  ++epoch;
  shared.reset(grid.how.shared > 0 ? grid.program.dynamic_shared + grid.how.shared : grid.program.shared_bytes, epoch,
               grid.program.has_clusters);
  for (unsigned warp = 0; warp < warps_.size(); ++warp) {
    const unsigned left = threads - warp * kLanes;
    warps_[warp].start(warp, left >= kLanes ? kAllLanes : (1U << left) - 1);
  }
  done_.assign(warps_.size(), false);
}

bool Block::run() {
  Warp::State state = step();
  for (; state == Warp::State::at_barrier; state = step()) ++epoch;
  if (state != Warp::State::ended) return false;
  if (!has_ended) {
    for (const Warp& warp : warps_) {
      if (warp.least_waited() < remote)
        warp.report(Fault::cluster, grid.program.code.back(), 0, "ends while another block of the cluster may use its memory");
    }
  }
  lets_next_begin = has_ended = true;
  return true;
}

std::uint32_t Block::least_arrived() const {
  std::uint32_t least = 0xFFFF'FFFF;
  for (const Warp& warp : warps_) least = std::min(least, warp.least_arrived());
  return least;
}

std::uint64_t Block::progress() const {
  std::uint64_t sum = 0;
  for (const Warp& warp : warps_) sum += warp.progress();
  return sum;
}

const Instruction* Block::stopped_at() const {
  for (std::size_t i = 0; i < warps_.size(); ++i) {
    if (!done_[i]) return &warps_[i].waits_at();
  }
  return nullptr;
}

void Block::go_on() {
  for (Warp& warp : warps_) warp.go_on();
}

/// Runs every warp to its next barrier, and past it unless some have stopped; returns what most of them have come to.
Warp::State Block::step() {
  const Warp* waiting = nullptr;
  const Warp* ended = nullptr;
  bool stopped = false;
  for (std::size_t i = 0; i < warps_.size(); ++i) {
    if (done_[i]) continue;
    const Warp::State state = warps_[i].run();
    done_[i] = state == Warp::State::ended;
    stopped = stopped || state == Warp::State::stopped;
  }
  if (stopped) return Warp::State::stopped;
  for (std::size_t i = 0; i < warps_.size(); ++i) {
    Warp& warp = warps_[i];
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
  if (waiting == nullptr) return Warp::State::ended;
  if (ended != nullptr)
    waiting->report(Fault::divergent_barrier, waiting->waits_at(), 0, "warp " + std::to_string(ended->index()) + " has ended");
  for (std::size_t i = 0; i < warps_.size(); ++i) {
    if (!done_[i]) warps_[i].resume();
  }
  return Warp::State::at_barrier;
}

}  // namespace ptx
