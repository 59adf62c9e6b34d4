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
  std::shared_ptr<LayerTree> activation;  ///< a layer used as a Dense's activation
};

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
[[nodiscard]] ParsedLayer parse_input(const Fields& f, const std::string& path, Reading& reading);
[[nodiscard]] ParsedLayer parse_merge(core::MergeKind kind, const Fields& f);

}  // namespace lamella::keras
