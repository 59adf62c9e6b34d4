// SPDX-License-Identifier: Apache-2.0
// Affine layers and LayerNormalization.
#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "model/axes.hpp"
#include "model/lower/lowering.hpp"
#include "model/lower/weights.hpp"
#include "ops/broadcast.hpp"

namespace lamella::model {

int Lowering::affine(const std::string& path, int src, const Spread& scale, const Spread& offset) {
  const Value from = at(src);
  const ops::Broadcast over = ops::collapsed(from.sample, {scale.shape, offset.shape});
  const ops::AffineDesc desc{over.outer, over.sample, over.constants[0], over.constants[1], from.dtype};
  return add_step(desc, {src}, from.sample, from.dtype, path, {scale.value, offset.value});
}

std::shared_ptr<const Tensor> Lowering::constant(const core::LayerSpec& spec, Recipe recipe, DType kept,
                                                 const std::function<std::vector<double>()>& make) {
  if (pool_ == nullptr) return nullptr;
  recipe.dtype = compute(spec);
  const auto source = std::find_if(recipe.sources.begin(), recipe.sources.end(), [](const auto& s) { return s != nullptr; });
  const Shape shape = !recipe.sample.empty()           ? Shape(recipe.sample)
                      : source == recipe.sources.end() ? Shape{}
                                                       : (*source)->shape();
  return computed(recipe, [&] { return Tensor::of<double>(make(), shape).to(kept); });
}

Lowering::Spread Lowering::number(const core::LayerSpec& spec, double value, const Shape& sample) {
  const Recipe recipe{.what = Recipe::What::number, .numbers = bits_of(std::array{value})};
  return {constant(spec, recipe, wide(spec), [value] { return std::vector<double>{value}; }), all_ones(sample)};
}

int Lowering::lower(const core::LayerSpec& spec, const core::BatchNormalizationParams& params, const std::vector<int>& srcs) {
  return batch_normalization(spec, params, as_called(spec, srcs));
}

int Lowering::batch_normalization(const core::LayerSpec& spec, const core::BatchNormalizationParams& params, int src) {
  if (!is_floating(at(src).dtype)) {  // Keras computes in float32, whatever the layer's type, and casts the result
    const int result = batch_normalization(spec, params, cast(src, DType::float32, spec.path));
    return cast(result, floating_compute(spec), spec.path);
  }
  const Shape sample = at(src).sample;
  const int axis = sample_axis(spec.path, params.axis, sample);
  for (const core::Weight& w : spec.weights) expect_weight(spec, w.name, {sample[axis]});
  const auto gamma = weight_if(params.scale, spec, "gamma");
  const auto beta = weight_if(params.center, spec, "beta");
  const auto& variance = weight(spec, "moving_variance");
  const auto& mean = weight(spec, "moving_mean");
  const auto scale_of = [&] {
    std::vector<double> scale = numbers(*variance);
    const std::vector<double> g = gamma ? numbers(*gamma) : std::vector<double>(scale.size(), 1.0);
    for (std::size_t c = 0; c < scale.size(); ++c) scale[c] = g[c] / std::sqrt(scale[c] + params.epsilon);
    return rounded(scale, wide(spec));
  };
  const auto offset_of = [&] {
    const std::vector<double> scale = scale_of();
    std::vector<double> offset = numbers(*mean);
    const std::vector<double> b = beta ? numbers(*beta) : std::vector<double>(scale.size(), 0.0);
    for (std::size_t c = 0; c < scale.size(); ++c) offset[c] = b[c] - offset[c] * scale[c];
    return offset;
  };
  const std::vector<std::uint64_t> epsilon = bits_of(std::array{params.epsilon});
  const Recipe scale{.what = Recipe::What::batch_scale, .sources = {gamma, variance}, .numbers = epsilon};
  const Recipe offset{.what = Recipe::What::batch_offset, .sources = {gamma, variance, mean, beta}, .numbers = epsilon};
  const Shape shape = all_ones(sample).with(axis, sample[axis]);
  // The offset keeps all bits, because folding into a Dense may cancel most of it with a bias.
  return affine(spec.path, src, {constant(spec, scale, wide(spec), scale_of), shape},
                {constant(spec, offset, DType::float64, offset_of), shape});
}

int Lowering::normalized(const std::string& path, int src, std::vector<int> axes, ops::LayerNormalizationDesc desc,
                         const ConstantsPool::Values& constants) {
  const Shape whole = at(src).sample;
  const std::vector<int> order = is_trailing(axes, whole.rank()) ? all_axes(whole) : moved_last(whole, axes);
  const int arranged = transposed(src, order, path);
  const Shape sample = at(arranged).sample;
  const int first = sample.rank() - static_cast<int>(axes.size());
  desc.outer = sample.elements(0, first);
  desc.length = sample.elements(first, sample.rank());
  desc.dtype = at(arranged).dtype;
  return transposed(add_step(desc, {arranged}, sample, desc.dtype, path, constants), inverse(order), path);
}

int Lowering::lower(const core::LayerSpec& spec, const core::LayerNormalizationParams& params, const std::vector<int>& srcs) {
  return layer_normalization(spec, params, as_called(spec, srcs));
}

int Lowering::layer_normalization(const core::LayerSpec& spec, const core::LayerNormalizationParams& params, int src) {
  if (const DType dtype = at(src).dtype; !is_floating(dtype)) {  // Keras rounds the result to the input's type before the layer's
    const int result = cast(layer_normalization(spec, params, cast(src, DType::float32, spec.path)), dtype, spec.path);
    return cast(result, floating_compute(spec), spec.path);
  }
  const std::vector<int> axes = sample_axes(spec.path, params.axes, at(src).sample);
  ops::LayerNormalizationDesc desc{.epsilon = params.epsilon,
                                   .has_gamma = params.scale || params.rms_scaling,
                                   .has_beta = params.center && !params.rms_scaling};
  if (params.rms_scaling) desc.kind = ops::NormalizationKind::deviation;
  std::int64_t length = 1;
  for (const int axis : axes) length *= at(src).sample[axis];
  ConstantsPool::Values constants;
  for (const char* name : {"gamma", "beta"}) {
    if (!(name[0] == 'g' ? desc.has_gamma : desc.has_beta)) continue;
    LAMELLA_EXPECTS(weight(spec, name)->shape().elements() == length, shape,
                    "layer '{}': {} has shape {}, its input needs {} elements", core::escaped(spec.path), name,
                    to_string(weight(spec, name)->shape()), length);
    constants.push_back(weight(spec, name));
  }
  return normalized(spec.path, src, axes, desc, constants);
}

int Lowering::lower(const core::LayerSpec& spec, const core::RmsNormalizationParams& params, const std::vector<int>& srcs) {
  expect_floats(spec, srcs);
  const int src = in_compute(spec, srcs);
  const Shape sample = at(src).sample;
  const std::vector<int> axes = sample_axes(spec.path, params.axes, sample);
  const Shape scale = weight(spec, "scale")->shape();
  LAMELLA_EXPECTS(broadcasts(scale, sample), shape, "layer '{}': scale has shape {}, which does not broadcast to its input {}",
                  core::escaped(spec.path), to_string(scale), to_string(sample));
  const Shape rows = sample.slice(sample.rank() - static_cast<int>(axes.size()), sample.rank());
  ops::LayerNormalizationDesc desc{.epsilon = params.epsilon, .kind = ops::NormalizationKind::mean_square};
  const auto scale_to = [&](const Shape& shape) {
    const auto& values = weight(spec, "scale");
    return constant(spec, {.what = Recipe::What::broadcast, .sources = {values}, .sample = extents_of(shape)}, wide(spec),
                    [&] { return broadcast(numbers(*values), scale, shape); });
  };
  if (is_trailing(axes, sample.rank()) && scale.rank() == static_cast<int>(axes.size())) {
    desc.has_gamma = true;
    return normalized(spec.path, src, axes, desc, {scale_to(rows)});
  }
  // Keras multiplies by the scale along the last axes, whatever the axes of the mean are.
  const int result = normalized(spec.path, src, axes, desc, {});
  return affine(spec.path, result, {weight(spec, "scale"), padded(scale, sample)}, number(spec, 0.0, sample));
}

int Lowering::lower(const core::LayerSpec& spec, const core::UnitNormalizationParams& params, const std::vector<int>& srcs) {
  expect_floats(spec, srcs);
  return unit_normalization(spec.path, params.axes, params.epsilon, in_compute(spec, srcs));
}

int Lowering::unit_normalization(const std::string& path, const std::vector<int>& axes, double epsilon, int src) {
  const ops::LayerNormalizationDesc desc{.epsilon = epsilon, .kind = ops::NormalizationKind::unit};
  return normalized(path, src, sample_axes(path, axes, at(src).sample), desc, {});
}

/// Keras casts GroupNormalization's result, not its input.
int Lowering::lower(const core::LayerSpec& spec, const core::GroupNormalizationParams& params, const std::vector<int>& srcs) {
  expect_floats(spec, srcs);
  return cast(group_normalization(spec, params, only_input(spec, srcs)), compute(spec), spec.path);
}

int Lowering::group_normalization(const core::LayerSpec& spec, const core::GroupNormalizationParams& params, int src) {
  const Shape sample = at(src).sample;
  const int axis = sample_axis(spec.path, params.axis, sample);
  const std::int64_t channels = sample[axis];
  const std::int64_t groups = params.groups == -1 ? channels : params.groups;
  LAMELLA_EXPECTS(groups > 0 && channels % groups == 0, shape,
                  "layer '{}' groups: got {}, which do not divide the {} channels of its input", core::escaped(spec.path),
                  params.groups, channels);
  for (const core::Weight& w : spec.weights) expect_weight(spec, w.name, {channels});
  std::vector<std::int64_t> extents(sample.begin(), sample.end());
  extents[static_cast<std::size_t>(axis)] = groups;
  extents.insert(extents.begin() + axis + 1, channels / groups);
  const int split = reshaped(src, Shape(extents));
  std::vector<int> within = all_axes(at(split).sample);
  within.erase(within.begin() + axis);
  const int result = reshaped(normalized(spec.path, split, within, {.epsilon = params.epsilon}, {}), sample);
  if (!params.scale && !params.center) return result;
  const Shape shape = all_ones(sample).with(axis, channels);
  return affine(spec.path, result, params.scale ? Spread{weight(spec, "gamma"), shape} : number(spec, 1.0, sample),
                params.center ? Spread{weight(spec, "beta"), shape} : number(spec, 0.0, sample));
}

int Lowering::lower(const core::LayerSpec& spec, const core::RescalingParams& params, const std::vector<int>& srcs) {
  const int src = in_compute(spec, srcs);
  const Shape sample = at(src).sample;
  // Cast as in Keras: to the layer's compute type.
  const auto spread = [&](const char* name, const std::shared_ptr<const Tensor>& value) {
    const Shape shape = value->shape();
    const bool with_batch = shape.rank() == sample.rank() + 1 && shape[0] == 1;
    const Shape over = with_batch ? shape.slice(1, shape.rank()) : shape;
    const bool fits = broadcasts(over, sample);
    LAMELLA_EXPECTS(fits, shape,
                    "layer '{}' {}: has shape {}, which does not broadcast over the axes of its input {} (without the batch)",
                    core::escaped(spec.path), name, to_string(shape), to_string(sample));
    return Spread{constant(spec, {.what = Recipe::What::rounded, .sources = {value}}, wide(spec),
                           [&] { return numbers(value->to(compute(spec))); }),
                  padded(over, sample)};
  };
  return affine(spec.path, src, spread("scale", params.scale), spread("offset", params.offset));
}

namespace {

/// The shape with which statistics broadcast over the sample: their axes are the last of `kept`, as in Keras, or they have as
/// many elements and only a different shape.
std::optional<Shape> spread_over(const Shape& statistics, const Shape& sample, const std::vector<int>& kept) {
  Shape result = all_ones(sample);
  if (statistics.rank() <= static_cast<int>(kept.size())) {
    for (int i = 1; i <= statistics.rank(); ++i)
      result = result.with(kept[kept.size() - static_cast<std::size_t>(i)], statistics[-i]);
    if (ops::broadcasts(result, sample)) return result;
  }
  for (const int axis : kept) result = result.with(axis, sample[axis]);
  return result.elements() == statistics.elements() ? std::optional(result) : std::nullopt;
}

}  // namespace

int Lowering::lower(const core::LayerSpec& spec, const core::NormalizationParams& params, const std::vector<int>& srcs) {
  const int src = in_compute(spec, srcs);
  const Shape sample = at(src).sample;
  std::vector<int> axes = params.axes;
  for (int& axis : axes) axis = sample_axis(spec.path, axis, sample);
  std::sort(axes.begin(), axes.end());
  axes.erase(std::unique(axes.begin(), axes.end()), axes.end());  // as Keras does, if it does not fail
  // As Keras casts them: to the type that the layer computes in.
  const DType dtype = compute(spec);
  using Values = std::vector<double>;
  const auto spread = [&](Recipe::What what, const char* name, const std::function<Values(Values)>& of) {
    const std::shared_ptr<const Tensor>& statistics = weight(spec, name);
    const auto shape = spread_over(statistics->shape(), sample, axes);
    LAMELLA_EXPECTS(shape, shape,
                    "layer '{}': {} has shape {}, which does not broadcast over the {} axes that it is for, of its input {} "
                    "(without the batch)",
                    core::escaped(spec.path), name, to_string(statistics->shape()), axes.size(), to_string(sample));
    const Recipe recipe{.what = what, .sources = {statistics}};
    return Spread{constant(spec, recipe, wide(spec), [&] { return of(numbers(statistics->to(dtype))); }), *shape};
  };
  const auto deviations = [dtype](Values v) {
    for (double& variance : v) variance = std::max(std::sqrt(variance), 1e-7);
    return rounded(v, dtype);
  };
  using What = Recipe::What;
  if (params.invert) {
    return affine(spec.path, src, spread(What::deviation, "variance", deviations),
                  spread(What::rounded, "mean", [](Values v) { return v; }));
  }
  // Two steps, so that the mean is subtracted before anything is rounded, as Keras does.
  const Spread minus_mean = spread(What::minus_mean, "mean", [](Values v) {
    for (double& mean : v) mean = -mean;
    return v;
  });
  const Spread reciprocal = spread(What::reciprocal, "variance", [&](Values v) {
    v = deviations(std::move(v));
    for (double& deviation : v) deviation = 1.0 / deviation;
    return v;
  });
  const int centred = affine(spec.path, src, number(spec, 1.0, sample), minus_mean);
  return affine(spec.path, centred, reciprocal, number(spec, 0.0, sample));
}

}  // namespace lamella::model
