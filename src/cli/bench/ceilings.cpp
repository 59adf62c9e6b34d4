// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/ceilings.hpp"

#include <algorithm>
#include <array>

#include "cli/bench/check.hpp"
#include "cli/bench/measure.hpp"
#include "cli/bench/subject.hpp"

namespace lamella::bench {
namespace {

double best_us(Clock& clock, const Call& call) {
  Settings settings;
  settings.candidate_us = 100e3;
  return measure(clock, std::array{call}, settings)[0].min_us;
}

double call_us(Clock& clock, const Cell& cell, const Way& way, int threads) {
  const Subject subject(cell);
  Runnable runnable(subject, subject.compile(way, threads), clock.stream());
  return best_us(clock, runnable.call());
}

double rate_at(const Ceilings& ceilings, double bytes, bool cold) {
  const auto fits = [&](const Ceilings::Copy& copy) { return copy.bytes >= bytes; };
  const auto found = cold ? ceilings.copies.end() : std::find_if(ceilings.copies.begin(), ceilings.copies.end(), fits);
  return found == ceilings.copies.end() ? ceilings.copies.back().rate : found->rate;
}

}  // namespace

std::vector<Floor> floors_of(const std::vector<Work>& steps, const Ceilings& ceilings, DType dtype, bool cold) {
  double bytes = 0;
  for (const Work& step : steps) bytes += step.bytes;
  const double copy_rate = rate_at(ceilings, bytes, cold);
  const double product_rate = ceilings.products.at(dtype);
  std::vector<Floor> floors;
  for (const Work& step : steps) {
    const std::array<Floor, 3> limits{
        {{step.bytes / copy_rate, "memory"}, {step.flops / product_rate, "arithmetic"}, {ceilings.launch_us, "launch"}}};
    floors.push_back(*std::max_element(limits.begin(), limits.end(), [](const Floor& a, const Floor& b) { return a.us < b.us; }));
  }
  return floors;
}

Floor floor_of(const std::vector<Work>& steps, const Ceilings& ceilings, DType dtype, bool cold) {
  std::map<std::string, double> by;
  Floor floor;
  for (const Floor& step : floors_of(steps, ceilings, dtype, cold)) {
    floor.us += step.us;
    by[step.bound_by] += step.us;
  }
  double share = -1;
  for (const auto& [kind, us] : by) {
    if (us > share) floor.bound_by = kind;
    share = std::max(share, us);
  }
  if (floor.us < ceilings.call_us) floor.bound_by = "call";
  return floor;
}

Ceilings measure_ceilings(Clock& clock, Device device, int threads, std::size_t cache_bytes) {
  Ceilings ceilings;
  const auto beyond = static_cast<double>(std::max<std::size_t>(8 * cache_bytes, std::size_t{256} << 20U));
  for (double bytes = 32 << 10U; bytes < beyond; bytes *= 4) {
    ceilings.copies.push_back({bytes, clock.copy_rate(static_cast<std::size_t>(bytes))});
  }
  ceilings.copies.push_back({beyond, clock.copy_rate(static_cast<std::size_t>(beyond))});
  Cell one{.level = Level::layer, .dtype = DType::float32, .activation = "linear"};
  ceilings.call_us = call_us(clock, one, {.device = device}, threads);
  if (device.is_cuda()) {
    one.depth = 33;
    ceilings.launch_us = std::max(0.0, (call_us(clock, one, {.device = device}, threads) - ceilings.call_us) / 32);
  }
  return ceilings;
}

void measure_product(Ceilings& ceilings, Clock& clock, Device device, int threads, DType dtype) {
  if (ceilings.products.contains(dtype)) return;
  constexpr double kLong = 30e3;
  const std::int64_t largest = device.is_cuda() ? 8192 : 2048;
  double& best = ceilings.products[dtype];
  for (std::int64_t n = 256; n <= largest; n *= 2) {
    const Cell cell{.level = Level::layer, .batch = n, .width = n, .dtype = dtype, .activation = "linear"};
    const double us = call_us(clock, cell, {.device = device}, threads);
    const auto size = static_cast<double>(n);
    best = std::max(best, 2 * size * size * size / us);
    if (8 * us > kLong) break;
  }
}

}  // namespace lamella::bench
