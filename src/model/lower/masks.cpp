// SPDX-License-Identifier: Apache-2.0
// Masks, which Masking and Embedding attach to their results, or which a call names: which layers pass them on, and which compute
// differently with a mask. Both depend on the version of Keras that wrote the model.
#include <algorithm>

#include "model/axes.hpp"
#include "model/lower/lowering.hpp"

namespace lamella::model {
namespace {

/// What a layer does with the masks of its inputs.
enum class MaskUse {
  keeps,    ///< passes on that of its one input
  drops,    ///< its result has none
  merges,   ///< combines those of all inputs
  passes,   ///< to the model inside
  unknown,  ///< lamella cannot tell
  reads,    ///< computes differently with a mask, which lamella does not support
};

template <typename P, typename... Kinds>
constexpr bool kIsOne = (std::is_same_v<P, Kinds> || ...);

template <typename P>
MaskUse use_of_class(bool keras2) {
  using namespace core;
  if constexpr (kIsOne<P, IdentityParams, RescalingParams, NormalizationParams>) return keras2 ? MaskUse::drops : MaskUse::keeps;
  if constexpr (kIsOne<P, GroupNormalizationParams>) return keras2 ? MaskUse::reads : MaskUse::keeps;
  if constexpr (kIsOne<P, MergeParams>) return MaskUse::merges;
  if constexpr (kIsOne<P, NestedParams>) return MaskUse::passes;
  if constexpr (kIsOne<P, DenseParams, ActivationParams, PReluParams, BatchNormalizationParams, LayerNormalizationParams,
                       UnitNormalizationParams, TimeDistributedParams>) {
    return MaskUse::keeps;
  }
  if constexpr (kIsOne<P, FlattenParams, ReshapeParams, PermuteParams, RepeatVectorParams, EinsumDenseParams, DotParams,
                       RmsNormalizationParams, CroppingParams, ZeroPaddingParams, GlobalPoolingParams, EmbeddingParams,
                       ComparisonParams, FillParams>) {
    return MaskUse::drops;
  }
  return MaskUse::unknown;
}

MaskUse mask_use(const core::LayerSpec& spec, bool keras2) {
  if (spec.policy.follows_inputs) return MaskUse::drops;  // an operation between layers
  const bool dropout = std::holds_alternative<core::IdentityParams>(spec.params) && spec.class_name != "Identity";
  if (dropout) return MaskUse::keeps;
  return std::visit([&](const auto& params) { return use_of_class<std::decay_t<decltype(params)>>(keras2); }, spec.params);
}

/// Whether it takes a mask as an argument, so that a file of Keras 3 says whether it has one.
bool takes_mask(const core::LayerSpec& spec) {
  if (spec.policy.follows_inputs) return false;
  if (std::holds_alternative<core::ActivationParams>(spec.params)) return spec.class_name == "Softmax";
  if (const auto* pooling = std::get_if<core::GlobalPoolingParams>(&spec.params)) return pooling->kind == core::ReduceKind::mean;
  return std::holds_alternative<core::BatchNormalizationParams>(spec.params) ||
         std::holds_alternative<core::GroupNormalizationParams>(spec.params) ||
         std::holds_alternative<core::NestedParams>(spec.params) ||
         std::holds_alternative<core::TimeDistributedParams>(spec.params);
}

/// Whether it computes with the mask of its one input.
bool computes_with_mask(const core::LayerSpec& spec) {
  return takes_mask(spec) && (std::holds_alternative<core::ActivationParams>(spec.params) ||
                              std::holds_alternative<core::GlobalPoolingParams>(spec.params));
}

constexpr const char* kUnknown =
    "', of which Keras' versions and backends keep different parts here. Call the layer with the argument 'mask', or remove the "
    "layers between the two that do nothing";

}  // namespace

Lowering::KnownMask Lowering::mask_of(int value) const {
  const auto found = masked_.find(value);
  return found == masked_.end() ? std::nullopt : KnownMask(found->second);
}

Lowering::KnownMask Lowering::own_mask(const core::LayerSpec& spec, const std::vector<int>& srcs) {
  if (srcs.size() != 1) return std::nullopt;
  const auto* embedding = std::get_if<core::EmbeddingParams>(&spec.params);
  if (embedding != nullptr && embedding->mask_zero) return Mask{.layer = spec.path, .of = srcs[0]};
  const auto* masking = std::get_if<core::MaskingParams>(&spec.params);
  if (masking == nullptr) return std::nullopt;
  return Mask{.layer = spec.path, .of = autocast(srcs[0], spec), .any = true, .value = masking->value};
}

Lowering::KnownMask Lowering::merged_mask(const core::LayerSpec& spec, const std::vector<int>& srcs) {
  if (!keras2() && before(3, 4)) return std::nullopt;
  std::vector<Mask> masks;
  for (const int src : srcs) {
    const KnownMask mask = mask_of(src);
    if (!mask && !keras2()) return std::nullopt;  // without a mask everything counts
    if (mask) masks.push_back(*mask);
  }
  const Mask& first = masks.at(0);
  if (std::all_of(masks.begin(), masks.end(), [&](const Mask& mask) { return mask.same(first); })) return first;
  const bool known = std::all_of(masks.begin(), masks.end(), [](const Mask& mask) { return mask.known(); });
  const auto one_rank = [&](int src) { return at(src).sample.rank() == at(srcs[0]).sample.rank(); };
  if (!known || !std::all_of(srcs.begin(), srcs.end(), one_rank)) return Mask{.layer = first.layer};
  std::vector<int> numbers;
  for (const Mask& mask : masks) numbers.push_back(mask_numbers(mask, DType::float32, spec.path));
  const auto kind = keras2() ? ops::CombineKind::minimum : ops::CombineKind::maximum;
  const int merged = combined(spec.path, kind, numbers, false);
  return Mask{.layer = first.layer, .of = cast(merged, DType::boolean, spec.path)};
}

Lowering::KnownMask Lowering::mask_after(const core::LayerSpec& spec, const std::vector<int>& srcs) {
  const MaskUse use = mask_use(spec, keras2());
  if (use == MaskUse::drops) return std::nullopt;
  if (use == MaskUse::merges) return merged_mask(spec, srcs);
  const auto from = std::find_if(srcs.begin(), srcs.end(), [&](int src) { return masked_.contains(src); });
  return use == MaskUse::keeps ? masked_.at(*from) : Mask{.layer = masked_.at(*from).layer};
}

int Lowering::mask_numbers(const Mask& mask, DType dtype, const std::string& path, bool as_given) {
  if (as_given && mask.given) return cast(mask.of, dtype, path);
  const int number = cast(cast(differences(path, mask.value, mask.of), DType::boolean, path), dtype, path);
  if (!mask.any) return number;
  core::LayerSpec reduction;
  reduction.path = path;
  return reduce(reduction, {core::ReduceKind::maximum, {at(number).sample.rank()}, false}, number);
}

int Lowering::mask_value(const Mask& mask, DType dtype, const std::string& path, bool as_given) {
  const int numbers = mask_numbers(mask, dtype, path, as_given);
  const Shape sample = at(numbers).sample;
  std::vector<std::int64_t> extents(sample.begin(), sample.end());
  extents.push_back(1);
  return reshaped(numbers, Shape(extents));
}

void Lowering::name_masks(const core::ModelSpec& spec, const core::NodeSpec& node, const std::vector<int>& masks,
                          std::vector<int>& srcs) {
  for (std::size_t i = 0; i < srcs.size(); ++i) {
    const auto named =
        static_cast<std::size_t>(std::find(node.masks.begin(), node.masks.end(), static_cast<int>(i)) - node.masks.begin());
    const KnownMask carried = mask_of(srcs[i]);
    if (named < masks.size()) {
      const auto& maker = spec.nodes.at(static_cast<std::size_t>(node.inputs[srcs.size() + named].node));
      srcs[i] = alias(srcs[i]);
      masked_[srcs[i]] =
          Mask{.layer = spec.layers.at(static_cast<std::size_t>(maker.layer))->path, .of = masks[named], .given = true};
    } else if (node.says_masks && carried && (keras2() || (!carried->known() && depth_ == 1 && !carried->unsaid))) {
      // None in the call: Keras 3 still takes the mask that the input carries, which was lost by then.
      srcs[i] = alias(srcs[i]);
    }
  }
}

std::vector<int> Lowering::called(const core::ModelSpec& spec, const core::NodeSpec& node, std::vector<int> srcs) {
  const core::LayerSpec& layer_spec = *spec.layers.at(static_cast<std::size_t>(node.layer));
  const std::size_t inputs = srcs.size() - node.masks.size();
  const std::vector<int> masks(srcs.begin() + static_cast<std::ptrdiff_t>(inputs), srcs.end());
  srcs.resize(inputs);
  const bool casts = !layer_spec.policy.follows_inputs && !std::holds_alternative<core::NestedParams>(layer_spec.params);
  for (int& src : srcs) {  // until Keras 3.13 a value that is cast on its way into a layer loses its mask
    const bool turns = casts && is_floating(at(src).dtype) && compute(layer_spec, {src}) != at(src).dtype;
    if (turns && masked_.contains(src) && !keras2() && before(3, 14)) src = alias(src);
  }
  const bool takes = takes_mask(layer_spec);
  LAMELLA_EXPECTS(takes || masks.empty(), unsupported,
                  "layer '{}' ({}) is called with the argument 'mask', which it does not take", core::escaped(layer_spec.path),
                  layer_spec.class_name);
  const KnownMask carried = mask_of(srcs.at(0));
  if (takes) name_masks(spec, node, masks, srcs);
  std::vector<int> results = layer(layer_spec, srcs);
  const bool nested = std::holds_alternative<core::NestedParams>(layer_spec.params);
  const bool attached = !nested && !masks.empty() && !keras2() && before(3, 11);  // the input's mask is passed on
  for (const int result : results) {
    if (attached) masked_.erase(result);
    if (attached && carried && mask_use(layer_spec, false) == MaskUse::keeps) masked_[result] = *carried;
    if (const auto mask = masked_.find(result); nested && mask != masked_.end()) mask->second.unsaid = true;
  }
  return results;
}

std::vector<int> Lowering::layer(const core::LayerSpec& spec, const std::vector<int>& srcs) {
  const auto from = std::find_if(srcs.begin(), srcs.end(), [&](int src) { return masked_.contains(src); });
  const KnownMask own = own_mask(spec, srcs);
  if (from == srcs.end() && !own) return lowered(spec, srcs);
  const MaskUse use = mask_use(spec, keras2());
  const std::string maker = own ? spec.path : masked_.at(*from).layer;
  LAMELLA_EXPECTS(use != MaskUse::reads, unsupported,
                  "layer '{}' ({}): it receives the mask that '{}' makes, which changes what Keras computes here",
                  core::escaped(spec.path), spec.class_name, core::escaped(maker));
  LAMELLA_EXPECTS(!computes_with_mask(spec) || masked_.at(*from).known(), unsupported,
                  "layer '{}' ({}) computes with the mask of '{}{}", core::escaped(spec.path), spec.class_name,
                  core::escaped(maker), kUnknown);
  std::vector<int> results = lowered(spec, srcs);
  if (use == MaskUse::passes) return results;
  const KnownMask left = own ? own : mask_after(spec, srcs);
  for (int& result : results) {
    const bool unchanged = std::find(srcs.begin(), srcs.end(), result) != srcs.end();
    if (unchanged) result = alias(result);
    // If the array itself is passed on, its mask stays with it on JAX, in some versions of Keras 3.
    if (left) masked_[result] = *left;
    if (!left && unchanged && !keras2()) masked_[result] = Mask{.layer = maker, .unsaid = true};
  }
  return results;
}

int Lowering::where_masked(const std::string& path, int mask, double value) {
  const DType dtype = at(mask).dtype;
  const Shape one = all_ones(at(mask).sample);
  const auto line = [&](int src, double scale, double offset) {
    return affine(path, src, {line_constant({scale}, dtype), one}, {line_constant({offset}, dtype), one});
  };
  return line(line(mask, 1, -1), -value, -0.0);
}

int Lowering::chosen(const std::string& path, int mask, int yes, int no) {
  const int other = masked(path, no, where_masked(path, mask, 1), true);
  return combined(path, ops::CombineKind::add, {masked(path, yes, mask, true), other});
}

Lowering::KnownMask Lowering::softmax_mask(const core::LayerSpec& spec, int src) const {
  return spec.class_name == "Softmax" && !spec.policy.follows_inputs ? mask_of(src) : std::nullopt;
}

int Lowering::softmax_by_steps(const core::LayerSpec& spec, const std::vector<int>& axes, int src) {
  using ops::CombineKind;
  const auto function = [&](ActivationKind kind, int x) { return activation(spec.path, {.kind = kind}, {}, x); };
  const int most = reduce(spec, {core::ReduceKind::maximum, axes, true}, src);
  const int powers = function(ActivationKind::Exponential, combined(spec.path, CombineKind::subtract, {src, most}));
  const int logarithm = function(ActivationKind::Log, reduce(spec, {core::ReduceKind::sum, axes, true}, powers));
  const int total = combined(spec.path, CombineKind::add, {most, logarithm});
  return function(ActivationKind::Exponential, combined(spec.path, CombineKind::subtract, {src, total}));
}

int Lowering::masked_softmax(const core::LayerSpec& spec, const core::ActivationParams& params, const Mask& mask, int src) {
  const DType dtype = at(src).dtype;
  LAMELLA_EXPECTS(is_floating(dtype), unsupported,
                  "layer '{}' (Softmax): its input is {}; lamella needs a floating-point input here", core::escaped(spec.path),
                  to_string(dtype));
  const bool selects = !keras2() && !before(3, 13);
  int keep = mask_numbers(mask, dtype, spec.path, !selects);
  if (selects && mask.given && at(mask.of).dtype != DType::boolean) {  // Keras: true above 0.5, in the number's own type
    const bool floats = is_floating(at(mask.of).dtype);
    const auto above = floats ? ActivationSpec{.kind = ActivationKind::Threshold, .parameters = {0.5, 0.0}}
                              : ActivationSpec{.kind = ActivationKind::Relu};
    keep = cast(cast(activation(spec.path, above, {}, mask.of), DType::boolean, spec.path), dtype, spec.path);
  }
  LAMELLA_EXPECTS(at(keep).sample.rank() == at(src).sample.rank(), unsupported,
                  "layer '{}' (Softmax): the mask of '{}' has {} axes, its input {}: Keras aligns their last axes, so samples of "
                  "one with steps of the other, or fails. Call the layer with a mask of as many axes, such as "
                  "keras.ops.expand_dims(mask, -1), or with values that carry no mask",
                  core::escaped(spec.path), core::escaped(mask.layer), at(keep).sample.rank() + 1, at(src).sample.rank() + 1);
  double large = -1e9;
  if (dtype == DType::float16) large = !keras2() ? -3e4 : before(2, 13) ? -65504 : -32752;
  const int kept = selects ? masked(spec.path, src, keep, true) : src;
  const int logits = combined(spec.path, ops::CombineKind::add, {kept, where_masked(spec.path, keep, large)});
  // If everything along the axis is masked, the result is 0 from Keras 3.10 on. Before, only a large number was added.
  const bool clears = !keras2() && !before(3, 10);
  if (!clears && params.axes.size() > 1) return softmax_by_steps(spec, params.axes, logits);
  const int result = activation(spec.path, params.activation, params.axes, logits);
  return clears ? masked(spec.path, result, keep, !before(3, 14)) : result;
}

std::vector<Lowering::KnownMask> Lowering::masks_of_merge(const core::MergeParams& params, const std::vector<int>& srcs) const {
  using K = core::CombineKind;
  const bool computes = params.kind == K::maximum || params.kind == K::minimum || params.kind == K::multiply;
  const bool any = std::any_of(srcs.begin(), srcs.end(), [&](int src) { return masked_.contains(src); });
  if (!computes || !any || before(3, 4)) return {};
  std::vector<KnownMask> masks;
  for (const int src : srcs) masks.push_back(mask_of(src));
  return masks;
}

int Lowering::masked_merge(const core::LayerSpec& spec, const core::MergeParams& params, const std::vector<int>& values,
                           const std::vector<KnownMask>& masks) {
  using ops::CombineKind;
  const auto fail_where = [&](bool fails, const Mask& mask, const char* why) {
    LAMELLA_EXPECTS(!fails, unsupported, "layer '{}' ({}) computes with the mask of '{}{}", core::escaped(spec.path),
                    spec.class_name, core::escaped(mask.layer), why);
  };
  std::vector<int> numbers;  // -1: no mask
  for (std::size_t i = 0; i < values.size(); ++i) {
    // Until 3.6 the masks of arrays were lost by then on JAX, but not on TensorFlow.
    if (masks[i]) fail_where(!masks[i]->known() || before(3, 7), *masks[i], kUnknown);
    numbers.push_back(masks[i] ? mask_value(*masks[i], at(values[i]).dtype, spec.path) : -1);
    for (const int one : {values[0], numbers[i]}) {
      if (masks[i] && one >= 0)
        fail_where(at(one).sample.rank() != at(values[i]).sample.rank(), *masks[i], "', but inputs or masks differ in rank");
    }
  }
  const auto met = [&](int a, int b) { return combined(spec.path, CombineKind::maximum, {a, b}); };
  int result = -1;
  int left = -1;  // the mask of the result so far
  if (params.kind == core::CombineKind::multiply) {
    std::vector<int> factors;
    bool all = true;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const int m = numbers[i];
      all = all && m >= 0;
      if (m >= 0) left = left < 0 ? m : met(left, m);
      const auto kept = [&] { return masked(spec.path, values[i], m, true); };
      factors.push_back(m < 0 ? values[i] : combined(spec.path, CombineKind::add, {kept(), where_masked(spec.path, m, 1)}));
    }
    result = factors.size() == 1 ? factors[0] : combined(spec.path, CombineKind::multiply, factors);
    return all ? masked(spec.path, result, left, true) : result;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    const int m = numbers[i];
    if (i == 0) {
      result = values[0];
      left = m;
      continue;
    }
    const int x = m < 0 ? values[i] : chosen(spec.path, m, values[i], result);
    if (left >= 0) result = chosen(spec.path, left, result, x);
    left = m >= 0 && left >= 0 ? met(left, m) : -1;
    result = combined(spec.path, static_cast<CombineKind>(params.kind), {result, x});
  }
  return result;
}

}  // namespace lamella::model
