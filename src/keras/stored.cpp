// SPDX-License-Identifier: Apache-2.0
#include "keras/stored.hpp"

#include <algorithm>

#include "core/check.hpp"
#include "keras/quantized.hpp"

namespace lamella::keras {
namespace {

using Weights = std::vector<StoredWeight>;

Weights scale_and_offset(bool gamma, bool beta) {
  Weights weights;
  if (gamma) weights.push_back({"gamma"});
  if (beta) weights.push_back({"beta"});
  return weights;
}

template <typename Params>
Weights weights_of(const Params& /*params*/) {
  return {};
}
Weights weights_of(const core::DenseParams& p) { return dense_weights(p); }
Weights weights_of(const core::EinsumDenseParams& p) { return p.use_bias ? Weights{{"kernel"}, {"bias"}} : Weights{{"kernel"}}; }
Weights weights_of(const core::PReluParams& /*params*/) { return {{"alpha"}}; }
Weights weights_of(const core::EmbeddingParams& /*params*/) { return {{"embeddings"}}; }
Weights weights_of(const core::BatchNormalizationParams& p) {
  Weights weights = scale_and_offset(p.scale, p.center);
  weights.push_back({"moving_mean", false});
  weights.push_back({"moving_variance", false});
  return weights;
}
Weights weights_of(const core::LayerNormalizationParams& p) {
  return scale_and_offset(p.scale || p.rms_scaling, p.center && !p.rms_scaling);
}
Weights weights_of(const core::GroupNormalizationParams& p) { return scale_and_offset(p.scale, p.center); }
Weights weights_of(const core::RmsNormalizationParams& /*params*/) { return {{"scale"}}; }
Weights weights_of(const core::NormalizationParams& p) {
  return p.given ? Weights{} : Weights{{"mean", false}, {"variance", false}, {"count", false}};
}
Weights weights_of(const core::DiscretizationParams& p) { return p.boundaries ? Weights{} : Weights{{"summary", false}}; }

/// Keras' snake case: "BatchNormalization" is "batch_normalization", "ReLU" is "re_lu", "Conv2D" is "conv2d".
std::string snake_case(std::string_view name) {
  const auto upper = [](char c) { return c >= 'A' && c <= 'Z'; };
  const auto lower = [](char c) { return c >= 'a' && c <= 'z'; };
  std::string result;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    const bool begins_word = upper(c) && i > 0 &&
                             ((i + 1 < name.size() && lower(name[i + 1])) || lower(name[i - 1]) ||
                              (name[i - 1] >= '0' && name[i - 1] <= '9' && i + 1 < name.size() && lower(name[i + 1])));
    if (begins_word && result.back() != '_') result += '_';
    result += upper(c) ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return result;
}

}  // namespace

std::vector<StoredWeight> stored_weights(const core::LayerSpec& layer) {
  return std::visit([](const auto& params) { return weights_of(params); }, layer.params);
}

bool is_trained(const core::LayerSpec& layer, std::string_view weight) {
  const Weights weights = stored_weights(layer);
  return layer.trainable &&
         std::any_of(weights.begin(), weights.end(), [&](const StoredWeight& w) { return w.name == weight && w.trained; });
}

std::string config_of(const core::LayerSpec& layer) {
  if (layer.activation_json.empty()) return layer.config_json;
  const std::string_view others = std::string_view(layer.config_json).substr(1);
  return core::format(R"({{"activation":{}{}{})", layer.activation_json, others == "}" ? "" : ",", others);
}

std::string archive_key(const core::LayerSpec& layer) {
  return snake_case(layer.class_name == "Model" ? "Functional" : layer.class_name);
}

std::string_view inner_key(const core::LayerSpec& layer) {
  return std::holds_alternative<core::TimeDistributedParams>(layer.params) ? "layer" : "activation";
}

}  // namespace lamella::keras
