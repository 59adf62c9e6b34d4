// SPDX-License-Identifier: Apache-2.0
// Access to a layer's weights for lowering.
#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

#include "core/check.hpp"
#include "core/spec.hpp"

namespace lamella::model {

/// The elements of a floating tensor as double.
[[nodiscard]] inline std::vector<double> numbers(const Tensor& tensor) {
  const Tensor wide = tensor.to(DType::float64);
  const auto span = wide.span<double>();
  return {span.begin(), span.end()};
}

/// Each rounded to `dtype`.
[[nodiscard]] inline std::vector<double> rounded(const std::vector<double>& values, DType dtype) {
  return numbers(Tensor::of<double>(values, Shape{values.size()}).to(dtype));
}

/// `number` as the dtype holds it.
[[nodiscard]] inline double rounded(double number, DType dtype) { return rounded(std::vector<double>{number}, dtype)[0]; }

[[nodiscard]] inline const std::shared_ptr<const Tensor>& weight(const core::LayerSpec& spec, std::string_view name) {
  for (const core::Weight& w : spec.weights) {
    if (w.name == name) return w.value;
  }
  core::throw_argument(ErrorCode::missing, core::format("layer '{}' has no weight '{}'", core::escaped(spec.path), name));
}

/// The same, or null if the layer does not have it.
[[nodiscard]] inline std::shared_ptr<const Tensor> weight_if(bool has, const core::LayerSpec& spec, std::string_view name) {
  return has ? weight(spec, name) : nullptr;
}

[[nodiscard]] inline std::vector<std::int64_t> extents_of(const Shape& shape) { return {shape.begin(), shape.end()}; }

/// `values` of shape `from` repeated to shape `to`, as numpy does: last axes are aligned, extents of 1 are repeated.
[[nodiscard]] inline std::vector<double> broadcast(const std::vector<double>& values, const Shape& from, const Shape& to) {
  std::vector<double> result(static_cast<std::size_t>(to.elements()));
  for (std::size_t i = 0; i < result.size(); ++i) {
    auto rest = static_cast<std::int64_t>(i);
    std::int64_t at = 0;
    std::int64_t stride = 1;
    for (int back = 1; back <= from.rank(); ++back) {
      const std::int64_t extent = from[from.rank() - back];
      if (extent != 1) at += rest % to[to.rank() - back] * stride;
      rest /= to[to.rank() - back];
      stride *= extent;
    }
    result[i] = values[static_cast<std::size_t>(at)];
  }
  return result;
}

/// Whether broadcast() accepts these shapes.
[[nodiscard]] inline bool broadcasts(const Shape& from, const Shape& to) {
  bool fits = from.rank() <= to.rank();
  for (int back = 1; fits && back <= from.rank(); ++back) {
    const std::int64_t extent = from[from.rank() - back];
    fits = extent == 1 || extent == to[to.rank() - back];
  }
  return fits;
}

/// A shape that broadcasts to the sample's, with as many axes.
[[nodiscard]] inline Shape padded(const Shape& shape, const Shape& sample) {
  std::vector<std::int64_t> extents(static_cast<std::size_t>(sample.rank() - shape.rank()), 1);
  extents.insert(extents.end(), shape.begin(), shape.end());
  return Shape(extents);
}

[[nodiscard]] inline bool has_weight(const core::LayerSpec& spec, std::string_view name) {
  return std::any_of(spec.weights.begin(), spec.weights.end(), [&](const core::Weight& w) { return w.name == name; });
}

inline void expect_weight(const core::LayerSpec& spec, std::string_view name, const Shape& shape) {
  const Shape found = weight(spec, name)->shape();
  LAMELLA_EXPECTS(found == shape, shape, "layer '{}': {} has shape {}, its input needs {}", core::escaped(spec.path), name,
                  to_string(found), to_string(shape));
}

}  // namespace lamella::model
