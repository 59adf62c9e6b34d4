// SPDX-License-Identifier: Apache-2.0
// What lowering asks of a layer's weights.
#pragma once

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

[[nodiscard]] inline const std::shared_ptr<const Tensor>& weight(const core::LayerSpec& spec, std::string_view name) {
  for (const core::Weight& w : spec.weights) {
    if (w.name == name) return w.value;
  }
  core::throw_argument(ErrorCode::missing, core::concat("layer '", core::escaped(spec.path), "' has no weight '", name, "'"));
}

/// The same, or null when the layer is made without it.
[[nodiscard]] inline std::shared_ptr<const Tensor> weight_if(bool has, const core::LayerSpec& spec, std::string_view name) {
  return has ? weight(spec, name) : nullptr;
}

[[nodiscard]] inline std::vector<std::int64_t> extents_of(const Shape& shape) { return {shape.begin(), shape.end()}; }

inline void expect_weight(const core::LayerSpec& spec, std::string_view name, const Shape& shape) {
  const Shape found = weight(spec, name)->shape();
  LAMELLA_EXPECTS(found == shape, shape, "layer '", core::escaped(spec.path), "': ", name, " has shape ", to_string(found),
                  ", its input needs ", to_string(shape));
}

}  // namespace lamella::model
