// SPDX-License-Identifier: Apache-2.0
// One function a kind of layer. Shapes here are those of one sample; the batch goes in front.
#include <algorithm>
#include <cmath>

#include "model/axes.hpp"
#include "model/lower.hpp"

namespace lamella::model {
namespace {

/// The elements of a floating tensor as double.
std::vector<double> numbers(const Tensor& tensor) {
  const Tensor wide = tensor.to(DType::float64);
  const auto span = wide.span<double>();
  return {span.begin(), span.end()};
}

const std::shared_ptr<const Tensor>& weight(const core::LayerSpec& spec, std::string_view name) {
  for (const core::Weight& w : spec.weights) {
    if (w.name == name) return w.value;
  }
  core::throw_argument(ErrorCode::missing, core::concat("layer '", core::escaped(spec.path), "' has no weight '", name, "'"));
}

void expect_weight(const core::LayerSpec& spec, std::string_view name, const Shape& shape) {
  const Shape found = weight(spec, name)->shape();
  LAMELLA_EXPECTS(found == shape, shape, "layer '", core::escaped(spec.path), "': ", name, " has shape ", to_string(found),
                  ", its input needs ", to_string(shape));
}

}  // namespace

int Lowering::sample_axis(const std::string& path, int axis, const Shape& sample) const {
  const int full_rank = sample.rank() + 1;
  LAMELLA_EXPECTS(axis >= -full_rank && axis < full_rank, value, "layer '", core::escaped(path), "' axis: got ", axis,
                  ", allowed ", -full_rank, "..", full_rank - 1, " for input of shape (None, ...) and rank ", full_rank);
  const int positive = axis < 0 ? axis + full_rank : axis;
  LAMELLA_EXPECTS(positive != 0, unsupported, "layer '", core::escaped(path), "' axis: got ", axis,
                  ", the batch axis; lamella computes each sample on its own");
  return positive - 1;
}

std::shared_ptr<const Tensor> Lowering::constant(const core::LayerSpec& spec, std::string_view what,
                                                 const std::function<std::vector<double>()>& make) {
  const DType dtype = compute(spec) == DType::float64 ? DType::float64 : DType::float32;
  std::string key = core::concat(what, "/", name(dtype), "/", spec.path);
  for (const core::Weight& w : spec.weights) key += core::concat("/", static_cast<const void*>(w.value.get()));
  return pool_.computed(key, [&] {
    const std::vector<double> values = make();
    return Tensor::of<double>(values, Shape{static_cast<std::int64_t>(values.size())}).to(dtype);
  });
}

std::vector<int> Lowering::layer(const core::LayerSpec& spec, const std::vector<int>& srcs) {
  const std::string& path = spec.path;
  const auto one = [&] {
    LAMELLA_EXPECTS(srcs.size() == 1, argument, "layer '", core::escaped(path), "' takes one input, got ", srcs.size());
    return srcs[0];
  };
  // Floating-point work happens in the layer's compute type; layers that only move data keep theirs.
  const auto in_compute = [&] { return cast(one(), compute(spec), path); };
  return std::visit(
      [&](const auto& params) -> std::vector<int> {
        using P = std::decay_t<decltype(params)>;
        if constexpr (std::is_same_v<P, core::InputParams>) return {one()};
        if constexpr (std::is_same_v<P, core::DenseParams>) return {dense(spec, params, in_compute())};
        if constexpr (std::is_same_v<P, core::ActivationParams>)
          return {activation(path, params.activation, params.axes, in_compute())};
        if constexpr (std::is_same_v<P, core::PReluParams>) return {prelu(spec, in_compute())};
        if constexpr (std::is_same_v<P, core::IdentityParams>) return {in_compute()};
        if constexpr (std::is_same_v<P, core::FlattenParams>) return {flatten(spec, params, in_compute())};
        if constexpr (std::is_same_v<P, core::ReshapeParams>) return {reshape(spec, params, in_compute())};
        if constexpr (std::is_same_v<P, core::BatchNormalizationParams>) return {batch_normalization(spec, params, in_compute())};
        if constexpr (std::is_same_v<P, core::LayerNormalizationParams>) return {layer_normalization(spec, params, in_compute())};
        if constexpr (std::is_same_v<P, core::RescalingParams>) return {rescaling(spec, params, in_compute())};
        if constexpr (std::is_same_v<P, core::NormalizationParams>) return {normalization(spec, params, in_compute())};
        if constexpr (std::is_same_v<P, core::MergeParams>) return {merge(spec, params, srcs)};
        if constexpr (std::is_same_v<P, core::ConcatenateParams>) return {concatenate(spec, params, srcs)};
        if constexpr (std::is_same_v<P, core::NestedParams>) return model(*params.model, srcs);
      },
      spec.params);
}

int Lowering::dense(const core::LayerSpec& spec, const core::DenseParams& params, int src) {
  const Shape sample = at(src).sample;
  LAMELLA_EXPECTS(sample.rank() >= 1, shape, "layer '", core::escaped(spec.path), "': expected min_ndim=2, found ndim=1");
  const std::int64_t inputs = sample.back();
  expect_weight(spec, "kernel", {inputs, params.units});
  ConstantsPool::Values constants{weight(spec, "kernel")};
  if (params.use_bias) {
    expect_weight(spec, "bias", {params.units});
    constants.push_back(weight(spec, "bias"));
  }
  const DType dtype = compute(spec);
  const ops::DenseDesc desc{.batch = sample.elements(0, sample.rank() - 1),
                            .inputs = inputs,
                            .units = params.units,
                            .has_bias = params.use_bias,
                            .activation = {},
                            .dtype = dtype,
                            .math = options_.math,
                            .fusion = options_.fusion,
                            .determinism = options_.determinism};
  int result = add_step(desc, {src}, sample.with(-1, params.units), dtype, spec.path, constants);
  if (params.activation_layer) return layer(*params.activation_layer, {result}).at(0);
  return activation(spec.path, params.activation, {}, result);
}

int Lowering::activation(const std::string& path, const ActivationSpec& spec, const std::vector<int>& axes, int src) {
  const Value from = at(src);
  if (is_rowwise(spec.kind)) return rowwise(path, spec.kind, axes.empty() ? std::vector<int>{spec.axis} : axes, src);
  if (spec.kind == ActivationKind::Linear) return src;
  return add_step(ops::ActivationDesc{from.sample.elements(), spec, from.dtype}, {src}, from.sample, from.dtype, path);
}

int Lowering::rowwise(const std::string& path, ActivationKind kind, std::vector<int> axes, int src) {
  const Shape whole = at(src).sample;
  for (int& axis : axes) axis = sample_axis(path, axis, whole);
  std::sort(axes.begin(), axes.end());
  LAMELLA_EXPECTS(std::adjacent_find(axes.begin(), axes.end()) == axes.end(), value, "layer '", core::escaped(path),
                  "' axis: an axis is named twice");
  const bool adjacent = axes.back() - axes.front() + 1 == static_cast<int>(axes.size());
  const std::vector<int> order = adjacent ? all_axes(whole) : moved_last(whole, axes);
  const int arranged = transposed(src, order, path);
  const Shape sample = at(arranged).sample;
  const int first = adjacent ? axes.front() : sample.rank() - static_cast<int>(axes.size());
  const int last = first + static_cast<int>(axes.size());
  const DType dtype = at(arranged).dtype;
  const ops::RowwiseDesc desc{kind, sample.elements(0, first), sample.elements(first, last), sample.elements(last, sample.rank()),
                              dtype};
  Shape result = sample;
  if (kind == ActivationKind::Glu) {
    LAMELLA_EXPECTS(desc.length % 2 == 0, shape, "layer '", core::escaped(path), "': glu needs an even extent, axis ", first + 1,
                    " has ", desc.length);
    result = sample.with(first, sample[first] / 2);
  }
  return transposed(add_step(desc, {arranged}, result, dtype, path), inverse(order), path);
}

int Lowering::prelu(const core::LayerSpec& spec, int src) {
  const Shape sample = at(src).sample;
  const std::shared_ptr<const Tensor>& alpha = weight(spec, "alpha");
  const Shape shape = alpha->shape();
  bool fits = shape.rank() == sample.rank();
  for (int axis = 0; fits && axis < shape.rank(); ++axis) fits = shape[axis] == sample[axis] || shape[axis] == 1;
  LAMELLA_EXPECTS(fits, shape, "layer '", core::escaped(spec.path), "': alpha has shape ", to_string(shape), ", its input needs ",
                  to_string(sample), " or 1 where shared");
  const auto expanded = constant(spec, core::concat("alpha", to_string(sample)), [&] {
    const std::vector<double> values = numbers(*alpha);
    std::vector<double> result(static_cast<std::size_t>(sample.elements()));
    for (std::size_t i = 0; i < result.size(); ++i) {
      std::int64_t rest = static_cast<std::int64_t>(i);
      std::int64_t from = 0;
      std::int64_t stride = 1;
      for (int axis = sample.rank() - 1; axis >= 0; --axis) {
        if (shape[axis] != 1) from += (rest % sample[axis]) * stride;
        rest /= sample[axis];
        stride *= shape[axis];
      }
      result[i] = values[static_cast<std::size_t>(from)];
    }
    return result;
  });
  const DType dtype = at(src).dtype;
  return add_step(ops::PReluDesc{1, sample.elements(), dtype}, {src}, sample, dtype, spec.path, {expanded});
}

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
  return affine(spec.path, src, sample[axis], sample.elements(axis + 1, sample.rank()),
                {constant(spec, "scale", scale_of), constant(spec, "offset", offset_of)});
}

