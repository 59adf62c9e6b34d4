// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>

#include "core/spec.hpp"

namespace lamella::core {

/// Changes to layers of a model, which is itself immutable. A layer used in several places is changed once, for all of
/// them.
class LayerChanges {
 public:
  /// The copy of `layer` that replaces it; created on first request, and then passed to `made`.
  template <typename Made>
  LayerSpec& copy_of(const LayerSpec& layer, const Made& made) {
    std::shared_ptr<LayerSpec>& copy = copies_[&layer];
    if (!copy) {
      copy = std::make_shared<LayerSpec>(layer);
      made(*copy);
    }
    return *copy;
  }
  LayerSpec& copy_of(const LayerSpec& layer) {
    return copy_of(layer, [](LayerSpec&) {});
  }
  [[nodiscard]] bool empty() const noexcept { return copies_.empty(); }

  /// `model` with the copies in place of their originals, including in nested models and inside other layers. Ends the changes:
  /// the copies belong to the new model.
  [[nodiscard]] std::shared_ptr<const ModelSpec> apply_to(const ModelSpec& model) &&;
  [[nodiscard]] std::shared_ptr<const LayerSpec> apply_to(const std::shared_ptr<const LayerSpec>& layer) &&;

 private:
  std::map<const LayerSpec*, std::shared_ptr<LayerSpec>> copies_;
};

}  // namespace lamella::core
