// SPDX-License-Identifier: Apache-2.0
// Affine layers and LayerNormalization.
#include <algorithm>
#include <array>
#include <cmath>

#include "model/axes.hpp"
#include "model/lower/lowering.hpp"
#include "model/lower/weights.hpp"

namespace lamella::model {

namespace {

/// The extents, and which of them are among `axes`: all that spreading statistics depends on.
std::vector<std::int64_t> by_axes(const Shape& sample, const std::vector<int>& axes) {
  std::vector<std::int64_t> result = extents_of(sample);
  result.insert(result.end(), axes.begin(), axes.end());
  return result;
}

}  // namespace

int Lowering::affine(const std::string& path, int src, std::int64_t channels, std::int64_t inner,
                     const ConstantsPool::Values& constants) {
  const Value from = at(src);
  const std::int64_t row = channels * inner;
  const ops::AffineDesc desc{row == 0 ? 0 : from.sample.elements() / row, channels, inner, from.dtype};
  return add_step(desc, {src}, from.sample, from.dtype, path, constants);
}

int Lowering::batch_normalization(const core::LayerSpec& spec, const core::BatchNormalizationParams& params, int src) {
  const Shape sample = at(src).sample;
  const int axis = sample_axis(spec.path, params.axis, sample);
  for (const core::Weight& w : spec.weights) expect_weight(spec, w.name, {sample[axis]});
  const auto scale_of = [&] {
    std::vector<double> scale = numbers(*weight(spec, "moving_variance"));
    const std::vector<double> gamma = params.scale ? numbers(*weight(spec, "gamma")) : std::vector<double>(scale.size(), 1.0);
    for (std::size_t c = 0; c < scale.size(); ++c) scale[c] = gamma[c] / std::sqrt(scale[c] + params.epsilon);
    return scale;
  };
  const auto offset_of = [&] {
    const std::vector<double> scale = scale_of();
    std::vector<double> offset = numbers(*weight(spec, "moving_mean"));
    const std::vector<double> beta = params.center ? numbers(*weight(spec, "beta")) : std::vector<double>(scale.size(), 0.0);
    for (std::size_t c = 0; c < scale.size(); ++c) offset[c] = beta[c] - offset[c] * scale[c];
    return offset;
  };
  const auto gamma = weight_if(params.scale, spec, "gamma");
  const auto beta = weight_if(params.center, spec, "beta");
  const auto& variance = weight(spec, "moving_variance");
  const std::vector<std::uint64_t> epsilon = bits_of(std::array{params.epsilon});
  const Recipe scale{.what = Recipe::What::batch_scale, .sources = {gamma, variance}, .numbers = epsilon};
  const Recipe offset{
      .what = Recipe::What::batch_offset, .sources = {gamma, variance, weight(spec, "moving_mean"), beta}, .numbers = epsilon};
  return affine(spec.path, src, sample[axis], sample.elements(axis + 1, sample.rank()),
                {constant(spec, scale, scale_of), constant(spec, offset, offset_of)});
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

int Lowering::layer_normalization(const core::LayerSpec& spec, const core::LayerNormalizationParams& params, int src) {
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
    LAMELLA_EXPECTS(weight(spec, name)->shape().elements() == length, shape, "layer '", core::escaped(spec.path), "': ", name,
                    " has shape ", to_string(weight(spec, name)->shape()), ", its input needs ", length, " elements");
    constants.push_back(weight(spec, name));
  }
  return normalized(spec.path, src, axes, desc, constants);
}

int Lowering::rms_normalization(const core::LayerSpec& spec, const core::RmsNormalizationParams& params, int src) {
  const Shape sample = at(src).sample;
  const std::vector<int> axes = sample_axes(spec.path, params.axes, sample);
  const Shape scale = weight(spec, "scale")->shape();
  LAMELLA_EXPECTS(broadcasts(scale, sample), shape, "layer '", core::escaped(spec.path), "': scale has shape ", to_string(scale),
                  ", which does not broadcast to its input ", to_string(sample));
  const Shape rows = sample.slice(sample.rank() - static_cast<int>(axes.size()), sample.rank());
  ops::LayerNormalizationDesc desc{.epsilon = params.epsilon, .kind = ops::NormalizationKind::mean_square};
  const auto scale_to = [&](const Shape& shape) {
    const auto& values = weight(spec, "scale");
    return constant(spec, {.what = Recipe::What::broadcast, .sources = {values}, .sample = extents_of(shape)},
                    [&] { return broadcast(numbers(*values), scale, shape); });
  };
  if (is_trailing(axes, sample.rank()) && scale.rank() == static_cast<int>(axes.size())) {
    desc.has_gamma = true;
    return normalized(spec.path, src, axes, desc, {scale_to(rows)});
  }
  // Keras multiplies by the scale as it is, which stands along the last axes whatever the axes of the mean are.
  const int result = normalized(spec.path, src, axes, desc, {});
  return affine(spec.path, result, sample.elements(), 1, {scale_to(sample), filled(spec, 0.0, sample.elements())});
}

int Lowering::unit_normalization(const std::string& path, const std::vector<int>& axes, double epsilon, int src) {
  const ops::LayerNormalizationDesc desc{.epsilon = epsilon, .kind = ops::NormalizationKind::unit};
  return normalized(path, src, sample_axes(path, axes, at(src).sample), desc, {});
}

int Lowering::group_normalization(const core::LayerSpec& spec, const core::GroupNormalizationParams& params, int src) {
  const Shape sample = at(src).sample;
  const int axis = sample_axis(spec.path, params.axis, sample);
  const std::int64_t channels = sample[axis];
  const std::int64_t groups = params.groups == -1 ? channels : params.groups;
  LAMELLA_EXPECTS(groups > 0 && channels % groups == 0, shape, "layer '", core::escaped(spec.path), "' groups: got ",
                  params.groups, ", which do not divide the ", channels, " channels of its input");
  for (const core::Weight& w : spec.weights) expect_weight(spec, w.name, {channels});
  std::vector<std::int64_t> extents(sample.begin(), sample.end());
  extents[static_cast<std::size_t>(axis)] = groups;
  extents.insert(extents.begin() + axis + 1, channels / groups);
  const int split = reshaped(src, Shape(extents));
  std::vector<int> within = all_axes(at(split).sample);
  within.erase(within.begin() + axis);
  const int result = reshaped(normalized(spec.path, split, within, {.epsilon = params.epsilon}, {}), sample);
  if (!params.scale && !params.center) return result;
  return affine(spec.path, result, channels, sample.elements(axis + 1, sample.rank()),
                {params.scale ? weight(spec, "gamma") : filled(spec, 1.0, channels),
                 params.center ? weight(spec, "beta") : filled(spec, 0.0, channels)});
}

int Lowering::rescaling(const core::LayerSpec& spec, const core::RescalingParams& params, int src) {
  const Shape sample = at(src).sample;
  const std::size_t channels = std::max(params.scale.size(), params.offset.size());
  LAMELLA_EXPECTS(channels == 1 || (sample.rank() >= 1 && static_cast<std::int64_t>(channels) == sample.back()), shape, "layer '",
                  core::escaped(spec.path), "': ", channels, " scales or offsets, the last axis of its input ", to_string(sample),
                  " needs 1 or as many");
  for (const std::size_t size : {params.scale.size(), params.offset.size()}) {
    LAMELLA_EXPECTS(size == 1 || size == channels, shape, "layer '", core::escaped(spec.path), "': ", params.scale.size(),
                    " scales and ", params.offset.size(), " offsets do not broadcast together");
  }
  const auto widened = [&](const std::vector<double>& values) {
    return [&values, channels] { return values.size() == channels ? values : std::vector<double>(channels, values.at(0)); };
  };
  const auto given = [channels](const std::vector<double>& values) {
    return Recipe{.what = Recipe::What::given, .numbers = bits_of(values), .sample = {static_cast<std::int64_t>(channels)}};
  };
  const std::int64_t inner = channels == 1 ? sample.elements() : 1;
  return affine(
      spec.path, src, static_cast<std::int64_t>(channels), inner,
      {constant(spec, given(params.scale), widened(params.scale)), constant(spec, given(params.offset), widened(params.offset))});
}

int Lowering::normalization(const core::LayerSpec& spec, const core::NormalizationParams& params, int src) {
  const Shape sample = at(src).sample;
  const std::vector<int> axes = sample_axes(spec.path, params.axes, sample);
  // Statistics are indexed by the kept axes; spread them over the axes from the first kept one on.
  const int first = axes.empty() ? sample.rank() : axes.front();
  const bool trailing = axes.empty() || is_trailing(axes, sample.rank());
  std::int64_t kept = 1;
  for (const int axis : axes) kept *= sample[axis];
  for (const char* name : {"mean", "variance"}) {
    LAMELLA_EXPECTS(weight(spec, name)->shape().elements() == kept, shape, "layer '", core::escaped(spec.path), "': ", name,
                    " has ", weight(spec, name)->shape().elements(), " elements, its input needs ", kept);
  }
  const std::int64_t channels = trailing ? kept : sample.elements(first, sample.rank());
  const auto spread = [&](const std::vector<double>& values) {
    if (trailing) return values;
    std::vector<double> result(static_cast<std::size_t>(channels));
    for (std::int64_t i = 0; i < channels; ++i) {
      std::int64_t rest = i;
      std::int64_t from = 0;
      std::int64_t stride = 1;
      for (int axis = sample.rank() - 1; axis >= first; --axis) {
        if (std::find(axes.begin(), axes.end(), axis) != axes.end()) {
          from += (rest % sample[axis]) * stride;
          stride *= sample[axis];
        }
        rest /= sample[axis];
      }
      result[static_cast<std::size_t>(i)] = values[static_cast<std::size_t>(from)];
    }
    return result;
  };
  const auto deviation = [&] {
    std::vector<double> result = numbers(*weight(spec, "variance"));
    for (double& v : result) v = std::max(std::sqrt(v), 1e-7);
    return result;
  };
  const auto mapped = [&](std::vector<double> values, auto f) {
    for (double& v : values) v = f(v);
    return spread(values);
  };
  using What = Recipe::What;
  const auto make = [&](What what, const char* name, const std::function<std::vector<double>()>& f) {
    const std::vector<std::int64_t> spread_over = trailing ? std::vector<std::int64_t>{} : by_axes(sample, axes);
    return constant(spec, {.what = what, .sources = {weight(spec, name)}, .sample = spread_over}, f);
  };
  const auto mean = make(What::mean, "mean", [&] { return spread(numbers(*weight(spec, "mean"))); });
  const std::int64_t inner = axes.empty() ? sample.elements() : 1;
  if (params.invert) {
    const auto scale = make(What::deviation, "variance", [&] { return spread(deviation()); });
    return affine(spec.path, src, channels, inner, {scale, mean});
  }
  // Two steps, so that the mean is subtracted before anything is rounded, as Keras does.
  const auto ones = filled(spec, 1.0, channels);
  const auto zeros = filled(spec, 0.0, channels);
  const auto minus_mean =
      make(What::minus_mean, "mean", [&] { return mapped(numbers(*weight(spec, "mean")), [](double v) { return -v; }); });
  const auto reciprocal =
      make(What::reciprocal, "variance", [&] { return mapped(deviation(), [](double v) { return 1.0 / v; }); });
  const int centred = affine(spec.path, src, channels, inner, {ones, minus_mean});
  return affine(spec.path, centred, channels, inner, {reciprocal, zeros});
}

}  // namespace lamella::model
