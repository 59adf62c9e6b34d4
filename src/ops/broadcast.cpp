// SPDX-License-Identifier: Apache-2.0
#include "ops/broadcast.hpp"

#include <algorithm>

#include "core/check.hpp"

namespace lamella::ops {
namespace {

void multiply(std::int64_t& by, std::int64_t extent) {
  const auto product = core::checked_mul(by, extent);
  LAMELLA_EXPECTS(product, overflow, "{} x {} elements do not fit into 64 bits", by, extent);
  by = *product;
}

}  // namespace

Broadcast collapsed(const Shape& whole, const std::vector<Shape>& constants) {
  Broadcast result;
  std::vector<std::int64_t> sample;
  std::vector<std::vector<std::int64_t>> extents(constants.size());
  std::vector<bool> last;
  for (int axis = 0; axis < whole.rank(); ++axis) {
    if (whole[axis] == 1) continue;
    std::vector<bool> varies;
    for (const Shape& constant : constants) varies.push_back(constant[axis] != 1);
    const bool any = std::find(varies.begin(), varies.end(), true) != varies.end();
    if (!any && sample.empty()) {
      multiply(result.outer, whole[axis]);
    } else if (!sample.empty() && varies == last) {
      multiply(sample.back(), whole[axis]);
      for (std::size_t k = 0; k < extents.size(); ++k) extents[k].back() = varies[k] ? sample.back() : 1;
    } else {
      sample.push_back(whole[axis]);
      for (std::size_t k = 0; k < extents.size(); ++k) extents[k].push_back(varies[k] ? whole[axis] : 1);
    }
    last = varies;
  }
  result.sample = Shape(sample);
  for (const auto& e : extents) result.constants.emplace_back(e);
  return result;
}

bool broadcasts(const Shape& constant, const Shape& sample) {
  if (constant.rank() != sample.rank()) return false;
  for (int axis = 0; axis < sample.rank(); ++axis) {
    if (constant[axis] != 1 && constant[axis] != sample[axis]) return false;
  }
  return true;
}

std::array<std::int64_t, Shape::kMaxRank> constant_strides(const Shape& constant, const Shape& sample) {
  std::array<std::int64_t, Shape::kMaxRank> strides{};
  for (int axis = 0; axis < sample.rank(); ++axis) {
    if (constant[axis] != 1) strides[static_cast<std::size_t>(axis)] = constant.elements(axis + 1, constant.rank());
  }
  return strides;
}

}  // namespace lamella::ops
