// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include <lamella/shape.hpp>

/// Shapes with open extents, where Keras has None.
namespace lamella::model {

using SampleShape = std::vector<std::int64_t>;  ///< without the batch; -1: open

[[nodiscard]] inline bool is_open(const SampleShape& sample) {
  return std::find(sample.begin(), sample.end(), std::int64_t{-1}) != sample.end();
}

/// The shapes with a number instead of each open extent.
[[nodiscard]] inline std::vector<Shape> filled(std::vector<SampleShape> samples, std::int64_t with = 2) {
  std::vector<Shape> shapes;
  for (SampleShape& sample : samples) {
    std::replace(sample.begin(), sample.end(), std::int64_t{-1}, with);
    shapes.emplace_back(sample);
  }
  return shapes;
}

/// The shapes that `infer` computes, for inputs that may be open. Open extents are filled in two ways: an extent that differs
/// between the results is open too.
template <typename F>
[[nodiscard]] std::vector<std::vector<SampleShape>> infer_open_shapes(const std::vector<SampleShape>& inputs, const F& infer) {
  std::vector<std::vector<SampleShape>> result;
  for (const std::vector<Shape>& shapes : infer(filled(inputs, 2))) {
    auto& list = result.emplace_back();
    for (const Shape& shape : shapes) list.emplace_back(shape.begin(), shape.end());
  }
  if (std::none_of(inputs.begin(), inputs.end(), is_open)) return result;
  const std::vector<std::vector<Shape>> other = infer(filled(inputs, 4));
  for (std::size_t n = 0; n < std::min(result.size(), other.size()); ++n) {
    for (std::size_t i = 0; i < std::min(result[n].size(), other[n].size()); ++i) {
      SampleShape& known = result[n][i];
      const auto extents = other[n][i].extents();
      for (std::size_t axis = 0; axis < std::min(known.size(), extents.size()); ++axis)
        if (known[axis] != extents[axis]) known[axis] = -1;
    }
  }
  return result;
}

}  // namespace lamella::model
