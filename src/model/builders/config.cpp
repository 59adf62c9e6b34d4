// SPDX-License-Identifier: Apache-2.0
// Converts builders to Keras configs, which the file reader then parses.
#include <algorithm>
#include <cctype>
#include <cmath>
#include <numeric>
#include <set>

#include "core/layer_changes.hpp"
#include "keras/reading.hpp"
#include "keras/stored.hpp"
#include "model/builders/state.hpp"

namespace lamella::model {
namespace {

/// Rethrows src/keras' errors about a config as errors of the caller who wrote it.
template <typename F>
auto as_argument_error(const F& f) {
  try {
    return f();
  } catch (const LoadError& error) {
    throw ArgumentError(error.code(), std::string(core::without_code(error.what())));
  }
}

bool is_finite(const Config& value) {
  if (value.is_number_float()) return std::isfinite(value.get<double>());
  return !value.is_structured() || std::all_of(value.begin(), value.end(), is_finite);
}

Config extents_of(const std::vector<std::int64_t>& sample) {
  Config shape = Config::array({nullptr});
  for (const std::int64_t extent : sample) shape.push_back(extent < 0 ? Config() : Config(extent));
  return shape;
}

using Entries = std::map<const LayerState*, const Layout::Entry*>;

/// [name, call, output], where only the layer's calls in this model are counted.
Config history_config(const KerasTensor& tensor, const Entries& entries, std::size_t first = 0) {
  const Layout::Entry& entry = *entries.at(Access::call(tensor)->layer.get());
  const auto call = std::find(entry.calls.begin(), entry.calls.end(), Access::call(tensor).get()) - entry.calls.begin();
  return Config::array({entry.name, first + static_cast<std::size_t>(call), Access::output(tensor)});
}

Config tensor_config(const Layout& layout, const KerasTensor& tensor, const Entries& entries) {
  const ValueInfo& value = layout.values.at(Access::call(tensor).get()).at(static_cast<std::size_t>(Access::output(tensor)));
  return {{"class_name", "__keras_tensor__"},
          {"config",
           {{"shape", extents_of(value.sample)}, {"dtype", value.dtype}, {"keras_history", history_config(tensor, entries)}}}};
}

Config node_config(const Layout& layout, const CallState& call, const Entries& entries) {
  Config inputs = Config::array();
  for (const KerasTensor& tensor : call.inputs.values) inputs.push_back(tensor_config(layout, tensor, entries));
  return {{"args", call.inputs.list ? Config::array({inputs}) : inputs}, {"kwargs", Config::object()}};
}

/// input_layers and output_layers, where Keras counts the calls of a nested Functional from 1.
Config boundary_config(const OneOrMany<KerasTensor>& tensors, const Entries& entries) {
  Config result = Config::array();
  for (const KerasTensor& tensor : tensors.values) {
    result.push_back(history_config(tensor, entries, Access::call(tensor)->layer->class_name == "Functional" ? 1 : 0));
  }
  return tensors.list ? result : result.at(0);
}

void add_functional(const Layout& layout, Config& config) {
  Entries entries;
  for (const Layout::Entry& entry : layout.layers) entries[entry.layer.get()] = &entry;
  Config& layers = config["layers"] = Config::array();
  for (const Layout::Entry& entry : layout.layers) {
    Config object = object_of(*entry.layer, entry.name);
    object["name"] = entry.name;
    Config& nodes = object["inbound_nodes"] = Config::array();
    for (const CallState* call : entry.calls) {
      if (!is_input(*entry.layer)) nodes.push_back(node_config(layout, *call, entries));
    }
    layers.push_back(std::move(object));
  }
  config["input_layers"] = boundary_config(layout.inputs, entries);
  config["output_layers"] = boundary_config(layout.outputs, entries);
}

void add_sequential(const NetworkState& network, Config& config) {
  config["dtype"] = policy_config("float32");
  Config& layers = config["layers"] = Config::array();
  if (network.layout) {
    for (const Layout::Entry& entry : network.layout->layers) layers.push_back(object_of(*entry.layer, entry.name));
    config["build_input_shape"] = layers.at(0).at("config").at("batch_shape");
    return;
  }
  const std::vector<std::string> names = unique_names(network.stack);
  for (std::size_t i = 0; i < names.size(); ++i) layers.push_back(object_of(*network.stack[i], names[i]));
}

void fill_model(core::LayerChanges& changes, const core::ModelSpec& spec, const Layout& layout);

void fill_layer(core::LayerChanges& changes, const core::LayerSpec& spec, const LayerState& layer) {
  if (const auto* nested = core::nested_model(spec)) return fill_model(changes, *nested, *layer.network->layout);
  const std::vector<keras::StoredWeight> stored = keras::stored_weights(spec);
  for (std::size_t i = 0; i < stored.size(); ++i)
    changes.copy_of(spec).weights.push_back({std::string(stored[i].name), layer.weights.at(i)});
  if (const core::LayerSpec* inside = core::layer_inside(spec)) fill_layer(changes, *inside, *layer.inner);
}

void fill_model(core::LayerChanges& changes, const core::ModelSpec& spec, const Layout& layout) {
  LAMELLA_ASSERT(spec.layers.size() == layout.layers.size(), "a built model has {} layers, its config {}", layout.layers.size(),
                 spec.layers.size());
  for (std::size_t i = 0; i < layout.layers.size(); ++i) fill_layer(changes, *spec.layers[i], *layout.layers[i].layer);
}

std::shared_ptr<const core::LayerSpec> read(const LayerState& layer, const std::string& name) {
  keras::Reading reading;
  reading.where = keras::Where("[" + layer.class_name + "]");
  const keras::Json object = object_of(layer, name);
  return as_argument_error([&] { return keras::read_any(object, name, reading); });
}

}  // namespace

std::string default_name(std::string_view class_name) {
  const auto lower = [&](std::size_t i) {
    return i < class_name.size() && std::islower(static_cast<unsigned char>(class_name[i])) != 0;
  };
  std::string name;
  for (std::size_t i = 0; i < class_name.size(); ++i) {
    const auto c = static_cast<unsigned char>(class_name[i]);
    if (std::isupper(c) != 0 && i > 0 && (lower(i - 1) || lower(i + 1))) name += '_';
    name += static_cast<char>(std::tolower(c));
  }
  return name;
}

std::string shown_name(const LayerState& layer) { return layer.name.empty() ? default_name(layer.class_name) : layer.name; }

std::vector<std::string> unique_names(const std::vector<std::shared_ptr<LayerState>>& layers) {
  std::set<std::string> taken;
  for (const auto& layer : layers) {
    LAMELLA_EXPECTS(layer->name.empty() || taken.insert(layer->name).second, value, "two layers of a model are named '{}'",
                    core::escaped(layer->name));
  }
  std::vector<std::size_t> by_age(layers.size());
  std::iota(by_age.begin(), by_age.end(), 0U);
  std::sort(by_age.begin(), by_age.end(), [&](std::size_t a, std::size_t b) { return layers[a]->serial < layers[b]->serial; });
  std::map<std::string, int> next;
  std::vector<std::string> names(layers.size());
  for (const std::size_t i : by_age) {
    names[i] = shown_name(*layers[i]);
    if (!layers[i]->name.empty()) continue;
    const std::string base = names[i];
    for (int& number = next[base];; ++number) {
      names[i] = number == 0 ? base : core::format("{}_{}", base, number);
      if (taken.insert(names[i]).second) break;
    }
  }
  return names;
}

Config policy_config(const std::string& name) {
  return {{"module", "keras"}, {"class_name", "DTypePolicy"}, {"config", {{"name", name}}}, {"registered_name", nullptr}};
}

Config config_of(const LayerState& layer, const std::string& name) {
  Config config{{"name", name}};
  config.update(layer.arguments);
  if (layer.class_name == "TimeDistributed") config["layer"] = object_of(*layer.inner, shown_name(*layer.inner));
  if (!layer.network) return config;
  if (layer.class_name == "Sequential") {
    add_sequential(*layer.network, config);
  } else {
    add_functional(*layer.network->layout, config);
  }
  return config;
}

Config object_of(const LayerState& layer, const std::string& name) {
  const bool functional = layer.class_name == "Functional";
  const char* module = functional                              ? "keras.src.models.functional"
                       : layer.network                         ? "keras"
                       : layer.class_name == "ThresholdedReLU" ? "keras._legacy.layers"
                                                               : "keras.layers";
  return {{"module", module},
          {"class_name", layer.class_name},
          {"config", config_of(layer, name)},
          {"registered_name", functional ? Config("Functional") : Config()}};
}

std::shared_ptr<LayerState> make_layer(std::string class_name, const std::string& name, Config arguments,
                                       std::map<std::string, Initializer> initializers, std::shared_ptr<LayerState> inner) {
  auto layer = std::make_shared<LayerState>();
  layer->class_name = std::move(class_name);
  layer->name = name;
  layer->arguments = std::move(arguments);
  layer->initializers = std::move(initializers);
  layer->inner = std::move(inner);
  LAMELLA_EXPECTS(name.find('/') == std::string::npos, value, "[{}] name: got '{}', allowed no '/'", layer->class_name,
                  core::escaped(name));
  for (const auto& [key, value] : layer->arguments.items()) {
    LAMELLA_EXPECTS(is_finite(value), value, "[{}] {}: got a number that is not finite", layer->class_name, key);
  }
  layer->prototype = read(*layer, shown_name(*layer));
  return layer;
}

std::shared_ptr<const core::ModelSpec> spec_of(const LayerState& network, HardSigmoid hard_sigmoid) {
  keras::Reading reading;
  reading.where = keras::Where("[" + network.class_name + "]");
  reading.keras2_hard_sigmoid = hard_sigmoid == HardSigmoid::keras2;
  const keras::Json object = object_of(network, shown_name(network));
  const auto spec = as_argument_error([&] { return keras::read_model(object, "", reading); });
  core::LayerChanges weights;
  fill_model(weights, *spec, *network.network->layout);
  auto whole = std::make_shared<core::ModelSpec>(*std::move(weights).apply_to(*spec));
  whole->config_json = std::make_shared<const std::string>(object.dump());
  return whole;
}

std::shared_ptr<const core::LayerSpec> layer_spec_of(const LayerState& layer, const std::string& name) {
  const auto spec = read(layer, name);
  core::LayerChanges weights;
  fill_layer(weights, *spec, layer);
  return std::move(weights).apply_to(spec);
}

}  // namespace lamella::model
