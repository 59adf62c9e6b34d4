// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <lamella/tensor.hpp>

#include "model/rows.hpp"

/// Checks of the arguments of calls.
namespace lamella::model {

/// The arrays of a predict() call: inputs in the model's shapes and dtypes, outputs allocated.
struct HostArrays {
  std::shared_ptr<const Graph> graph;
  std::vector<Source> sources;
  std::vector<Target> targets;
  std::vector<Tensor> converted;  ///< owns the inputs that were converted to another dtype
  std::vector<Tensor> outputs;
  std::int64_t rows = 0;

  [[nodiscard]] Call call(const std::stop_token& stop) const {
    return {.graph = graph, .arrays = {sources, targets}, .rows = rows, .is_host = true, .stop = &stop};
  }
};

/// The shape of x as the model takes it: `wanted`, -1 for any extent, after the batch. Like Keras, accepts a rank that is off by
/// one if the last extent is 1. Throws ArgumentError (shape) that names the input.
[[nodiscard]] Shape accepted(const Shape& x, const std::vector<std::int64_t>& wanted, const std::string& input);
/// "'a', 'b'", escaped.
[[nodiscard]] std::string listed(const std::vector<std::string>& names);
[[nodiscard]] bool overlap(const TensorView& a, const TensorView& b);

}  // namespace lamella::model
