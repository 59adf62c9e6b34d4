// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace lamella::cpu {

/// Reduces all f(i) with combine(), starting with `neutral`, in double and in an order that depends on n alone.
template <typename Combine, typename F>
double fold(std::int64_t n, double neutral, const Combine& combine, const F& f) {
  constexpr std::int64_t kLanes = 16;
  double lanes[kLanes];
  for (double& lane : lanes) lane = neutral;
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (std::int64_t k = 0; k < kLanes; ++k) lanes[k] = combine(lanes[k], f(i + k));
  }
  for (; i < n; ++i) lanes[i % kLanes] = combine(lanes[i % kLanes], f(i));
  double total = neutral;
  for (const double lane : lanes) total = combine(total, lane);
  return total;
}

template <typename F>
double sum(std::int64_t n, const F& f) {
  return fold(
      n, 0.0, [](double a, double b) { return a + b; }, f);
}

}  // namespace lamella::cpu
