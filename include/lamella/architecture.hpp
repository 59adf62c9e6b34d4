// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <lamella/export.hpp>
#include <lamella/model.hpp>

namespace lamella {

/// Reads the text of Keras' model.to_json() and, from a file of their own, the weights that go with it: .weights.h5,
/// .weights.json with its shards, or any file that Model::load() reads. Throws LoadError for the files, ArgumentError for the
/// options, DeviceError for the device.
[[nodiscard]] LAMELLA_API Model load_architecture(const std::string& json, const std::string& weights,
                                                  const Options& options = {});

}  // namespace lamella
