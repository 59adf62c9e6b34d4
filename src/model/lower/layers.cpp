// SPDX-License-Identifier: Apache-2.0
// Which function lowers which kind of layer. Shapes here are those of one sample; the batch goes in front.
#include <algorithm>

#include "core/result_type.hpp"
#include "model/lower/lowering.hpp"

namespace lamella::model {

int Lowering::sample_axis(const std::string& path, int axis, const Shape& sample) const {
  const int full_rank = sample.rank() + 1;
  LAMELLA_EXPECTS(axis >= -full_rank && axis < full_rank, value, "layer '", core::escaped(path), "' axis: got ", axis,
                  ", allowed ", -full_rank, "..", full_rank - 1, " for input of shape (None, ...) and rank ", full_rank);
  const int positive = axis < 0 ? axis + full_rank : axis;
  LAMELLA_EXPECTS(positive != 0, unsupported, "layer '", core::escaped(path), "' axis: got ", axis,
                  ", the batch axis; lamella computes each sample on its own");
  return positive - 1;
}

std::vector<int> Lowering::sample_axes(const std::string& path, std::vector<int> axes, const Shape& sample) const {
  for (int& axis : axes) axis = sample_axis(path, axis, sample);
  std::sort(axes.begin(), axes.end());
  LAMELLA_EXPECTS(std::adjacent_find(axes.begin(), axes.end()) == axes.end(), value, "layer '", core::escaped(path),
                  "' axis: an axis is named twice");
  return axes;
}

DType Lowering::compute(const core::LayerSpec& spec, const std::vector<int>& srcs) const {
  if (!spec.policy.follows_inputs || options_.dtype || srcs.empty()) return compute(spec);
  DType result = at(srcs[0]).dtype;
  for (const int src : srcs) result = core::result_type(result, at(src).dtype);
  return result;
}

namespace {

/// What a layer does with the mask that Masking, or an Embedding, attached to its input. Where versions of Keras disagree, the
/// mask may still be there.
enum class MaskUse {
  keeps,
  drops,
  passes,   ///< to the layers inside
  reads,    ///< computes something else with a mask than without, which lamella does not
  applies,  ///< the same, and lamella does; the mask ends here
};

/// Layers that hand the mask of their one input on as it is, in every version of Keras.
bool hands_on(const core::LayerSpec& spec) {
  return std::visit(
      [&](const auto& params) {
        using P = std::decay_t<decltype(params)>;
        if constexpr (std::is_same_v<P, core::IdentityParams>) return spec.class_name != "Identity";
        return std::is_same_v<P, core::DenseParams> || std::is_same_v<P, core::ActivationParams> ||
               std::is_same_v<P, core::PReluParams> || std::is_same_v<P, core::BatchNormalizationParams> ||
               std::is_same_v<P, core::LayerNormalizationParams> || std::is_same_v<P, core::UnitNormalizationParams>;
      },
      spec.params);
}

MaskUse mask_use(const core::LayerSpec& spec) {
  if (spec.class_name == "Softmax" && !spec.policy.follows_inputs) return MaskUse::reads;
  return std::visit(
      [](const auto& params) {
        using P = std::decay_t<decltype(params)>;
        constexpr bool passes = std::is_same_v<P, core::NestedParams> || std::is_same_v<P, core::TimeDistributedParams>;
        constexpr bool drops = std::is_same_v<P, core::FlattenParams> || std::is_same_v<P, core::ReshapeParams> ||
                               std::is_same_v<P, core::RepeatVectorParams> || std::is_same_v<P, core::EinsumDenseParams> ||
                               std::is_same_v<P, core::DotParams> || std::is_same_v<P, core::RmsNormalizationParams> ||
                               std::is_same_v<P, core::CroppingParams> || std::is_same_v<P, core::ZeroPaddingParams> ||
                               std::is_same_v<P, core::NotEqualParams> || std::is_same_v<P, core::FillParams>;
        if constexpr (std::is_same_v<P, core::GroupNormalizationParams>)
          return params.reads_masks ? MaskUse::reads : MaskUse::keeps;
        if constexpr (std::is_same_v<P, core::MergeParams>) {
          const bool chooses = params.kind == core::MergeKind::maximum || params.kind == core::MergeKind::minimum;
          return chooses ? MaskUse::reads : MaskUse::keeps;
        }
        if constexpr (std::is_same_v<P, core::GlobalPoolingParams>)
          return params.kind == core::ReduceKind::mean ? MaskUse::applies : MaskUse::drops;
        if constexpr (std::is_same_v<P, core::EmbeddingParams>) return params.mask_zero ? MaskUse::keeps : MaskUse::drops;
        if constexpr (passes) return MaskUse::passes;
        return drops ? MaskUse::drops : MaskUse::keeps;
      },
      spec.params);
}

}  // namespace

std::optional<Lowering::Mask> Lowering::own_mask(const core::LayerSpec& spec, const std::vector<int>& srcs) {
  if (srcs.size() != 1) return std::nullopt;
  const auto* embedding = std::get_if<core::EmbeddingParams>(&spec.params);
  if (embedding != nullptr && embedding->mask_zero) return Mask{spec.path, srcs[0]};
  const auto* masking = std::get_if<core::MaskingParams>(&spec.params);
  if (masking == nullptr) return std::nullopt;
  return Mask{spec.path, autocast(srcs[0], spec), true, masking->value};
}

int Lowering::mask_value(const Mask& mask, DType dtype, const std::string& path) {
  const int number = cast(cast(differences(path, mask.value, mask.of), DType::boolean, path), dtype, path);
  const Shape sample = at(number).sample;
  if (!mask.any) {
    std::vector<std::int64_t> extents(sample.begin(), sample.end());
    extents.push_back(1);
    return reshaped(number, Shape(extents));
  }
  core::LayerSpec reduction;
  reduction.path = path;
  return reduce(reduction, {core::ReduceKind::maximum, {sample.rank()}, true}, number);
}

std::vector<int> Lowering::called(const core::ModelSpec& spec, const core::NodeSpec& node, std::vector<int> srcs) {
  const core::LayerSpec& layer_spec = *spec.layers.at(static_cast<std::size_t>(node.layer));
  const std::size_t inputs = srcs.size() - node.masks.size();
  const std::vector<int> masks(srcs.begin() + static_cast<std::ptrdiff_t>(inputs), srcs.end());
  srcs.resize(inputs);
  const MaskUse use = mask_use(layer_spec);
  const bool takes = use != MaskUse::keeps && use != MaskUse::drops;
  LAMELLA_EXPECTS(takes || masks.empty() || std::holds_alternative<core::BatchNormalizationParams>(layer_spec.params),
                  unsupported, "layer '", core::escaped(layer_spec.path), "' (", layer_spec.class_name,
                  ") is called with the argument 'mask'");
  for (std::size_t i = 0; takes && i < inputs; ++i) {
    const auto carried = masked_.find(srcs[i]);
    const auto named =
        static_cast<std::size_t>(std::find(node.masks.begin(), node.masks.end(), static_cast<int>(i)) - node.masks.begin());
    if (named < masks.size()) {
      const auto& maker = spec.nodes.at(static_cast<std::size_t>(node.inputs[inputs + named].node));
      srcs[i] = alias(srcs[i]);
      masked_[srcs[i]] = Mask{spec.layers.at(static_cast<std::size_t>(maker.layer))->path, masks[named]};
    } else if (node.says_masks && depth_ == 1 && carried != masked_.end() && !carried->second.unsaid) {
      srcs[i] = alias(srcs[i]);  // Keras found that it has lost its mask
    }
  }
  std::vector<int> results = layer(layer_spec, srcs);
  if (!std::holds_alternative<core::NestedParams>(layer_spec.params)) return results;
  for (const int result : results) {
    if (const auto mask = masked_.find(result); mask != masked_.end()) mask->second.unsaid = true;
  }
  return results;
}

std::vector<int> Lowering::layer(const core::LayerSpec& spec, const std::vector<int>& srcs) {
  const auto from = std::find_if(srcs.begin(), srcs.end(), [&](int src) { return masked_.contains(src); });
  const std::optional<Mask> own = own_mask(spec, srcs);
  if (from == srcs.end() && !own) return lowered(spec, srcs);
  Mask mask = own ? *own : masked_.at(*from);
  const MaskUse use = mask_use(spec);
  const bool applied = use != MaskUse::applies || mask.of >= 0;
  LAMELLA_EXPECTS(use != MaskUse::reads && applied, unsupported, "layer '", core::escaped(spec.path), "' (", spec.class_name,
                  "): the mask that '", core::escaped(mask.layer), "' makes reaches it and changes what Keras computes here");
  std::vector<int> results = lowered(spec, srcs);
  if (use == MaskUse::passes && !std::holds_alternative<core::TimeDistributedParams>(spec.params)) return results;
  const bool stays = use != MaskUse::drops && use != MaskUse::applies;
  if (!own && !hands_on(spec)) mask.of = -1;
  for (int& result : results) {
    // What a layer that loses masks returns unchanged carries its mask on, in some versions of Keras.
    const bool unchanged = std::find(srcs.begin(), srcs.end(), result) != srcs.end();
    if (!stays && !unchanged) continue;
    if (unchanged) result = alias(result);
    mask.unsaid = mask.unsaid || !stays;
    masked_[result] = mask;
  }
  return results;
}

/// What a layer of each class becomes: one overload for each kind of parameters.
struct Lowering::ByClass {
  Lowering& to;
  const core::LayerSpec& spec;
  const std::vector<int>& srcs;
  using Values = std::vector<int>;

