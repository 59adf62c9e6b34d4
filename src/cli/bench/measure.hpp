// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "cli/bench/clock.hpp"

namespace lamella::bench {

/// How long is measured, and what is believed.
struct Settings {
  int warm_calls = 3;
  int least_samples = 11;
  int fewest_samples = 5;  ///< instead of the least, of calls so long that they use up three times candidate_us
  int most_samples = 101;
  int most_cold_samples = 31;       ///< emptying the caches takes far longer than most calls
  double sample_us = 1000;          ///< calls are bundled until one sample lasts about this long
  double candidate_us = 60e3;       ///< time for one candidate; three times as much while it is noisy
  double spread_limit = 0.10;       ///< results of a greater spread are refused
  double cold_spread_limit = 0.20;  ///< the same for cold ones, of which a sample is one call
  double others_limit = 0.10;       ///< and those taken while other programs had more than this share of the processors
  bool cold = false;                ///< caches are emptied before each sample, which is then one call
  bool refuse = true;               ///< what is noisy; else it stays, with a warning
  double latency_us = 200e3;        ///< of calls that are timed one by one, for percentiles
  std::uint32_t seed = 1;           ///< of the order

  [[nodiscard]] double allowed_spread() const noexcept { return cold ? cold_spread_limit : spread_limit; }
};

/// Of calls that were timed one by one: half, nine of ten and 99 of a hundred took no longer.
struct Percentiles {
  double p50_us = 0;
  double p90_us = 0;
  double p99_us = 0;
  std::int64_t calls = 0;
};
[[nodiscard]] Percentiles percentiles_of(std::vector<double> calls_us);

/// What one candidate took. Times are of one call.
struct Timing {
  double median_us = 0;
  double min_us = 0;
  double cpu_us = 0;  ///< of all threads of the process, mean
  double spread = 0;  ///< (third quartile - first quartile) / median
  int samples = 0;
  std::int64_t calls = 0;  ///< a sample
  std::optional<Percentiles> percentiles = std::nullopt;
};

/// Summary of samples, at least one.
[[nodiscard]] Timing summarize(std::vector<double> samples_us, std::int64_t calls);

/// Times what is to be compared: after warm-up each round takes one sample of every candidate, in an order drawn anew, so that a
/// drift of the machine's speed meets all alike.
[[nodiscard]] std::vector<Timing> measure(Clock& clock, std::span<const Call> candidates, const Settings& settings);
/// Calls one by one, a hundred at least and ten thousand at most.
[[nodiscard]] Percentiles measure_calls(Clock& clock, const Call& call, const Settings& settings);

}  // namespace lamella::bench