int Lowering::layer_normalization(const core::LayerSpec& spec, const core::LayerNormalizationParams& params, int src) {
  const Shape whole = at(src).sample;
  std::vector<int> axes = params.axes;
  for (int& axis : axes) axis = sample_axis(spec.path, axis, whole);
  std::sort(axes.begin(), axes.end());
  const std::vector<int> order = is_trailing(axes, whole.rank()) ? all_axes(whole) : moved_last(whole, axes);
  const int arranged = transposed(src, order, spec.path);
  const Shape sample = at(arranged).sample;
  const int first = sample.rank() - static_cast<int>(axes.size());
  const DType dtype = at(arranged).dtype;
  ops::LayerNormalizationDesc desc{sample.elements(0, first),
                                   sample.elements(first, sample.rank()),
                                   params.epsilon,
                                   params.scale || params.rms_scaling,
                                   params.center && !params.rms_scaling,
                                   params.rms_scaling,
                                   dtype};
  ConstantsPool::Values constants;
  for (const char* name : {"gamma", "beta"}) {
    if (!(name[0] == 'g' ? desc.has_gamma : desc.has_beta)) continue;
    LAMELLA_EXPECTS(weight(spec, name)->shape().elements() == desc.length, shape, "layer '", core::escaped(spec.path),
                    "': ", name, " has shape ", to_string(weight(spec, name)->shape()), ", its input needs ", desc.length,
                    " elements");
    constants.push_back(constant(spec, name, [&] { return numbers(*weight(spec, name)); }));
  }
  return transposed(add_step(desc, {arranged}, sample, dtype, spec.path, constants), inverse(order), spec.path);
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
  const std::int64_t inner = channels == 1 ? sample.elements() : 1;
  return affine(spec.path, src, static_cast<std::int64_t>(channels), inner,
                {constant(spec, "scale", widened(params.scale)), constant(spec, "offset", widened(params.offset))});
}

