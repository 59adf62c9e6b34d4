// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>

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

/// One cell per line, because results are kept in git.
inline void print(const nlohmann::ordered_json& result) {
  std::printf("{\"device\": %s, \"seconds\": %s, \"wrong\": %s, \"failed\": %s,\n", result["device"].dump().c_str(),
              result["seconds"].dump().c_str(), result["wrong"].dump().c_str(), result["failed"].dump().c_str());
  for (const char* list : {"goals", "cells"}) {
    std::printf("\"%s\": [", list);
    for (std::size_t i = 0; i < result[list].size(); ++i)
      std::printf("%s\n%s", i == 0 ? "" : ",", result[list][i].dump().c_str());
    std::printf("\n]%s\n", std::strcmp(list, "goals") == 0 ? "," : "}");
  }
}

inline void tell(const nlohmann::ordered_json& goals) {
  for (const auto& goal : goals) {
    const bool at_least = goal.contains("at_least");
    std::fprintf(stderr, "%-12s %s %g %s: %d of %d cells met it, %d skipped, the worst %s\n",
                 goal["goal"].get<std::string>().c_str(), at_least ? "at least" : "at most",
                 goal[at_least ? "at_least" : "at_most"].get<double>(), goal["unit"].get<std::string>().c_str(),
                 goal["met"].get<int>(), goal["cells"].get<int>(), goal["skipped"].get<int>(),
                 goal["worst"].is_null() ? "none" : goal["worst"]["value"].dump().c_str());
  }
}

}  // namespace lamella::bench
