// SPDX-License-Identifier: Apache-2.0
// Looking at a model's layers, and making one with another activation.
#include "core/owned_json.hpp"
#include "keras/json.hpp"
#include "model/impl.hpp"

namespace lamella {
namespace {

void collect(const core::ModelSpec& spec, std::vector<LayerInfo>& into) {
  for (const auto& layer : spec.layers) {
    LayerInfo info{layer->name, layer->class_name, layer->path, layer->config_json, {}};
    if (!model::has_given_statistics(*layer)) {
      for (const core::Weight& w : layer->weights) info.weights.emplace_back(w.name, w.value->view());
    }
    if (const auto* dense = std::get_if<core::DenseParams>(&layer->params); dense != nullptr && dense->activation_layer) {
      for (const core::Weight& w : dense->activation_layer->weights) info.weights.emplace_back(w.name, w.value->view());
    }
    into.push_back(std::move(info));
    if (const auto* nested = std::get_if<core::NestedParams>(&layer->params)) collect(*nested->model, into);
  }
}

bool same(const core::LayerSpec& layer, std::string_view name) { return layer.name == name || layer.path == name; }

/// A layer with its `activation` replaced in what runs and in what get_config() shows.
std::shared_ptr<const core::LayerSpec> replaced(const core::LayerSpec& layer, const ActivationSpec& activation,
                                                std::string_view activation_name) {
  auto copy = std::make_shared<core::LayerSpec>(layer);
  if (auto* dense = std::get_if<core::DenseParams>(&copy->params)) {
    dense->activation = activation;
    dense->activation_layer = nullptr;
  } else if (auto* plain = std::get_if<core::ActivationParams>(&copy->params);
             plain != nullptr && layer.class_name == "Activation") {
    plain->activation = activation;
    plain->axes.clear();
  } else {
    core::throw_argument(ErrorCode::value,
                         core::concat("[Model::set_activation] layer '", core::escaped(layer.path), "' (", layer.class_name,
                                      ") has no activation to replace; Dense and Activation layers have"));
  }
  core::OwnedJson config(keras::parse_json(std::as_bytes(std::span(layer.config_json)), layer.path));
  if (config->is_object()) {
    nlohmann::json& value = (*config)["activation"];
    core::dismantle(value);
    value = activation_name;
    copy->config_json = config->dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  }
  return copy;
}

/// `spec` with one layer replaced, looked for in nested models too; null when it is not there.
std::shared_ptr<const core::ModelSpec> replaced_in(const core::ModelSpec& spec, std::string_view layer,
                                                   const ActivationSpec& activation, std::string_view activation_name) {
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    std::shared_ptr<const core::LayerSpec> changed;
    if (same(*spec.layers[i], layer)) {
      changed = replaced(*spec.layers[i], activation, activation_name);
    } else if (const auto* nested = std::get_if<core::NestedParams>(&spec.layers[i]->params)) {
      if (auto inner = replaced_in(*nested->model, layer, activation, activation_name)) {
        auto copy = std::make_shared<core::LayerSpec>(*spec.layers[i]);
        std::get<core::NestedParams>(copy->params).model = std::move(inner);
        changed = std::move(copy);
      }
    }
    if (!changed) continue;
    auto result = std::make_shared<core::ModelSpec>(spec);
    result->layers[i] = std::move(changed);
    return result;
  }
  return nullptr;
}

}  // namespace

bool model::has_given_statistics(const core::LayerSpec& layer) {
  if (!std::holds_alternative<core::NormalizationParams>(layer.params)) return false;
  const core::OwnedJson config(keras::parse_json(std::as_bytes(std::span(layer.config_json)), layer.path));
  return config->is_object() && config->contains("mean") && !config->at("mean").is_null();
}

std::shared_ptr<const core::ModelSpec> model::with_activation(const core::ModelSpec& spec, std::string_view layer,
                                                              std::string_view activation) {
  auto result = replaced_in(spec, layer, lamella::activation(activation), activation);
  if (result) return result;
  std::vector<LayerInfo> known;
  collect(spec, known);
  std::string names;
  for (const LayerInfo& info : known) names += core::concat(names.empty() ? "'" : ", '", core::escaped(info.name), "'");
  core::throw_argument(ErrorCode::value, core::concat("[Model::set_activation] no layer is called '", core::escaped(layer),
                                                      "'; there are: ", names));
}

std::vector<LayerInfo> Model::layers() const {
  std::vector<LayerInfo> result;
  collect(*impl_->spec, result);
  return result;
}

LayerInfo Model::get_layer(std::string_view name) const {
  std::string names;
  for (LayerInfo& info : layers()) {
    if (info.name == name || info.path == name) return std::move(info);
    names += core::concat(names.empty() ? "'" : ", '", core::escaped(info.name), "'");
  }
  core::throw_argument(ErrorCode::value,
                       core::concat("[Model::get_layer] no layer is called '", core::escaped(name), "'; there are: ", names));
}

std::vector<TensorView> Model::weights() const {
  std::vector<TensorView> result;
  for (const LayerInfo& info : layers()) {
    for (const auto& [name, view] : info.weights) result.push_back(view);
  }
  return result;
}

}  // namespace lamella
