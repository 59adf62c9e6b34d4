// SPDX-License-Identifier: Apache-2.0
#include "core/layer_changes.hpp"

#include <utility>

namespace lamella::core {
namespace {

using Copies = std::map<const LayerSpec*, std::shared_ptr<LayerSpec>>;
using Layer = std::shared_ptr<const LayerSpec>;

/// Replaces layers by their copies, and copies whatever contains them.
class Replacing {
 public:
  explicit Replacing(Copies copies) : copies_(std::move(copies)) {}

  /// Null: none of its layers changes.
  std::shared_ptr<const ModelSpec> in(const ModelSpec& model) {
    std::shared_ptr<ModelSpec> result;
    for (std::size_t i = 0; i < model.layers.size(); ++i) {
      Layer changed = of(model.layers[i]);
      if (changed == model.layers[i]) continue;
      if (!result) result = std::make_shared<ModelSpec>(model);
      result->layers[i] = std::move(changed);
    }
    return result;
  }

  Layer of(const Layer& layer) {
    if (const auto known = done_.find(layer.get()); known != done_.end()) return known->second;
    const auto own = copies_.find(layer.get());
    std::shared_ptr<LayerSpec> copy = own == copies_.end() ? nullptr : own->second;
    const LayerSpec& now = copy ? *copy : *layer;
    if (const ModelSpec* nested = nested_model(now)) {
      if (auto model = in(*nested)) std::get<NestedParams>(changed(copy, *layer).params).model = std::move(model);
    }
    if (const Layer* inner = inner_layer(now.params); inner != nullptr && *inner) {
      if (Layer changed_inner = of(*inner); changed_inner != *inner)
        *inner_layer(changed(copy, *layer).params) = std::move(changed_inner);
    }
    return done_[layer.get()] = copy ? copy : layer;
  }

 private:
  static LayerSpec& changed(std::shared_ptr<LayerSpec>& copy, const LayerSpec& layer) {
    if (!copy) copy = std::make_shared<LayerSpec>(layer);
    return *copy;
  }

  Copies copies_;
  std::map<const LayerSpec*, Layer> done_;
};

}  // namespace

std::shared_ptr<const ModelSpec> LayerChanges::apply_to(const ModelSpec& model) && {
  auto result = Replacing(std::move(copies_)).in(model);
  return result ? result : std::make_shared<const ModelSpec>(model);
}

std::shared_ptr<const LayerSpec> LayerChanges::apply_to(const std::shared_ptr<const LayerSpec>& layer) && {
  return Replacing(std::move(copies_)).of(layer);
}

}  // namespace lamella::core
