// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/measure.hpp"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <numeric>
#include <random>

namespace lamella::bench {
namespace {

/// Interpolates between order statistics, as numpy does by default.
double quantile(const std::vector<double>& sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

Histogram histogram_of(const std::vector<double>& sorted, double p99_us) {
  constexpr int kParts = 12;  // up to the 99th percentile
  constexpr double kLeastUs = 1e-3;
  Histogram result;
  const double first = std::max(sorted.front(), kLeastUs);
  const double factor = std::pow(p99_us / first, 1.0 / kParts);
  result.edges_us.push_back(sorted.front());
  for (int i = 1; i < kParts && factor > 1; ++i) result.edges_us.push_back(first * std::pow(factor, i));
  if (p99_us > result.edges_us.back()) result.edges_us.push_back(p99_us);
  if (sorted.back() > result.edges_us.back() || result.edges_us.size() == 1) result.edges_us.push_back(sorted.back());
  auto begin = sorted.begin();
  for (std::size_t i = 1; i < result.edges_us.size(); ++i) {
    const bool last = i + 1 == result.edges_us.size();
    const auto end = last ? sorted.end() : std::lower_bound(begin, sorted.end(), result.edges_us[i]);
    result.counts.push_back(end - begin);
    begin = end;
  }
  return result;
}

class Rounds {
 public:
  Rounds(Clock& clock, std::span<const Call> candidates, const Settings& settings)
      : clock_(clock),
        candidates_(candidates),
        settings_(settings),
        calls_(candidates.size(), 1),
        samples_(candidates.size()),
        cpu_us_(candidates.size()),
        random_(settings.seed) {}

  std::vector<Timing> run() {
    for (std::size_t i = 0; i < candidates_.size(); ++i) warm_up(i);
    std::vector<std::size_t> order(candidates_.size());
    std::iota(order.begin(), order.end(), 0U);
    while (wants_more()) {
      std::shuffle(order.begin(), order.end(), random_);
      for (const std::size_t i : order) sample(i);
      ++rounds_;
    }
    return summaries();
  }

 private:
  void warm_up(std::size_t i) {
    double once = clock_.time(candidates_[i], 1);
    if (once * settings_.warm_calls < settings_.candidate_us)
      once = clock_.time(candidates_[i], settings_.warm_calls) / settings_.warm_calls;
    if (!settings_.cold) calls_[i] = std::max<std::int64_t>(1, std::llround(settings_.sample_us / std::max(once, 1e-3)));
  }

  void sample(std::size_t i) {
    if (settings_.cold) clock_.evict();
    const std::clock_t cpu_begin = std::clock();
    const double us = clock_.time(candidates_[i], calls_[i]);
    cpu_us_[i] += static_cast<double>(std::clock() - cpu_begin) * 1e6 / CLOCKS_PER_SEC;
    spent_us_ += us;
    samples_[i].push_back(us / static_cast<double>(calls_[i]));
  }

  [[nodiscard]] std::vector<Timing> summaries() const {
    std::vector<Timing> result;
    for (std::size_t i = 0; i < samples_.size(); ++i) {
      result.push_back(summarize(samples_[i], calls_[i]));
      result.back().cpu_us = cpu_us_[i] / static_cast<double>(calls_[i] * result.back().samples);
    }
    return result;
  }

  [[nodiscard]] bool wants_more() const {
    if (candidates_.empty() || rounds_ >= (settings_.cold ? settings_.most_cold_samples : settings_.most_samples)) return false;
    const double budget = settings_.candidate_us * static_cast<double>(candidates_.size());
    if (rounds_ < settings_.fewest_samples) return true;
    if (spent_us_ >= 3 * budget) return false;
    if (rounds_ < settings_.least_samples || spent_us_ < budget) return true;
    const auto timings = summaries();
    return std::any_of(timings.begin(), timings.end(), [&](const Timing& t) { return t.spread > settings_.allowed_spread(); });
  }

  Clock& clock_;
  std::span<const Call> candidates_;
  const Settings& settings_;
  std::vector<std::int64_t> calls_;
  std::vector<std::vector<double>> samples_;
  std::vector<double> cpu_us_;
  std::mt19937 random_;
  int rounds_ = 0;
  double spent_us_ = 0;
};

}  // namespace

Timing summarize(std::vector<double> samples_us, std::int64_t calls) {
  std::sort(samples_us.begin(), samples_us.end());
  Timing timing;
  timing.median_us = quantile(samples_us, 0.5);
  timing.min_us = samples_us.front();
  if (timing.median_us > 0) timing.spread = (quantile(samples_us, 0.75) - quantile(samples_us, 0.25)) / timing.median_us;
  timing.samples = static_cast<int>(samples_us.size());
  timing.calls = calls;
  return timing;
}

Percentiles percentiles_of(std::vector<double> calls_us) {
  std::sort(calls_us.begin(), calls_us.end());
  const double p99_us = quantile(calls_us, 0.99);
  return {.p50_us = quantile(calls_us, 0.5),
          .p90_us = quantile(calls_us, 0.9),
          .p99_us = p99_us,
          .calls = static_cast<std::int64_t>(calls_us.size()),
          .histogram = histogram_of(calls_us, p99_us)};
}

Percentiles measure_calls(Clock& clock, const Call& call, const Settings& settings) {
  constexpr std::size_t kLeast = 100;
  constexpr std::size_t kMost = 10'000;
  std::vector<double> calls_us;
  for (double spent_us = 0; calls_us.size() < kLeast || (calls_us.size() < kMost && spent_us < settings.latency_us);) {
    calls_us.push_back(clock.time(call, 1));
    spent_us += calls_us.back();
  }
  return percentiles_of(std::move(calls_us));
}

std::vector<Timing> measure(Clock& clock, std::span<const Call> candidates, const Settings& settings) {
  return Rounds(clock, candidates, settings).run();
}

}  // namespace lamella::bench
