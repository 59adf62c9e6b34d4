// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/clock.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

namespace lamella::bench {
namespace {

using Moment = std::chrono::steady_clock::time_point;

double microseconds_since(Moment begin) {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count();
}

/// Copies between two buffers of its own for at least `us`; the best rate over parts of that time.
double copy_rate_of_thread(std::size_t bytes, double us) {
  std::vector<char> from(bytes / 2 + 1, 'x');
  std::vector<char> to(bytes / 2 + 1);
  double best = 0;
  for (const Moment begin = std::chrono::steady_clock::now(); microseconds_since(begin) < us;) {
    const std::int64_t copies = std::max<std::int64_t>(1, static_cast<std::int64_t>(1e6 / static_cast<double>(bytes)));
    const Moment part = std::chrono::steady_clock::now();
    for (std::int64_t i = 0; i < copies; ++i) {
      std::memcpy(to.data(), from.data(), from.size());
      std::swap(from, to);  // neither a constant source nor a dead result
    }
    best = std::max(best, 2 * static_cast<double>(from.size()) * static_cast<double>(copies) / microseconds_since(part));
  }
  return best;
}

}  // namespace

double HostClock::time(const Call& call, std::int64_t calls) {
  const Moment begin = std::chrono::steady_clock::now();
  for (std::int64_t i = 0; i < calls; ++i) call();
  return microseconds_since(begin);
}

double HostClock::copy_rate(std::size_t bytes) {
  constexpr double kLong = 60e3;
  const auto threads = static_cast<std::size_t>(threads_);
  std::vector<double> rates(threads);
  std::vector<std::thread> workers;
  for (std::size_t i = 0; i < threads; ++i) {
    workers.emplace_back([&rates, i, part = bytes / threads] { rates[i] = copy_rate_of_thread(part, kLong); });
  }
  double sum = 0;
  for (std::size_t i = 0; i < threads; ++i) {
    workers[i].join();
    sum += rates[i];
  }
  return sum;
}

void HostClock::evict() {
  if (lines_.empty()) lines_.resize(2 * cache_bytes_ / sizeof(std::uint64_t) + 1);
  for (std::uint64_t& word : lines_) ++word;
}

}  // namespace lamella::bench
