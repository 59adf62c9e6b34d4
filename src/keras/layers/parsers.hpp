// SPDX-License-Identifier: Apache-2.0
// Parsers from the config of each layer class to its parameters.
#pragma once

#include <memory>
#include <string>

#include "keras/reading.hpp"

namespace lamella::keras {

/// The value of `activation`: a string, a serialized function, a serialized layer, or null.
struct ParsedActivation {
  ActivationSpec spec;
  std::shared_ptr<const core::LayerSpec> layer;  ///< then `spec` is linear
};
[[nodiscard]] ParsedActivation read_activation(const Fields& fields, const std::string& path, Reading& reading);

[[nodiscard]] core::LayerParams parse_dense(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_activation(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_relu(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_leaky_relu(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_elu(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_thresholded_relu(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_softmax(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_prelu(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_identity(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_flatten(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_reshape(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_batch_normalization(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_layer_normalization(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_rescaling(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_normalization(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_concatenate(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_einsum_dense(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_permute(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_repeat_vector(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_masking(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_rms_normalization(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_unit_normalization(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_group_normalization(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_dot(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_time_distributed(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_global_average_pooling(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_global_max_pooling(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_cropping(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_zero_padding(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_category_encoding(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_discretization(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_integer_lookup(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_hashing(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_embedding(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_input(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] core::LayerParams parse_merge(core::MergeKind kind, const Fields& f);

}  // namespace lamella::keras
