// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

#ifdef __SANITIZE_THREAD__
#include <thread>
#include <vector>
#endif

namespace lamella::cpu {

/// How many of `threads` are worth waking for this much work; 1 means the calling thread alone. `work` is in roughly nanoseconds.
inline int worth(int threads, double work) {
  constexpr double kNanosecondsPerThread = 20'000.0;
  return std::clamp(static_cast<int>(work / kNanosecondsPerThread), 1, threads);
}

/// part(0) ... part(parts - 1), each in a thread of its own.
#ifdef __SANITIZE_THREAD__
template <typename F>
void run_parts(int parts, const F& part) {  // the OpenMP runtime is not instrumented: ThreadSanitizer would not see its joins
  std::vector<std::thread> threads;
  for (int t = 1; t < parts; ++t) threads.emplace_back([&part, t] { part(t); });
  part(0);
  for (std::thread& thread : threads) thread.join();
}
#else
template <typename F>
void run_parts(int parts, const F& part) {
#pragma omp parallel for num_threads(parts) schedule(static, 1)
  for (int t = 0; t < parts; ++t) part(t);
}
#endif

/// f(begin, end) over parts of [0, count). Parts do not depend on timing; results must not depend on how the range is cut.
template <typename F>
void parallel(std::int64_t count, int threads, const F& f) {
  if (threads <= 1 || count <= 1) {
    if (count > 0) f(std::int64_t{0}, count);
    return;
  }
  const std::int64_t part = (count + threads - 1) / threads;
  run_parts(threads, [&](int t) {
    const std::int64_t begin = part * t;
    const std::int64_t end = std::min(count, begin + part);
    if (begin < end) f(begin, end);
  });
}

/// Sets the calling thread's OpenMP thread count for as long as it lives; libraries that use OpenMP read it.
class OmpThreads {
 public:
  explicit OmpThreads(int threads) : before_(omp_get_max_threads()) { omp_set_num_threads(threads); }
  ~OmpThreads() { omp_set_num_threads(before_); }
  OmpThreads(const OmpThreads&) = delete;
  OmpThreads& operator=(const OmpThreads&) = delete;

 private:
  int before_;
};

}  // namespace lamella::cpu
