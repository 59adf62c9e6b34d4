// SPDX-License-Identifier: Apache-2.0
#include "rendezvous.hpp"

#include <algorithm>
#include <cstring>

namespace lamella::host_grid {

unsigned Rendezvous::running() const {
  return static_cast<unsigned>(
      std::count_if(members_.begin(), members_.end(), [](const Member& m) { return m.state == State::running; }));
}

bool Rendezvous::together(unsigned first, unsigned count, State state) const {
  const Member& leader = members_[first];
  return std::all_of(members_.begin() + first, members_.begin() + first + count, [&](const Member& member) {
    return member.state == state &&
           (member.operation == leader.operation || std::strcmp(member.operation, leader.operation) == 0);
  });
}

unsigned Rendezvous::release(unsigned first, unsigned count) {
  for (unsigned t = first; t < first + count; ++t) members_[t].state = State::running;
  return count;
}

unsigned Rendezvous::release() {
  if (together(0, threads(), State::at_block)) return release(0, threads());
  unsigned released = 0;
  for (unsigned first = 0; first + kWarp <= threads(); first += kWarp) {
    if (!together(first, kWarp, State::at_warp)) continue;
    for (unsigned lane = 0; lane < kWarp; ++lane) exchanged_[first / kWarp][lane] = members_[first + lane].value;
    released += release(first, kWarp);
  }
  return released;
}

std::string Rendezvous::describe(unsigned thread) const {
  const Member& member = members_[thread];
  const std::string who = "thread " + std::to_string(thread);
  return member.state == State::ended ? who + " has ended" : who + " waits at " + member.operation;
}

std::string Rendezvous::stuck() const {
  const auto waits = [](const Member& m) { return m.state == State::at_block || m.state == State::at_warp; };
  const auto waiting = std::find_if(members_.begin(), members_.end(), waits);
  if (waiting == members_.end() || running() > 0) return {};
  const auto other = std::find_if(members_.begin(), members_.end(), [&](const Member& m) {
    return m.state != waiting->state || std::strcmp(m.operation, waiting->operation) != 0;
  });
  std::string what = "divergence: " + describe(static_cast<unsigned>(waiting - members_.begin()));
  if (other != members_.end()) what += ", " + describe(static_cast<unsigned>(other - members_.begin()));
  return what;
}

}  // namespace lamella::host_grid
