// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cuda/cuda_support.hpp"

namespace lamella::test {

struct Plan {
  std::vector<std::string> ops, engines;
  std::vector<std::vector<std::string>> layers;
};
inline Plan plan_of(const Model& model, std::int64_t batch = 3) {
  Plan plan;
  const auto explained = nlohmann::json::parse(model.explain({.batch = batch, .json = true}));
  for (const auto& step : explained.at("steps")) {
    plan.ops.push_back(step.at("op"));
    plan.engines.push_back(step.at("engine"));
    plan.layers.push_back(step.at("layers"));
  }
  return plan;
}

}  // namespace lamella::test
