// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/spec.hpp"

/// What a file stores for a layer, derived from its spec.
namespace lamella::keras {

struct StoredWeight {
  std::string_view name;  ///< Keras' name; "count" is stored but not used
  bool trained = true;    ///< whether training changes it if the layer is not frozen
};

/// The layer's own weights in the order in which a .keras file stores them. A Normalization with mean and variance in its config
/// has none.
[[nodiscard]] std::vector<StoredWeight> stored_weights(const core::LayerSpec& layer);

/// Whether training changes this weight of the layer: the layer is not frozen, and the weight is trainable.
[[nodiscard]] bool is_trained(const core::LayerSpec& layer, std::string_view weight);

/// The layer's `config` object as get_config() shows it.
[[nodiscard]] std::string config_of(const core::LayerSpec& layer);

/// The name of the layer's class in a .keras file: "batch_normalization". The second in a model has the suffix "_1".
[[nodiscard]] std::string archive_key(const core::LayerSpec& layer);

/// The key of the inner layer, see core::layer_inside(), in the config and in a .keras file.
[[nodiscard]] std::string_view inner_key(const core::LayerSpec& layer);

}  // namespace lamella::keras
