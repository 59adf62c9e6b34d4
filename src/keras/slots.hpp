// SPDX-License-Identifier: Apache-2.0
// Shared by both layouts of weights: from a dataset to a layer's weight.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "core/layer_changes.hpp"
#include "keras/hdf5/hdf5.hpp"
#include "keras/where.hpp"

namespace lamella::keras {

/// A view of the dataset's bytes, which it keeps alive.
[[nodiscard]] Tensor tensor_of(H5Dataset dataset);

/// A model whose layers get weights.
class Filling {
 public:
  /// The replacement of `layer`, without the weights that come from files until they are stored.
  core::LayerSpec& copy_of(const core::LayerSpec& layer);

  /// Sets the weight `name` of `layer`; "count" is ignored, and if a file holds a layer twice the first weights stay. Throws
  /// LoadError if dtype or shape cannot be right.
  void store(const core::LayerSpec& layer, std::string_view name, H5Dataset dataset, const Where& where);

  /// Whether the layer inside `layer`, whose weights a file does not hold, was removed: see the definition.
  [[nodiscard]] bool replace_unsaved_prelu(const core::LayerSpec& layer);

  [[nodiscard]] std::shared_ptr<const core::ModelSpec> done(const core::ModelSpec& model) && {
    return std::move(changes_).apply_to(model);
  }

 private:
  core::LayerChanges changes_;
};

}  // namespace lamella::keras
