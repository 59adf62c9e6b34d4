// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "cli/bench/clock.hpp"

namespace lamella::bench {

/// How long to measure, and which results to accept.
struct Settings {
  int warm_calls = 3;
  int least_samples = 11;
  int fewest_samples = 5;  ///< the minimum for calls so long that more would exceed three times candidate_us
  int most_samples = 101;
  int most_cold_samples = 31;       ///< emptying the caches takes far longer than most calls
  double sample_us = 1000;          ///< calls are bundled until one sample lasts about this long
  double candidate_us = 60e3;       ///< time per candidate; three times as much if it is noisy
  double spread_limit = 0.10;       ///< results with a larger spread are refused
  double cold_spread_limit = 0.20;  ///< the same for cold results, whose samples are single calls
  double others_limit = 0.10;       ///< as are those taken while other programs used more than this share of the processors
  bool cold = false;                ///< caches are emptied before each sample, which is then one call
  bool refuse = true;               ///< refuse noisy results; else keep them, with a warning
  double latency_us = 200e3;        ///< time for calls that are timed one by one, for percentiles
  std::uint32_t seed = 1;           ///< of the random order

  [[nodiscard]] double allowed_spread() const noexcept { return cold ? cold_spread_limit : spread_limit; }
};

/// How many calls took how long: counts[i] of them took edges_us[i] or more, and less than edges_us[i + 1]; the slowest belongs
/// to the last. Each edge is the same factor above the one before it, up to the 99th percentile; the slowest call is the last
/// edge.
struct Histogram {
  std::vector<double> edges_us = {};  ///< one more than counts
  std::vector<std::int64_t> counts = {};
};

/// The 50th, 90th and 99th percentile of calls that were timed one by one, and their histogram.
struct Percentiles {
  double p50_us = 0;
  double p90_us = 0;
  double p99_us = 0;
  std::int64_t calls = 0;
  Histogram histogram = {};
};
/// Of at least one call.
[[nodiscard]] Percentiles percentiles_of(std::vector<double> calls_us);

/// The timing of one candidate. Times are per call.
struct Timing {
  double median_us = 0;
  double min_us = 0;
  double cpu_us = 0;  ///< mean CPU time of all threads of the process
  double spread = 0;  ///< (third quartile - first quartile) / median
  int samples = 0;
  std::int64_t calls = 0;  ///< per sample
  std::optional<Percentiles> percentiles = std::nullopt;
};

/// Summary of samples, at least one.
[[nodiscard]] Timing summarize(std::vector<double> samples_us, std::int64_t calls);

/// Times candidates that are to be compared: after a warm-up, each round takes one sample of every candidate in a new random
/// order, so that drifts of the machine's speed affect all alike.
[[nodiscard]] std::vector<Timing> measure(Clock& clock, std::span<const Call> candidates, const Settings& settings);
/// Times single calls, between 100 and 10,000 of them.
[[nodiscard]] Percentiles measure_calls(Clock& clock, const Call& call, const Settings& settings);

}  // namespace lamella::bench
