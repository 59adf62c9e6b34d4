// SPDX-License-Identifier: Apache-2.0
// Calls of layers, and the graph between inputs and outputs in the order in which Keras lists it: its configs and get_weights()
// follow it.
#include <algorithm>
#include <set>

#include "model/builders/state.hpp"

namespace lamella::model {
namespace {

constexpr int kDeepest = 5'000;

/// Keras' order: layers by depth, the distance from the outputs; layers of equal depth in the order of a walk back from the
/// outputs.
class Ordering {
 public:
  explicit Ordering(const OneOrMany<KerasTensor>& inputs) {
    for (const KerasTensor& input : inputs.values) given_.insert(Access::call(input).get());
  }

  /// Depth first, inputs before their consumers. No recursion: a graph may be deeper than a thread's stack.
  void visit(const CallState* output) {
    std::vector<Step> path;
    enter(output, path);
    while (!path.empty()) {
      Step& step = path.back();
      const auto& inputs = step.call->inputs.values;
      if (step.entered < inputs.size()) {
        enter(Access::call(inputs[step.entered++]).get(), path);
      } else {
        calls_.push_back(step.call);
        path.pop_back();
      }
    }
  }

  std::vector<const CallState*> finish() {
    std::map<const CallState*, int> call_depths;
    for (auto call = calls_.rbegin(); call != calls_.rend(); ++call) {
      int& layer_depth = depths_[(*call)->layer.get()];
      layer_depth = std::max(layer_depth, call_depths[*call]);
      for (const KerasTensor& input : (*call)->inputs.values) {
        int& before = call_depths[Access::call(input).get()];
        before = std::max(before, layer_depth + 1);
      }
    }
    // Inputs that nothing depends on still belong to the model.
    for (const CallState* input : given_) {
      if (!visited_.insert(input).second) continue;
      depths_[input->layer.get()] = 0;
      found_[input->layer.get()] = -1;
      calls_.push_back(input);
    }
    return calls_;
  }

  /// Whether layer a comes before b.
  bool before(const LayerState* a, const LayerState* b) const {
    return std::pair(-depths_.at(a), found_.at(a)) < std::pair(-depths_.at(b), found_.at(b));
  }

 private:
  struct Step {
    const CallState* call;
    std::size_t entered = 0;  // of its inputs
  };
  void enter(const CallState* call, std::vector<Step>& path) {
    if (!visited_.insert(call).second) return;
    found_.emplace(call->layer.get(), static_cast<int>(found_.size()));
    LAMELLA_EXPECTS(!is_input(*call->layer) || given_.contains(call), value,
                    "[Functional] an output depends on Input '{}', which is not among the inputs",
                    core::escaped(shown_name(*call->layer)));
    path.push_back({.call = call});
  }

  std::set<const CallState*> given_;
  std::set<const CallState*> visited_;
  std::map<const LayerState*, int> found_;
  std::map<const LayerState*, int> depths_;
  std::vector<const CallState*> calls_;
};

void expect_inputs(const OneOrMany<KerasTensor>& inputs, const OneOrMany<KerasTensor>& outputs) {
  LAMELLA_EXPECTS(!inputs.values.empty() && !outputs.values.empty(), argument,
                  "[Functional] got {} inputs and {} outputs, allowed 1..", inputs.values.size(), outputs.values.size());
  std::set<const CallState*> seen;
  for (const KerasTensor& input : inputs.values) {
    const std::string name = core::escaped(shown_name(*Access::call(input)->layer));
    LAMELLA_EXPECTS(is_input(*Access::call(input)->layer), value,
                    "[Functional] an input comes from layer '{}' ({}), allowed values of Input()", name,
                    Access::call(input)->layer->class_name);
    LAMELLA_EXPECTS(seen.insert(Access::call(input).get()).second, value, "[Functional] input '{}' is given twice", name);
  }
}

}  // namespace

std::shared_ptr<const CallState> call_of(const std::shared_ptr<LayerState>& layer, const OneOrMany<KerasTensor>& inputs,
                                         int number) {
  auto call = std::make_shared<CallState>();
  for (const KerasTensor& input : inputs.values) call->depth = std::max(call->depth, Access::call(input)->depth + 1);
  LAMELLA_EXPECTS(call->depth <= kDeepest, argument, "[{}] follows {} layer calls, allowed 0..{}", layer->class_name, call->depth,
                  kDeepest);
  call->layer = layer;
  call->inputs = inputs;
  call->number = number;
  return call;
}

Layout layout_of(const OneOrMany<KerasTensor>& inputs, const OneOrMany<KerasTensor>& outputs) {
  expect_inputs(inputs, outputs);
  Ordering order(inputs);
  for (const KerasTensor& output : outputs.values) order.visit(Access::call(output).get());
  Layout layout;
  layout.inputs = inputs;
  layout.outputs = outputs;
  layout.calls = order.finish();
  std::map<const LayerState*, std::size_t> index;
  for (const CallState* call : layout.calls) {
    const auto [known, is_new] = index.emplace(call->layer.get(), layout.layers.size());
    if (is_new) layout.layers.push_back({call->layer, {}, {}});
    layout.layers[known->second].calls.push_back(call);
  }
  std::stable_sort(layout.layers.begin(), layout.layers.end(),
                   [&](const Layout::Entry& a, const Layout::Entry& b) { return order.before(a.layer.get(), b.layer.get()); });
  std::vector<std::shared_ptr<LayerState>> layers;
  for (Layout::Entry& entry : layout.layers) {
    std::sort(entry.calls.begin(), entry.calls.end(),
              [](const CallState* a, const CallState* b) { return a->number < b->number; });
    layers.push_back(entry.layer);
  }
  const std::vector<std::string> names = unique_names(layers);
  for (std::size_t i = 0; i < names.size(); ++i) layout.layers[i].name = names[i];
  return layout;
}

}  // namespace lamella::model
