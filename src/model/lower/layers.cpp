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

std::vector<int> Lowering::lowered(const core::LayerSpec& spec, const std::vector<int>& srcs) try {
  const std::string& path = spec.path;
  const auto one = [&] {
    LAMELLA_EXPECTS(srcs.size() == 1, argument, "layer '", core::escaped(path), "' takes one input, got ", srcs.size());
    return srcs[0];
  };
  // Keras casts floating inputs to the layer's compute type and leaves integers as they are; a layer that multiplies them with
  // its weights promotes them.
  const auto as_called = [&] { return autocast(one(), spec); };
  const auto in_compute = [&] {
    static_cast<void>(floating_compute(spec));
    return cast(one(), compute(spec, srcs), path);
  };
  // Of integers, Keras starts these in integers, whose squares wrap around.
  const auto of_floats = [&](const auto& value) {
    for (const int src : srcs) {
      LAMELLA_EXPECTS(is_floating(at(src).dtype), unsupported, "layer '", core::escaped(path), "' (", spec.class_name,
                      "): its input is ", name(at(src).dtype), "; lamella takes floating values here");
    }
    return value();
  };
  return std::visit(
      [&](const auto& params) -> std::vector<int> {
        using P = std::decay_t<decltype(params)>;
        if constexpr (std::is_same_v<P, core::InputParams>) return {one()};
        if constexpr (std::is_same_v<P, core::DenseParams>) return {dense(spec, params, in_compute())};
        if constexpr (std::is_same_v<P, core::ActivationParams>)
          return {activation(path, params.activation, params.axes, as_called())};
        if constexpr (std::is_same_v<P, core::PReluParams>) return {prelu(spec, as_called())};
        if constexpr (std::is_same_v<P, core::IdentityParams>) return {as_called()};
        if constexpr (std::is_same_v<P, core::FlattenParams>) return {flatten(spec, params, as_called())};
        if constexpr (std::is_same_v<P, core::ReshapeParams>) return {reshape(spec, params, as_called())};
        if constexpr (std::is_same_v<P, core::BatchNormalizationParams>) return {batch_normalization(spec, params, as_called())};
        if constexpr (std::is_same_v<P, core::LayerNormalizationParams>) return {layer_normalization(spec, params, as_called())};
        if constexpr (std::is_same_v<P, core::RescalingParams>) return {rescaling(spec, params, in_compute())};
        if constexpr (std::is_same_v<P, core::NormalizationParams>) return {normalization(spec, params, in_compute())};
        if constexpr (std::is_same_v<P, core::MergeParams>) return {merge(spec, params, srcs)};
        if constexpr (std::is_same_v<P, core::ConcatenateParams>) return {concatenate(spec, params, srcs)};
        if constexpr (std::is_same_v<P, core::ArithmeticParams>) {
          const bool merges = !params.constant && params.kind != core::MergeKind::divide && params.kind != core::MergeKind::power;
          return {arithmetic(spec, params, merges ? srcs : of_floats([&] { return srcs; }))};
        }
        if constexpr (std::is_same_v<P, core::CastParams>) return {cast(one(), options_.dtype.value_or(params.dtype), path)};
        if constexpr (std::is_same_v<P, core::TransposeParams>) return {transpose(spec, params, one())};
        if constexpr (std::is_same_v<P, core::ExpandDimsParams>) return {expand_dims(spec, params, one())};
        if constexpr (std::is_same_v<P, core::SqueezeParams>) return {squeeze(spec, params, one())};
        if constexpr (std::is_same_v<P, core::StackParams>) return {stack(spec, params, srcs)};
        if constexpr (std::is_same_v<P, core::ReduceParams>) {
          if (params.of_bools) return {reduce_bools(spec, params, one())};
          return {reduce(spec, params, of_floats(in_compute))};
        }
        if constexpr (std::is_same_v<P, core::NotEqualParams>) return {not_equal(spec, params, one())};
        if constexpr (std::is_same_v<P, core::LogicalParams>) return {logical(spec, params, srcs)};
        if constexpr (std::is_same_v<P, core::FillParams>) return {fill(spec, params, one())};
        if constexpr (std::is_same_v<P, core::SliceParams>) return {slice(spec, params, one())};
        if constexpr (std::is_same_v<P, core::NestedParams>) return model(*params.model, srcs);
        if constexpr (std::is_same_v<P, core::EinsumDenseParams>) return {einsum_dense(spec, params, in_compute())};
        if constexpr (std::is_same_v<P, core::PermuteParams>) return {permute(spec, params, as_called())};
        if constexpr (std::is_same_v<P, core::RepeatVectorParams>) return {repeat_vector(spec, params, as_called())};
        if constexpr (std::is_same_v<P, core::MaskingParams>) return {masking(spec, params, as_called())};
        if constexpr (std::is_same_v<P, core::RmsNormalizationParams>)
          return {rms_normalization(spec, params, of_floats(in_compute))};
        if constexpr (std::is_same_v<P, core::UnitNormalizationParams>)
          return {unit_normalization(path, params.axes, params.epsilon, of_floats(in_compute))};
        // Keras casts what GroupNormalization made, not its input.
        if constexpr (std::is_same_v<P, core::GroupNormalizationParams>)
          return {cast(group_normalization(spec, params, of_floats(one)), compute(spec), path)};
        if constexpr (std::is_same_v<P, core::EmbeddingParams>) return {embedding(spec, params, one())};
        if constexpr (std::is_same_v<P, core::GlobalPoolingParams>) return {global_pooling(spec, params, of_floats(one))};
        if constexpr (std::is_same_v<P, core::CroppingParams>) return {cropping(spec, params, as_called())};
        if constexpr (std::is_same_v<P, core::ZeroPaddingParams>) return {zero_padding(spec, params, of_floats(in_compute))};
        if constexpr (std::is_same_v<P, core::CategoryEncodingParams>) return {category_encoding(spec, params, one())};
        if constexpr (std::is_same_v<P, core::DiscretizationParams>) return {discretization(spec, params, one())};
        if constexpr (std::is_same_v<P, core::IntegerLookupParams>) return {integer_lookup(spec, params, one())};
        if constexpr (std::is_same_v<P, core::HashingParams>) return {hashing(spec, params, one())};
        if constexpr (std::is_same_v<P, core::DotParams>) return {dot(spec, params, of_floats([&] { return srcs; }))};
        if constexpr (std::is_same_v<P, core::TimeDistributedParams>) return {time_distributed(spec, params, as_called())};
      },
      spec.params);
} catch (const ArgumentError& error) {
  // Shapes say what is wrong with them, not where they come from.
  if (core::without_code(error.what()).starts_with("layer '")) throw;
  throw ArgumentError(error.code(), core::concat("layer '", core::escaped(spec.path), "': ", core::without_code(error.what())));
}

}  // namespace lamella::model