int Lowering::normalization(const core::LayerSpec& spec, const core::NormalizationParams& params, int src) {
  const Shape sample = at(src).sample;
  std::vector<int> axes = params.axes;
  for (int& axis : axes) axis = sample_axis(spec.path, axis, sample);
  std::sort(axes.begin(), axes.end());
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
  const std::string shape = to_string(sample);
  const auto make = [&](const char* what, const std::function<std::vector<double>()>& f) {
    return constant(spec, core::concat(what, shape), f);
  };
  const auto mean = make("mean", [&] { return spread(numbers(*weight(spec, "mean"))); });
  const std::int64_t inner = axes.empty() ? sample.elements() : 1;
  if (params.invert)
    return affine(spec.path, src, channels, inner, {make("deviation", [&] { return spread(deviation()); }), mean});
  // Two steps, so that the mean is subtracted before anything is rounded, as Keras does.
  const auto ones = make("ones", [&] { return std::vector<double>(static_cast<std::size_t>(channels), 1.0); });
  const auto zeros = make("zeros", [&] { return std::vector<double>(static_cast<std::size_t>(channels), 0.0); });
  const auto minus_mean = make("minus_mean", [&] { return mapped(numbers(*weight(spec, "mean")), [](double v) { return -v; }); });
  const auto reciprocal = make("reciprocal", [&] { return mapped(deviation(), [](double v) { return 1.0 / v; }); });
  const int centred = affine(spec.path, src, channels, inner, {ones, minus_mean});
  return affine(spec.path, centred, channels, inner, {reciprocal, zeros});
}

