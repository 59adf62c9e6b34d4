// SPDX-License-Identifier: Apache-2.0
// Layers that only move or rename elements.
#include <algorithm>

#include "model/axes.hpp"
#include "model/lower/lowering.hpp"

namespace lamella::model {

int Lowering::flatten(const core::LayerSpec& spec, const core::FlattenParams& params, int src) {
  std::vector<int> order = all_axes(at(src).sample);
  if (params.channels_first && order.size() > 1) std::rotate(order.begin(), order.begin() + 1, order.end());
  const int arranged = transposed(src, order, spec.path);
  return reshaped(arranged, Shape{at(arranged).sample.elements()});
}

int Lowering::reshape(const core::LayerSpec& spec, const core::ReshapeParams& params, int src) {
  const std::int64_t total = at(src).sample.elements();
  std::vector<std::int64_t> target = params.target;
  std::int64_t known = 1;
  for (const std::int64_t extent : target) {
    if (extent >= 0) known = core::checked_mul(known, extent).value_or(-1);
    LAMELLA_EXPECTS(known >= 0, overflow, "layer '", core::escaped(spec.path), "' target_shape does not fit into 64 bits");
  }
  for (std::int64_t& extent : target) {
    if (extent == -1) extent = known == 0 ? 0 : total / known;
  }
  const Shape result(target);
  LAMELLA_EXPECTS(result.elements() == total, shape, "layer '", core::escaped(spec.path), "' target_shape: ", to_string(result),
                  " has ", result.elements(), " elements, the input ", to_string(at(src).sample), " has ", total);
  return reshaped(src, result);
}

}  // namespace lamella::model
