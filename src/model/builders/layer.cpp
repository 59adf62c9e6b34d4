// SPDX-License-Identifier: Apache-2.0
// The member functions of layer and model handles.
#include <lamella/layer.hpp>

#include <atomic>
#include <set>

#include "keras/stored.hpp"
#include "model/builders/state.hpp"

namespace lamella {
namespace {

using model::LayerState;

/// One weight: a layer, and an index into its weights.
struct Slot {
  LayerState* layer;
  std::size_t at;
};

void collect(LayerState& layer, std::set<const LayerState*>& seen, std::vector<Slot>& into) {
  if (!seen.insert(&layer).second) return;
  if (layer.network) {
    for (const auto& entry : layer.network->layout->layers) collect(*entry.layer, seen, into);
    return;
  }
  for (std::size_t i = 0; i < layer.weights.size(); ++i) into.push_back({&layer, i});
  if (layer.inner) collect(*layer.inner, seen, into);
}

/// All weights of a built layer in Keras' order, each once.
std::vector<Slot> slots_of(LayerState& layer, const char* where) {
  LAMELLA_EXPECTS(model::is_built(layer), argument,
                  "[Layer::{}] '{}' ({}) has no weights yet: build() it, or make a model with it", where,
                  core::escaped(model::shown_name(layer)), layer.class_name);
  std::set<const LayerState*> seen;
  std::vector<Slot> slots;
  collect(layer, seen, slots);
  return slots;
}

std::shared_ptr<const Tensor> converted(const TensorView& view, DType dtype) {
  return std::make_shared<const Tensor>(Tensor::copy_of(view).to(Device::cpu()).to(dtype));
}

}  // namespace

model::LayerState::LayerState() {
  static std::atomic<std::uint64_t> made{0};
  serial = made++;
}

KerasTensor::operator Layer() const {
  LAMELLA_EXPECTS(model::is_input(*call_->layer), value,
                  "[Layer] a value of layer '{}' is used where a layer is needed; only a value of Input() may be",
                  core::escaped(model::shown_name(*call_->layer)));
  return core::Access::layer(call_->layer);
}

const std::string& Layer::class_name() const noexcept { return state_->class_name; }

std::string Layer::name() const { return model::shown_name(*state_); }

std::string Layer::get_config() const {
  return model::config_of(*state_, name()).dump(-1, ' ', true, model::Config::error_handler_t::replace);
}

void Layer::build(const std::vector<std::int64_t>& sample_shape, const BuildOptions& options) {
  const std::string shown = core::escaped(name());
  const KerasTensor input = Input(sample_shape);
  const std::uint64_t model_seed = state_->network ? state_->network->seed : 0;
  const bool weightless = !state_->network && keras::stored_weights(*state_->prototype).empty();
  LAMELLA_EXPECTS(weightless || !model::is_built(*state_), argument, "[Layer::build] '{}' ({}) is already built", shown,
                  state_->class_name);
  model::Building building(options.seed.value_or(model_seed));
  building.layer(*state_, shown, {model::input_value(*core::Access::call(input)->layer)});
  building.commit();
}

std::vector<Tensor> Layer::get_weights() const {
  std::vector<Tensor> weights;
  for (const Slot& slot : slots_of(*state_, "get_weights")) weights.push_back(slot.layer->weights[slot.at]->clone());
  return weights;
}

void Layer::set_weights(std::span<const TensorView> weights) {
  const core::FloatEnvironment environment;
  const std::vector<Slot> slots = slots_of(*state_, "set_weights");
  LAMELLA_EXPECTS(weights.size() == slots.size(), argument, "[Layer::set_weights] '{}' ({}) has {} weights, got {}",
                  core::escaped(name()), class_name(), slots.size(), weights.size());
  std::vector<std::shared_ptr<const Tensor>> values;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const LayerState& layer = *slots[i].layer;
    const Tensor& old = *layer.weights[slots[i].at];
    LAMELLA_EXPECTS(weights[i].shape() == old.shape(), shape, "[Layer::set_weights] weight {}, '{}/{}': got shape {}, allowed {}",
                    i, core::escaped(model::shown_name(layer)), keras::stored_weights(*layer.prototype)[slots[i].at].name,
                    to_string(weights[i].shape()), to_string(old.shape()));
    values.push_back(converted(weights[i], old.dtype()));
  }
  for (std::size_t i = 0; i < slots.size(); ++i) slots[i].layer->weights[slots[i].at] = std::move(values[i]);
}

void Layer::set_weights(std::span<const Tensor> weights) {
  set_weights(std::span<const TensorView>(std::vector<TensorView>(weights.begin(), weights.end())));
}

void Layer::set_weights(std::initializer_list<TensorView> weights) { set_weights(std::span(weights.begin(), weights.size())); }

std::int64_t Layer::count_params() const {
  std::int64_t count = 0;
  for (const Slot& slot : slots_of(*state_, "count_params")) count += slot.layer->weights[slot.at]->shape().elements();
  return count;
}

std::vector<KerasTensor> Layer::call(const OneOrMany<KerasTensor>& inputs) const {
  LAMELLA_EXPECTS(!model::is_input(*state_), argument, "[InputLayer] '{}' starts a graph and cannot be called",
                  core::escaped(name()));
  LAMELLA_EXPECTS(!inputs.values.empty(), argument, "[{}] '{}' is called without an input", class_name(), core::escaped(name()));
  const auto call = model::call_of(state_, inputs, state_->calls);
  ++state_->calls;
  std::vector<KerasTensor> outputs;
  for (std::size_t i = 0; i < model::output_count(*state_); ++i)
    outputs.push_back(core::Access::tensor(call, static_cast<int>(i)));
  return outputs;
}

KerasTensor Layer::operator()(const OneOrMany<KerasTensor>& inputs) const {
  const std::size_t count = model::output_count(*state_);
  LAMELLA_EXPECTS(count == 1, argument, "[{}] '{}' has {} outputs; call() returns all of them", class_name(),
                  core::escaped(name()), count);
  return call(inputs)[0];
}

}  // namespace lamella
