// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

#include "core/threads.hpp"

namespace lamella::cpu {

/// The amount of some work, and the number of threads that it justifies.
struct Team {
  int threads = 1;
  double nanoseconds = 0;
};

/// `nanoseconds`: the approximate time of the work on one thread.
inline Team worth(int threads, double nanoseconds) {
  constexpr double kNanosecondsPerThread = 1'000.0;
  const double most = std::min(nanoseconds / kNanosecondsPerThread, 1e6);
  return {std::clamp(static_cast<int>(most), 1, threads), nanoseconds};
}

/// How much of `count` is one part.
inline std::int64_t part_of(std::int64_t count, const Team& team) { return (count + team.threads - 1) / team.threads; }

/// Calls f(begin, end) for one part of [0, count) per thread. Parts do not depend on timing; results must not depend on how the
/// range is cut.
template <typename F>
void parallel(std::int64_t count, const Team& team, const F& f) {
  const std::int64_t part = part_of(count, team);
  if (part == 0) return;
  core::for_parts((count + part - 1) / part, team.threads, team.nanoseconds,
                  [&](std::int64_t i) { f(part * i, std::min(count, part * (i + 1))); });
}

/// While it lives, libraries that use OpenMP stay on the calling thread, because the caller has already divided the work.
class OneOmpThread {
 public:
  OneOmpThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneOmpThread() { omp_set_num_threads(before_); }
  OneOmpThread(const OneOmpThread&) = delete;
  OneOmpThread& operator=(const OneOmpThread&) = delete;

 private:
  int before_;
};

}  // namespace lamella::cpu
