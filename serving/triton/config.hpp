// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "library.hpp"

/// A model's configuration (config.pbtxt), as the server hands it over: JSON, every field of which may be absent.
namespace lamella::triton {

using Json = nlohmann::json;

/// The file of a model's version: default_model_filename, else whichever of model.keras and model.h5 exists, if only one does.
/// Throws Failure.
[[nodiscard]] std::string model_file(const Json& config, const std::string& folder);

/// The model's parameters. Throws Failure for those that the backend sets itself.
[[nodiscard]] Options options_of(const Json& config);

/// Completes the configuration from the model: inputs, outputs, max_batch_size (`most_rows`), and the dynamic batcher if rows of
/// several requests may be joined.
[[nodiscard]] Json completed(Json config, const Ports& ports, std::int64_t most_rows);

/// Throws Failure if configuration and model disagree.
void expect_agreement(const Json& config, const Ports& ports);

}  // namespace lamella::triton
