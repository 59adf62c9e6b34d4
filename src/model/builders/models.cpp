// SPDX-License-Identifier: Apache-2.0
#include <lamella/models.hpp>

#include <algorithm>
#include <optional>

#include "model/builders/state.hpp"
#include "model/impl.hpp"

namespace lamella {
namespace {

using core::Access;
using model::Layout;

std::shared_ptr<model::LayerState> make_network(const char* class_name, const ModelOptions& options) {
  LAMELLA_EXPECTS(options.name.find('/') == std::string::npos, value, "[{}] name: got '{}', allowed no '/'", class_name,
                  core::escaped(options.name));
  auto state = std::make_shared<model::LayerState>();
  state->class_name = class_name;
  state->name = options.name;
  state->arguments = {{"trainable", options.trainable}};
  state->network = std::make_unique<model::NetworkState>();
  state->network->seed = options.seed;
  return state;
}

const Layout& layout_of(const model::LayerState& state, const char* where) {
  LAMELLA_EXPECTS(state.network->layout, argument,
                  "[{}::{}] the input shape of '{}' is unknown: build() it, or put an Input first", state.class_name, where,
                  core::escaped(model::shown_name(state)));
  return *state.network->layout;
}

void append(model::LayerState& sequential, const std::shared_ptr<model::LayerState>& layer) {
  model::NetworkState& own = *sequential.network;
  const std::string shown = core::escaped(model::shown_name(*layer));
  if (model::is_input(*layer)) {
    LAMELLA_EXPECTS(own.stack.empty() && !own.input, value, "[Sequential::add] Input '{}' may only come first", shown);
    own.input = Access::tensor(model::call_of(layer, {}), 0);
    return;
  }
  LAMELLA_EXPECTS(layer.get() != &sequential, value, "[Sequential::add] '{}' cannot contain itself", shown);
  LAMELLA_EXPECTS(std::find(own.stack.begin(), own.stack.end(), layer) == own.stack.end(), value,
                  "[Sequential::add] layer '{}' is already in the model; a Functional may call a layer twice", shown);
  own.stack.push_back(layer);
}

/// Appends layers, and rebuilds the model if it has an input.
void extend(model::LayerState& sequential, const std::vector<Layer>& layers) {
  model::NetworkState& own = *sequential.network;
  LAMELLA_EXPECTS(sequential.calls == 0, argument, "[Sequential::add] '{}' is part of another model and may not change",
                  core::escaped(model::shown_name(sequential)));
  const auto stack = own.stack;
  const auto input = own.input;
  const auto layout = own.layout;
  try {
    for (const Layer& layer : layers) append(sequential, Access::state(layer));
    static_cast<void>(model::unique_names(own.stack));
    if (const auto from = layout ? std::optional(layout->inputs.values.at(0)) : own.input; from && !own.stack.empty()) {
      model::Building building(own.seed);
      building.sequential(sequential, *from);
      building.commit();
    }
  } catch (...) {
    own.stack = stack;
    own.input = input;
    own.layout = layout;
    throw;
  }
  for (const Layer& layer : layers) ++Access::state(layer)->calls;
}

}  // namespace

Model Network::compile(const Options& options) const {
  const core::LogDelivery delivery;
  const core::FloatEnvironment environment;
  static_cast<void>(layout_of(*Access::state(*this), "compile"));
  return Access::model(model::spec_of(*Access::state(*this), options.hard_sigmoid), options);
}

std::string Network::summary() const {
  static_cast<void>(layout_of(*Access::state(*this), "summary"));
  return model::summary_of(*model::spec_of(*Access::state(*this)));
}

std::vector<Layer> Network::layers() const {
  std::vector<Layer> result;
  if (class_name() == "Sequential") {
    for (const auto& layer : Access::state(*this)->network->stack) result.push_back(Access::layer(layer));
  } else {
    for (const Layout::Entry& entry : Access::state(*this)->network->layout->layers) result.push_back(Access::layer(entry.layer));
  }
  return result;
}

Layer Network::get_layer(std::string_view name) const {
  std::string names;
  for (const Layout::Entry& entry : layout_of(*Access::state(*this), "get_layer").layers) {
    if (entry.name == name) return Access::layer(entry.layer);
    names += core::format("{}{}'", names.empty() ? "'" : ", '", core::escaped(entry.name));
  }
  core::throw_argument(ErrorCode::value, core::format("[{}::get_layer] no layer is named '{}'; known: {}", class_name(),
                                                      core::escaped(name), names));
}

Sequential::Sequential(const std::vector<Layer>& layers, const ModelOptions& options)
    : Network(make_network("Sequential", options)) {
  extend(*Access::state(*this), layers);
}

void Sequential::add(const Layer& layer) { extend(*Access::state(*this), {layer}); }

Functional::Functional(const OneOrMany<KerasTensor>& inputs, const OneOrMany<KerasTensor>& outputs, const ModelOptions& options)
    : Network(make_network("Functional", options)) {
  model::Building building(options.seed);
  building.network(*Access::state(*this), inputs, outputs);
  building.commit();
}

}  // namespace lamella
