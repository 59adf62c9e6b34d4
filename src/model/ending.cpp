// SPDX-License-Identifier: Apache-2.0
// A model cut off after one of its layers.
#include <algorithm>
#include <utility>

#include "model/impl.hpp"

namespace lamella {
namespace {

using SpecPtr = std::shared_ptr<const core::ModelSpec>;

/// The nodes that lead to `last`, and the model's inputs, which stay as in Keras.
std::vector<bool> needed_nodes(const core::ModelSpec& spec, std::size_t last) {
  std::vector<bool> needed(spec.nodes.size(), false);
  needed[last] = true;
  for (const core::ValueRef& input : spec.inputs) needed[static_cast<std::size_t>(input.node)] = true;
  for (std::size_t n = last + 1; n-- > 0;) {  // each node comes after its inputs
    if (!needed[n]) continue;
    for (const core::ValueRef& ref : spec.nodes[n].inputs) needed[static_cast<std::size_t>(ref.node)] = true;
  }
  return needed;
}

/// `spec` up to node `last`; `inside`: the end of the nested model that this node calls, or null for all of it.
SpecPtr cut(const core::ModelSpec& spec, std::size_t last, const SpecPtr& inside, const std::string& output_name) {
  const std::vector<bool> needed = needed_nodes(spec, last);
  std::vector<int> layer_at(spec.layers.size(), -1);
  for (std::size_t n = 0; n < needed.size(); ++n) {
    if (needed[n]) layer_at[static_cast<std::size_t>(spec.nodes[n].layer)] = 0;
  }
  auto result = std::make_shared<core::ModelSpec>();
  result->name = spec.name;
  result->class_name = "Functional";
  result->keras_version = spec.keras_version;
  result->input_names = spec.input_names;
  for (std::size_t l = 0; l < layer_at.size(); ++l) {
    if (layer_at[l] < 0) continue;
    layer_at[l] = static_cast<int>(result->layers.size());
    result->layers.push_back(spec.layers[l]);
  }
  std::vector<int> node_at(spec.nodes.size(), -1);
  const auto moved = [&](core::ValueRef ref) {
    ref.node = node_at[static_cast<std::size_t>(ref.node)];
    return ref;
  };
  for (std::size_t n = 0; n < needed.size(); ++n) {
    if (!needed[n]) continue;
    node_at[n] = static_cast<int>(result->nodes.size());
    core::NodeSpec node = spec.nodes[n];
    node.layer = layer_at[static_cast<std::size_t>(node.layer)];
    for (core::ValueRef& ref : node.inputs) ref = moved(ref);
    result->nodes.push_back(std::move(node));
  }
  for (const core::ValueRef& input : spec.inputs) result->inputs.push_back(moved(input));

  auto& layer = result->layers[static_cast<std::size_t>(result->nodes.back().layer)];
  if (inside) {
    auto copy = std::make_shared<core::LayerSpec>(*layer);
    copy->params = core::NestedParams{inside};
    copy->config_json = "{}";  // Keras has no config for a part of a model
    layer = std::move(copy);
  }
  const auto* nested = std::get_if<core::NestedParams>(&layer->params);
  const std::size_t outputs = nested != nullptr ? nested->model->outputs.size() : 1;
  result->output_names = outputs == 1 ? std::vector<std::string>{output_name} : nested->model->output_names;
  for (std::size_t i = 0; i < outputs; ++i) result->outputs.push_back({node_at[last], static_cast<int>(i)});
  return result;
}

/// `spec` cut off after `wanted`; null if it does not contain it.
SpecPtr ending(const core::ModelSpec& spec, const core::LayerSpec& wanted) {
  std::vector<std::pair<std::size_t, SpecPtr>> calls;
  for (std::size_t n = 0; n < spec.nodes.size(); ++n) {
    const core::LayerSpec& layer = *spec.layers[static_cast<std::size_t>(spec.nodes[n].layer)];
    const auto* nested = std::get_if<core::NestedParams>(&layer.params);
    SpecPtr inside = &layer != &wanted && nested != nullptr ? ending(*nested->model, wanted) : nullptr;
    if (&layer == &wanted || inside) calls.emplace_back(n, std::move(inside));
  }
  if (calls.empty()) return nullptr;
  LAMELLA_EXPECTS(calls.size() == 1, unsupported,
                  "[Model::output_of] layer '{}' is called {} times; allowed are layers that are called once",
                  core::escaped(wanted.path), calls.size());
  return cut(spec, calls.front().first, calls.front().second, wanted.name);
}

}  // namespace

SpecPtr model::ending_at(const core::ModelSpec& spec, std::string_view layer) {
  const core::LayerSpec& wanted = layer_called(spec, layer, "output_of");
  auto result = ending(spec, wanted);
  LAMELLA_EXPECTS(result, unsupported, "[Model::output_of] layer '{}' is inside a TimeDistributed and has no output of its own",
                  core::escaped(wanted.path));
  return result;
}

}  // namespace lamella
