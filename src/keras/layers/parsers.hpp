// SPDX-License-Identifier: Apache-2.0
// How the config of each layer class becomes parameters, and which weights the class has.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "keras/tree.hpp"

namespace lamella::keras {

/// Names in the order in which Keras stores them, and whether training changes them.
using WeightNames = std::vector<std::pair<std::string, bool>>;

/// What the config of one layer says.
struct ParsedLayer {
  core::LayerParams params;
  WeightNames weights;
  std::shared_ptr<LayerTree> inner;  ///< see LayerTree
  std::string inner_key;
};

/// What `activation` says: a string, a serialized function, a serialized layer, or null.
struct ParsedActivation {
  ActivationSpec spec;
  std::shared_ptr<LayerTree> layer;  ///< then `spec` is linear
};
[[nodiscard]] ParsedActivation read_activation(const Fields& fields, const std::string& path, Reading& reading);

[[nodiscard]] ParsedLayer parse_dense(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_activation(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_relu(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_leaky_relu(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_elu(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_thresholded_relu(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_softmax(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_prelu(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_identity(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_flatten(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_reshape(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_batch_normalization(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_layer_normalization(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_rescaling(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_normalization(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_concatenate(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_einsum_dense(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_permute(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_repeat_vector(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_masking(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_rms_normalization(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_unit_normalization(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_group_normalization(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_dot(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_time_distributed(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_global_average_pooling(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_global_max_pooling(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_cropping(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_zero_padding(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_category_encoding(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_discretization(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_integer_lookup(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_hashing(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_embedding(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_input(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_merge(core::MergeKind kind, const Fields& f);

}  // namespace lamella::keras
