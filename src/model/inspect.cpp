// SPDX-License-Identifier: Apache-2.0
// Inspects a model's layers, and makes a model with another activation.
#include <algorithm>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/layer_changes.hpp"
#include "keras/activation_config.hpp"
#include "keras/load.hpp"
#include "keras/stored.hpp"
#include "model/impl.hpp"

namespace lamella {
namespace {

template <typename F>
void each_layer(const core::LayerSpec& layer, const F& use);

/// Every layer, inner ones after the layer that contains them.
template <typename F>
void each_layer(const core::ModelSpec& spec, const F& use) {
  for (const auto& layer : spec.layers) {
    each_layer(*layer, use);
  }
}

template <typename F>
void each_layer(const core::LayerSpec& layer, const F& use) {
  use(layer);
  if (const core::ModelSpec* nested = core::nested_model(layer)) each_layer(*nested, use);
  if (const auto* distributed = std::get_if<core::TimeDistributedParams>(&layer.params)) each_layer(*distributed->wrapped, use);
}

std::optional<DType> compute_dtype_of(const core::LayerSpec& layer) {
  if (const auto* const input = std::get_if<core::InputParams>(&layer.params)) return input->dtype;
  if (core::nested_model(layer) != nullptr || layer.policy.follows_inputs) return std::nullopt;
  return layer.policy.compute;
}

LayerInfo info_of(const core::LayerSpec& layer) {
  LayerInfo info{layer.name, layer.class_name, layer.path, keras::config_of(layer), {}, compute_dtype_of(layer)};
  if (!model::has_given_statistics(layer)) {
    for (const core::Weight& w : layer.weights) info.weights.emplace_back(w.name, w.value->view());
  }
  const bool holds = std::holds_alternative<core::TimeDistributedParams>(layer.params);  // the wrapped layer is listed separately
  if (const core::LayerSpec* inside = core::layer_inside(layer); inside != nullptr && !holds) {
    for (const core::Weight& w : inside->weights) info.weights.emplace_back(w.name, w.value->view());
  }
  return info;
}

std::string paths_of(const std::vector<const core::LayerSpec*>& layers) {
  std::string paths;
  for (const core::LayerSpec* layer : layers)
    paths += core::format("{}{}'", paths.empty() ? "'" : ", '", core::escaped(layer->path));
  return paths;
}

}  // namespace

const core::LayerSpec& model::layer_called(const core::ModelSpec& spec, std::string_view wanted, std::string_view caller) {
  for (const auto& layer : spec.layers) {
    if (layer->name == wanted) return *layer;
  }
  std::vector<const core::LayerSpec*> all;
  each_layer(spec, [&](const core::LayerSpec& layer) { all.push_back(&layer); });
  for (const std::string core::LayerSpec::*spelling : {&core::LayerSpec::path, &core::LayerSpec::name}) {
    std::vector<const core::LayerSpec*> found;
    for (const core::LayerSpec* layer : all) {
      // A model shared by two others is visited twice.
      if (layer->*spelling == wanted && std::find(found.begin(), found.end(), layer) == found.end()) found.push_back(layer);
    }
    if (found.size() == 1) return *found.front();
    if (found.empty()) continue;
    core::throw_argument(ErrorCode::value, core::format("[Model::{}] {} layers are named '{}'; choose one by its path: {}",
                                                        caller, found.size(), core::escaped(wanted), paths_of(found)));
  }
  core::throw_argument(ErrorCode::value, core::format("[Model::{}] no layer is named '{}'; known: {}", caller,
                                                      core::escaped(wanted), paths_of(all)));
}

namespace {

/// The name of an equivalent policy.
std::string policy_name(const core::Policy& policy) {
  return core::format("{}{}", policy.compute == policy.variable ? "" : "mixed_", to_string(policy.compute));
}

/// Replaces the `activation` of a layer, both as computed and as shown by get_config(): the caller's name, or the function's if
/// empty.
void set_activation(core::LayerSpec& layer, const ActivationSpec& activation, std::string_view name) {
  std::string shown =
      name.empty() ? keras::activation_config(activation, policy_name(layer.policy)) : nlohmann::json(name).dump();
  const bool found = std::visit(
      [&](auto& params) {
        if constexpr (requires { params.activation_layer; }) {
          params.activation = activation;
          params.activation_layer = nullptr;
          return true;
        } else if constexpr (std::is_same_v<std::decay_t<decltype(params)>, core::ActivationParams>) {
          if (layer.class_name != "Activation") return false;
          params = {activation, {}};
          return true;
        }
        return false;
      },
      layer.params);
  if (!found) {
    core::throw_argument(
        ErrorCode::value,
        core::format(
            "[Model::set_activation] layer '{}' ({}) has no activation to replace; Dense, EinsumDense and Activation layers have",
            core::escaped(layer.path), layer.class_name));
  }
  layer.activation_json = std::move(shown);
}

/// Files do not always say that two entries are one layer; then they share their weights.
bool is_same(const core::LayerSpec& a, const core::LayerSpec& b) {
  if (&a == &b) return true;
  return !a.weights.empty() && a.name == b.name && a.class_name == b.class_name &&
         std::equal(a.weights.begin(), a.weights.end(), b.weights.begin(), b.weights.end(),
                    [](const core::Weight& x, const core::Weight& y) { return x.value == y.value; });
}

/// Calls `use` with each entry that is `wanted`: nested models may share it, and be shared themselves.
template <typename F>
void each_same(const core::ModelSpec& spec, const core::LayerSpec& wanted, const F& use) {
  for (const auto& layer : spec.layers) {
    if (is_same(*layer, wanted)) use(*layer);
    if (const core::ModelSpec* nested = core::nested_model(*layer)) each_same(*nested, wanted, use);
  }
}

std::shared_ptr<const core::ModelSpec> with_new(const core::ModelSpec& spec, std::string_view layer,
                                                const ActivationSpec& activation, std::string_view name) {
  const core::LayerSpec& found = model::layer_called(spec, layer, "set_activation");
  core::LayerChanges changes;
  each_same(spec, found, [&](const core::LayerSpec& same) {
    changes.copy_of(same, [&](core::LayerSpec& copy) { set_activation(copy, activation, name); });
  });
  LAMELLA_EXPECTS(!changes.empty(), unsupported,
                  "[Model::set_activation] layer '{}' is inside a TimeDistributed; its activation cannot be replaced",
                  core::escaped(found.path));
  return std::move(changes).apply_to(spec);
}

}  // namespace

bool model::has_given_statistics(const core::LayerSpec& layer) {
  const auto* normalization = std::get_if<core::NormalizationParams>(&layer.params);
  return normalization != nullptr && normalization->given;
}

std::shared_ptr<const core::ModelSpec> model::with_activation(const core::ModelSpec& spec, std::string_view layer,
                                                              std::string_view activation, HardSigmoid hard_sigmoid) {
  ActivationSpec function = activation_of(activation);
  if (function.kind == ActivationKind::HardSigmoid && keras::is_keras2(hard_sigmoid, spec.keras_version))
    function = {.kind = ActivationKind::HardSigmoidKeras2};
  return with_new(spec, layer, function, activation);
}

std::shared_ptr<const core::ModelSpec> model::with_activation(const core::ModelSpec& spec, std::string_view layer,
                                                              const ActivationSpec& activation) {
  return with_new(spec, layer, activation, {});
}

std::vector<LayerInfo> Model::layers() const {
  std::vector<LayerInfo> result;
  each_layer(*impl_->spec, [&](const core::LayerSpec& layer) { result.push_back(info_of(layer)); });
  return result;
}

LayerInfo Model::get_layer(std::string_view name) const { return info_of(model::layer_called(*impl_->spec, name, "get_layer")); }

std::vector<TensorView> Model::weights() const {
  std::vector<TensorView> result;
  for (const LayerInfo& info : layers()) {
    for (const auto& [name, view] : info.weights) result.push_back(view);
  }
  return result;
}

}  // namespace lamella
