// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include <lamella/options.hpp>

#include "core/spec.hpp"
#include "keras/arrays.hpp"

namespace lamella::keras {

/// Reads a whole model: a .keras archive (or the directory of one), or a legacy HDF5 file. The content decides, not the
/// extension. Throws LoadError; nothing half-built remains.
/// `sample`: the shape of the input's samples, -1 for None, if the file of a Sequential does not have it.
[[nodiscard]] std::shared_ptr<const core::ModelSpec> load_model(const std::string& path,
                                                                HardSigmoid hard_sigmoid = HardSigmoid::as_written,
                                                                const std::optional<std::vector<std::int64_t>>& sample = {});

/// The same from the bytes of such a file, which are copied.
[[nodiscard]] std::shared_ptr<const core::ModelSpec> load_model(std::span<const std::byte> file, HardSigmoid hard_sigmoid);

/// The same from a model's to_json() text and a file of weights, as load_weights() takes it.
[[nodiscard]] std::shared_ptr<const core::ModelSpec> load_model(const std::string& architecture, const std::string& weights,
                                                                HardSigmoid hard_sigmoid);

/// Whether "hard_sigmoid" is Keras 2's: on request, or because that is its meaning in this version of Keras. Keras 1 has the
/// same; an unknown version counts as Keras 3.
[[nodiscard]] bool is_keras2(HardSigmoid hard_sigmoid, const std::string& version);

/// A model with its new weights; or arrays of an .npz or .safetensors file, which may be some of the weights.
using FoundWeights = std::variant<std::shared_ptr<const core::ModelSpec>, Arrays>;

/// `model` with the weights of a weights file: .weights.h5, .weights.json with its shards, a .keras archive, or a Keras 2 HDF5
/// weights file; or the arrays of another file. Throws LoadError if a layer's weights are missing, left over, or of the wrong
/// shape.
[[nodiscard]] FoundWeights load_weights(const core::ModelSpec& model, const std::string& path);

}  // namespace lamella::keras
