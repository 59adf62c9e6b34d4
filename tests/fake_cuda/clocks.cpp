// SPDX-License-Identifier: Apache-2.0
#include "clocks.hpp"

#include <algorithm>

namespace fake_cuda::inside {

void join(Clock& into, const Clock& other) {
  if (into.size() < other.size()) into.resize(other.size());
  for (std::size_t lane = 0; lane < other.size(); ++lane) into[lane] = std::max(into[lane], other[lane]);
}

bool knows(const Clock& clock, const Stamp& earlier) {
  if (earlier.lane < 0) return true;
  const auto lane = static_cast<std::size_t>(earlier.lane);
  return lane < clock.size() && clock[lane] >= earlier.tick;
}

std::string History::add(const Stamp& stamp, const Clock& clock, bool write) {
  std::string problem;
  if (!knows(clock, write_))
    problem = stamp.what + (write ? " writes" : " reads") + " it unordered with the write by " + write_.what;
  if (!write) {
    reads_[stamp.lane] = stamp;
    return problem;
  }
  for (const auto& [lane, read] : reads_) {
    if (problem.empty() && !knows(clock, read)) problem = stamp.what + " writes it unordered with the read by " + read.what;
  }
  reads_.clear();
  write_ = stamp;
  return problem;
}

std::string History::unknown_to(const Clock& clock) const {
  if (!knows(clock, write_)) return write_.what;
  for (const auto& [lane, read] : reads_) {
    if (!knows(clock, read)) return read.what;
  }
  return {};
}

}  // namespace fake_cuda::inside
