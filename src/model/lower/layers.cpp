// SPDX-License-Identifier: Apache-2.0
// Dispatches each kind of layer to the function that lowers it. Shapes are those of one sample, without the batch.
#include <algorithm>

#include "core/result_type.hpp"
#include "model/lower/lowering.hpp"

namespace lamella::model {

int Lowering::sample_axis(const std::string& path, int axis, const Shape& sample) const {
  const int full_rank = sample.rank() + 1;
  LAMELLA_EXPECTS(axis >= -full_rank && axis < full_rank, value,
                  "layer '{}' axis: got {}, allowed {}..{} for input of shape (None, ...) and rank {}", core::escaped(path), axis,
                  -full_rank, full_rank - 1, full_rank);
  const int positive = axis < 0 ? axis + full_rank : axis;
  LAMELLA_EXPECTS(positive != 0, unsupported, "layer '{}' axis: got {}, the batch axis; lamella computes each sample on its own",
                  core::escaped(path), axis);
  return positive - 1;
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

/// Lowers a layer: one overload for each kind of parameters.
struct Lowering::ByClass {
  Lowering& to;
  const core::LayerSpec& spec;
  const std::vector<int>& srcs;
  using Values = std::vector<int>;

  int one() const {
    LAMELLA_EXPECTS(srcs.size() == 1, argument, "layer '{}' takes one input, got {}", core::escaped(spec.path), srcs.size());
    return srcs[0];
  }
  /// Keras casts floating inputs to the layer's compute type and leaves integers unchanged; a layer that multiplies them with its
  /// weights promotes them.
  int as_called() const { return to.autocast(one(), spec); }
  int in_compute() const {
    static_cast<void>(to.floating_compute(spec));
    return to.cast(one(), to.compute(spec, srcs), spec.path);
  }
  /// On integers, Keras starts these in integer arithmetic, in which squares wrap around.
  const ByClass& of_floats() const {
    for (const int src : srcs) {
      LAMELLA_EXPECTS(is_floating(to.at(src).dtype), unsupported,
                      "layer '{}' ({}): its input is {}; lamella needs a floating-point input here", core::escaped(spec.path),
                      spec.class_name, to_string(to.at(src).dtype));
    }
    return *this;
  }

  // Products, activations and normalizations.
  Values operator()(const core::DenseParams& p) const { return {to.dense(spec, p, in_compute())}; }
  Values operator()(const core::EinsumDenseParams& p) const { return {to.einsum_dense(spec, p, in_compute())}; }
  Values operator()(const core::DotParams& p) const { return {to.dot(spec, p, of_floats().srcs)}; }
  Values operator()(const core::ActivationParams& p) const {
    const int src = as_called();
    if (const auto mask = to.softmax_mask(spec, one())) return {to.masked_softmax(spec, p, *mask, src)};
    return {to.activation(spec.path, p.activation, p.axes, src)};
  }
  Values operator()(const core::PReluParams& /*p*/) const { return {to.prelu(spec, as_called())}; }
  Values operator()(const core::BatchNormalizationParams& p) const { return {to.batch_normalization(spec, p, as_called())}; }
  Values operator()(const core::LayerNormalizationParams& p) const { return {to.layer_normalization(spec, p, as_called())}; }
  Values operator()(const core::RescalingParams& p) const { return {to.rescaling(spec, p, in_compute())}; }
  Values operator()(const core::NormalizationParams& p) const { return {to.normalization(spec, p, in_compute())}; }
  Values operator()(const core::RmsNormalizationParams& p) const {
    return {to.rms_normalization(spec, p, of_floats().in_compute())};
  }
  Values operator()(const core::UnitNormalizationParams& p) const {
    return {to.unit_normalization(spec.path, p.axes, p.epsilon, of_floats().in_compute())};
  }
  /// Keras casts GroupNormalization's result, not its input.
  Values operator()(const core::GroupNormalizationParams& p) const {
    return {to.cast(to.group_normalization(spec, p, of_floats().one()), to.compute(spec), spec.path)};
  }

  // Layers that move elements, and wrappers.
  Values operator()(const core::InputParams& /*p*/) const { return {one()}; }
  Values operator()(const core::IdentityParams& /*p*/) const { return {as_called()}; }
  Values operator()(const core::FlattenParams& p) const { return {to.flatten(spec, p, as_called())}; }
  Values operator()(const core::ReshapeParams& p) const { return {to.reshape(spec, p, as_called())}; }
  Values operator()(const core::PermuteParams& p) const { return {to.permute(spec, p, as_called())}; }
  Values operator()(const core::RepeatVectorParams& p) const { return {to.repeat_vector(spec, p, as_called())}; }
  Values operator()(const core::MaskingParams& p) const { return {to.masking(spec, p, as_called())}; }
  Values operator()(const core::GlobalPoolingParams& p) const { return {to.global_pooling(spec, p, of_floats().one())}; }
  Values operator()(const core::CroppingParams& p) const { return {to.cropping(spec, p, as_called())}; }
  Values operator()(const core::ZeroPaddingParams& p) const { return {to.zero_padding(spec, p, of_floats().in_compute())}; }
  Values operator()(const core::MergeParams& p) const { return {to.merge(spec, p, srcs)}; }
  Values operator()(const core::ConcatenateParams& p) const { return {to.concatenate(spec, p, srcs)}; }
  Values operator()(const core::NestedParams& p) const { return to.model(*p.model, srcs); }
  Values operator()(const core::TimeDistributedParams& p) const { return {to.time_distributed(spec, p, as_called())}; }

  // Lookups.
  Values operator()(const core::EmbeddingParams& p) const { return {to.embedding(spec, p, one())}; }
  Values operator()(const core::CategoryEncodingParams& p) const { return {to.category_encoding(spec, p, one())}; }
  Values operator()(const core::DiscretizationParams& p) const { return {to.discretization(spec, p, one())}; }
  Values operator()(const core::IntegerLookupParams& p) const { return {to.integer_lookup(spec, p, one())}; }
  Values operator()(const core::HashingParams& p) const { return {to.hashing(spec, p, one())}; }

  // Operations between layers.
  Values operator()(const core::ArithmeticParams& p) const {
    const bool merges = !p.constant && p.kind != core::MergeKind::divide && p.kind != core::MergeKind::power;
    return {to.arithmetic(spec, p, merges ? srcs : of_floats().srcs)};
  }
  Values operator()(const core::CastParams& p) const { return {to.cast(one(), to.options_.dtype.value_or(p.dtype), spec.path)}; }
  Values operator()(const core::TransposeParams& p) const { return {to.transpose(spec, p, one())}; }
  Values operator()(const core::ExpandDimsParams& p) const { return {to.expand_dims(spec, p, one())}; }
  Values operator()(const core::SqueezeParams& p) const { return {to.squeeze(spec, p, one())}; }
  Values operator()(const core::StackParams& p) const { return {to.stack(spec, p, srcs)}; }
  Values operator()(const core::ReduceParams& p) const {
    if (p.of_bools) return {to.reduce_bools(spec, p, one())};
    return {to.reduce(spec, p, of_floats().in_compute())};
  }
  Values operator()(const core::ComparisonParams& p) const { return {to.comparison(spec.path, p, one())}; }
  Values operator()(const core::LogicalParams& p) const { return {to.logical(spec, p, srcs)}; }
  Values operator()(const core::FillParams& p) const { return {to.fill(spec, p, one())}; }
  Values operator()(const core::SliceParams& p) const { return {to.slice(spec, p, one())}; }
};

std::vector<int> Lowering::lowered(const core::LayerSpec& spec, const std::vector<int>& srcs) try {
  return std::visit(ByClass{*this, spec, srcs}, spec.params);
} catch (const ArgumentError& error) {
  // Errors about shapes do not name the layer.
  if (core::without_code(error.what()).starts_with("layer '")) throw;
  throw ArgumentError(error.code(), core::format("layer '{}': {}", core::escaped(spec.path), core::without_code(error.what())));
}

}  // namespace lamella::model
