// SPDX-License-Identifier: Apache-2.0
// Axes of one sample, counted from 0.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include <lamella/shape.hpp>

#include "core/check.hpp"

namespace lamella::model {

/// The axis of a sample for an argument of a layer, which counts the batch as axis 0 and may count from the end. Throws
/// ArgumentError: value, unsupported (the batch axis).
[[nodiscard]] inline int sample_axis(const std::string& layer, const char* argument, int axis, std::size_t sample_rank) {
  const int rank = static_cast<int>(sample_rank) + 1;
  LAMELLA_EXPECTS(axis >= -rank && axis < rank, value, "layer '{}' {}: got {}, allowed {}..{} for an input of rank {}",
                  core::escaped(layer), argument, axis, -rank, rank - 1, rank);
  const int positive = axis < 0 ? axis + rank : axis;
  LAMELLA_EXPECTS(positive != 0, unsupported, "layer '{}' {}: got {}, the batch axis; lamella computes each sample on its own",
                  core::escaped(layer), argument, axis);
  return positive - 1;
}

/// 0 .. rank - 1.
[[nodiscard]] inline std::vector<int> all_axes(const Shape& sample) {
  std::vector<int> axes(static_cast<std::size_t>(sample.rank()));
  std::iota(axes.begin(), axes.end(), 0);
  return axes;
}

/// The shape of one number that broadcasts over the sample.
[[nodiscard]] inline Shape all_ones(const Shape& sample) {
  return Shape(std::vector<std::int64_t>(static_cast<std::size_t>(sample.rank()), 1));
}

/// Whether the axes, in ascending order, are the last ones.
[[nodiscard]] inline bool is_trailing(const std::vector<int>& sorted, int rank) {
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    if (sorted[i] != rank - static_cast<int>(sorted.size() - i)) return false;
  }
  return true;
}

/// The inverse of a permutation of axes.
[[nodiscard]] inline std::vector<int> inverse(const std::vector<int>& order) {
  std::vector<int> result(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) result[static_cast<std::size_t>(order[i])] = static_cast<int>(i);
  return result;
}

/// All axes but `axes`, then `axes`.
[[nodiscard]] inline std::vector<int> moved_last(const Shape& sample, const std::vector<int>& axes) {
  std::vector<int> order;
  for (const int axis : all_axes(sample)) {
    if (std::find(axes.begin(), axes.end(), axis) == axes.end()) order.push_back(axis);
  }
  order.insert(order.end(), axes.begin(), axes.end());
  return order;
}

}  // namespace lamella::model
