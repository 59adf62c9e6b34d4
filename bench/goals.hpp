// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

/// What bench/goals.cpp measures, and what is wanted.
namespace lamella::bench {

struct Goal {
  const char* name;
  const char* unit;
  double wanted;
  bool at_least;

  [[nodiscard]] bool better(double a, double b) const { return at_least ? a > b : a < b; }
  [[nodiscard]] bool met(double value) const { return at_least ? value >= wanted : value <= wanted; }
};
inline constexpr Goal kReplay{"replay", "us a layer", 3, false};
inline constexpr Goal kElementwise{"elementwise", "share of the copy's bandwidth", 0.95, true};
// "Never slower", and the noise of a median.
inline constexpr Goal kFused{"fused", "time over gemm_bias_activation's", 1.02, false};
inline constexpr Goal kAutomatic{"automatic", "time over the best engine's", 1.03, false};
inline constexpr Goal kOneRow{"one_row", "us a call", 8, false};
inline constexpr Goal kAnyActivation{"any_activation", "time over linear's", 1.03, false};
inline constexpr Goal kStack{"stack", "time over that of layers one by one", 1.02, false};
inline constexpr std::array kGoals{kReplay, kOneRow, kElementwise, kFused, kAutomatic, kAnyActivation, kStack};

}  // namespace lamella::bench