  int one() const {
    LAMELLA_EXPECTS(srcs.size() == 1, argument, "layer '", core::escaped(spec.path), "' takes one input, got ", srcs.size());
    return srcs[0];
  }
  /// Keras casts floating inputs to the layer's compute type and leaves integers as they are; a layer that multiplies them with
  /// its weights promotes them.
  int as_called() const { return to.autocast(one(), spec); }
  int in_compute() const {
    static_cast<void>(to.floating_compute(spec));
    return to.cast(one(), to.compute(spec, srcs), spec.path);
  }
  /// Of integers, Keras starts these in integers, whose squares wrap around.
  const ByClass& of_floats() const {
    for (const int src : srcs) {
      LAMELLA_EXPECTS(is_floating(to.at(src).dtype), unsupported, "layer '", core::escaped(spec.path), "' (", spec.class_name,
                      "): its input is ", to_string(to.at(src).dtype), "; lamella takes floating values here");
    }
    return *this;
  }

  // Products, activations and normalizations.
  Values operator()(const core::DenseParams& p) const { return {to.dense(spec, p, in_compute())}; }
  Values operator()(const core::EinsumDenseParams& p) const { return {to.einsum_dense(spec, p, in_compute())}; }
  Values operator()(const core::DotParams& p) const { return {to.dot(spec, p, of_floats().srcs)}; }
  Values operator()(const core::ActivationParams& p) const {
    return {to.activation(spec.path, p.activation, p.axes, as_called())};
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
  /// Keras casts what GroupNormalization made, not its input.
  Values operator()(const core::GroupNormalizationParams& p) const {
    return {to.cast(to.group_normalization(spec, p, of_floats().one()), to.compute(spec), spec.path)};
  }

  // Layers that move elements, and layers around layers.
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
  Values operator()(const core::NotEqualParams& p) const { return {to.not_equal(spec, p, one())}; }
  Values operator()(const core::LogicalParams& p) const { return {to.logical(spec, p, srcs)}; }
  Values operator()(const core::FillParams& p) const { return {to.fill(spec, p, one())}; }
  Values operator()(const core::SliceParams& p) const { return {to.slice(spec, p, one())}; }
};

std::vector<int> Lowering::lowered(const core::LayerSpec& spec, const std::vector<int>& srcs) try {
  return std::visit(ByClass{*this, spec, srcs}, spec.params);
} catch (const ArgumentError& error) {
  // Shapes say what is wrong with them, not where they come from.
  if (core::without_code(error.what()).starts_with("layer '")) throw;
  throw ArgumentError(error.code(), core::concat("layer '", core::escaped(spec.path), "': ", core::without_code(error.what())));
}

}  // namespace lamella::model
