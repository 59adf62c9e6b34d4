// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <lamella/export.hpp>
#include <lamella/model.hpp>

namespace lamella {

/// Reads the text of Keras' model.to_json() and, from a separate file, the weights that belong to it: .weights.h5,
/// .weights.json with its shards, or any file that Model::load() reads. Throws LoadError for the files, ArgumentError for the
/// options, DeviceError for the device.
[[nodiscard]] LAMELLA_API Model load_architecture(const std::string& json, const std::string& weights,
                                                  const Options& options = {});

/// Model::load() of a file that may lack the shape of the model's input, as does a Sequential of layers without weights that was
/// saved before it was called. Where the file has no shape, samples have `sample_shape`, -1 for None; Keras takes it from the
/// first data on which the model is called. Throws as Model::load() does.
[[nodiscard]] LAMELLA_API Model load_with_shape(const std::string& path, const std::vector<std::int64_t>& sample_shape,
                                                const Options& options = {});

/// The layer classes that a file may hold, by Keras' names, in alphabetical order; models may contain models as well.
[[nodiscard]] LAMELLA_API std::vector<std::string> supported_layers();

}  // namespace lamella
