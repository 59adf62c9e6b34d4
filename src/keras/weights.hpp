// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "keras/container.hpp"
#include "keras/hdf5/hdf5.hpp"
#include "keras/reading.hpp"

namespace lamella::keras {

/// The datasets of a Keras 3 weights file by path, whichever file they are in.
struct WeightSource {
  std::function<bool(const std::string& group)> has_group;
  std::function<std::vector<std::string>(const std::string& group)> children;
  std::function<H5Dataset(const std::string& path)> dataset;
  Where where;
  std::function<std::optional<OwnedBytes>(const std::string& path)> asset =
      {};  ///< a file next to the weights; null if there cannot be one
};

/// One HDF5 file.
[[nodiscard]] WeightSource source_of(const std::shared_ptr<const H5File>& file, const Where& where);
/// An archive's weights, with its assets. The archive must outlive the source.
[[nodiscard]] WeightSource source_of(const Members& members);
/// NAME.weights.json, whose JSON is `index`, and its shards, which must be in the same folder.
[[nodiscard]] WeightSource source_of_shards(const std::string& path, const Json& index);

/// `model` with all weights from the Keras 3 layout (/layers/dense/vars/0), replacing any that it has. Throws LoadError if some
/// are missing, left over, or of the wrong shape.
[[nodiscard]] std::shared_ptr<const core::ModelSpec> with_weights(const core::ModelSpec& model, const WeightSource& source);
/// The same from the Keras 2 layout (layer_names, weight_names), located at `root` ("" or "model_weights").
[[nodiscard]] std::shared_ptr<const core::ModelSpec> with_legacy_weights(const core::ModelSpec& model, const H5File& file,
                                                                         const std::string& root, const Where& where);

}  // namespace lamella::keras