int Lowering::merge(const core::LayerSpec& spec, const core::MergeParams& params, const std::vector<int>& srcs) {
  LAMELLA_EXPECTS(srcs.size() >= 2 && (params.kind != core::MergeKind::subtract || srcs.size() == 2), argument, "layer '",
                  core::escaped(spec.path), "' (", spec.class_name, ") takes ",
                  params.kind == core::MergeKind::subtract ? "exactly" : "at least", " 2 inputs, got ", srcs.size());
  const DType dtype = compute(spec);
  std::vector<int> values;
  int rank = 0;
  for (const int src : srcs) {
    values.push_back(cast(src, dtype, spec.path));
    rank = std::max(rank, at(src).sample.rank());
  }
  ops::CombineDesc desc{static_cast<ops::CombineKind>(params.kind), {}, {}, dtype};
  std::vector<std::int64_t> result(static_cast<std::size_t>(rank), 1);
  for (const int value : values) {
    // Keras puts missing axes behind the batch axis, which is numpy's rule for the sample.
    const auto extents = at(value).sample.extents();
    std::vector<std::int64_t> padded(static_cast<std::size_t>(rank) - extents.size(), 1);
    padded.insert(padded.end(), extents.begin(), extents.end());
    for (std::size_t i = 0; i < padded.size(); ++i) {
      LAMELLA_EXPECTS(padded[i] == result[i] || padded[i] == 1 || result[i] == 1, shape, "layer '", core::escaped(spec.path),
                      "': inputs cannot be broadcast together: axis ", i + 1, " has extents ", result[i], " and ", padded[i]);
      if (result[i] == 1) result[i] = padded[i];
    }
    desc.srcs.push_back(Shape(padded).prepended(1));
  }
  const Shape sample(result);
  desc.dst = sample.prepended(1);
  return add_step(desc, values, sample, dtype, spec.path);
}

int Lowering::concatenate(const core::LayerSpec& spec, const core::ConcatenateParams& params, const std::vector<int>& srcs) {
  LAMELLA_EXPECTS(!srcs.empty(), argument, "layer '", core::escaped(spec.path), "' takes at least one input");
  const DType dtype = compute(spec);
  const Shape first = at(srcs[0]).sample;
  const int axis = sample_axis(spec.path, params.axis, first);
  const std::int64_t inner = first.elements(axis + 1, first.rank());
  ops::ConcatDesc desc{first.elements(0, axis), {}, dtype};
  std::vector<int> values;
  std::int64_t total = 0;
  for (const int src : srcs) {
    const Shape sample = at(src).sample;
    LAMELLA_EXPECTS(sample.rank() == first.rank() && sample.with(axis, 0) == first.with(axis, 0), shape, "layer '",
                    core::escaped(spec.path), "': inputs of shapes ", to_string(first), " and ", to_string(sample),
                    " (without the batch) differ outside axis ", axis + 1);
    values.push_back(cast(src, dtype, spec.path));
    desc.extents.push_back(sample[axis] * inner);
    total += sample[axis];
  }
  return add_step(desc, values, first.with(axis, total), dtype, spec.path);
}

}  // namespace lamella::model
