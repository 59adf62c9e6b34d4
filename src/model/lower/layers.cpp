// SPDX-License-Identifier: Apache-2.0
// Lowers a layer, whatever its class. Shapes are those of one sample, without the batch.
#include <algorithm>

#include "core/result_type.hpp"
#include "model/axes.hpp"
#include "model/lower/lowering.hpp"

namespace lamella::model {

int Lowering::sample_axis(const std::string& path, int axis, const Shape& sample) const {
  return model::sample_axis(path, "axis", axis, sample.extents().size());
}

std::vector<int> Lowering::sample_axes(const std::string& path, std::vector<int> axes, const Shape& sample) const {
  for (int& axis : axes) axis = sample_axis(path, axis, sample);
  std::sort(axes.begin(), axes.end());
  LAMELLA_EXPECTS(std::adjacent_find(axes.begin(), axes.end()) == axes.end(), value, "layer '{}' axis: an axis is named twice",
                  core::escaped(path));
  return axes;
}

DType Lowering::compute(const core::LayerSpec& spec, const std::vector<int>& srcs) const {
  if (!spec.policy.follows_inputs || options_.dtype || srcs.empty()) return compute(spec);
  DType result = at(srcs[0]).dtype;
  for (const int src : srcs) result = core::result_type(result, at(src).dtype);
  return result;
}

int Lowering::only_input(const core::LayerSpec& spec, const std::vector<int>& srcs) const {
  LAMELLA_EXPECTS(srcs.size() == 1, argument, "layer '{}' takes one input, got {}", core::escaped(spec.path), srcs.size());
  return srcs[0];
}

int Lowering::in_compute(const core::LayerSpec& spec, const std::vector<int>& srcs) {
  static_cast<void>(floating_compute(spec));
  return cast(only_input(spec, srcs), compute(spec, srcs), spec.path);
}

void Lowering::expect_floats(const core::LayerSpec& spec, const std::vector<int>& srcs) const {
  for (const int src : srcs) {
    LAMELLA_EXPECTS(is_floating(at(src).dtype), unsupported,
                    "layer '{}' ({}): its input is {}; lamella needs a floating-point input here", core::escaped(spec.path),
                    spec.class_name, to_string(at(src).dtype));
  }
}

std::vector<int> Lowering::lowered(const core::LayerSpec& spec, const std::vector<int>& srcs) try {
  if (const auto* nested = std::get_if<core::NestedParams>(&spec.params)) return model(*nested->model, srcs);
  const auto one_value = [&](const auto& params) {
    if constexpr (std::is_same_v<std::decay_t<decltype(params)>, core::NestedParams>)
      return -1;  // as above
    else
      return lower(spec, params, srcs);
  };
  return {std::visit(one_value, spec.params)};
} catch (const ArgumentError& error) {
  // Errors about shapes do not name the layer.
  if (core::without_code(error.what()).starts_with("layer '")) throw;
  throw ArgumentError(error.code(), core::format("layer '{}': {}", core::escaped(spec.path), core::without_code(error.what())));
}

}  // namespace lamella::model
