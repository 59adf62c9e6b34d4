// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <lamella/export.hpp>
#include <lamella/model.hpp>

namespace lamella {

/// Reads the text of Keras' model.to_json() and, from a file of their own, the weights that go with it: .weights.h5,
/// .weights.json with its shards, or any file that Model::load() reads. Throws LoadError for the files, ArgumentError for the
/// options, DeviceError for the device.
[[nodiscard]] LAMELLA_API Model load_architecture(const std::string& json, const std::string& weights,
                                                  const Options& options = {});

/// Model::load() of a file that may not say the shape of the model's input, which is a Sequential then that was saved before it
/// was called, of layers without weights. Where the file says none, samples are of `sample_shape`, -1 for None; Keras takes that
/// from the first data that the model is called on.
[[nodiscard]] LAMELLA_API Model load_with_shape(const std::string& path, const std::vector<std::int64_t>& sample_shape,
                                                const Options& options = {});

/// The layer classes that a file may hold, by Keras' names, in alphabetical order; beside these, models inside of models.
[[nodiscard]] LAMELLA_API std::vector<std::string> supported_layers();

}  // namespace lamella
