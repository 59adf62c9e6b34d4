// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/spec.hpp"

/// What a file holds of a layer, as its spec says.
namespace lamella::keras {

struct StoredWeight {
  std::string_view name;  ///< Keras'; "count" is stored and not used
  bool trained = true;    ///< whether training changes it where the layer is not frozen
};

/// The layer's own weights in the order in which a .keras file stores them. A Normalization whose config gives mean and variance
/// has none.
[[nodiscard]] std::vector<StoredWeight> stored_weights(const core::LayerSpec& layer);

/// Whether training changes this weight of the layer: where the layer is not frozen, and by the weight's nature.
[[nodiscard]] bool is_trained(const core::LayerSpec& layer, std::string_view weight);

/// The layer's `config` object as get_config() shows it.
[[nodiscard]] std::string config_of(const core::LayerSpec& layer);

/// What a .keras file calls the layer's class: "batch_normalization". Of several in a model the second has "_1" behind it.
[[nodiscard]] std::string archive_key(const core::LayerSpec& layer);

/// The key of the layer inside this one, see core::layer_inside(), in the config and in a .keras file.
[[nodiscard]] std::string_view inner_key(const core::LayerSpec& layer);

}  // namespace lamella::keras
