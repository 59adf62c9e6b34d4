// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "core/spec.hpp"

namespace lamella::keras {

/// Writes a model as Keras 3 does: NAME.keras with config and weights, or NAME.weights.h5 with weights alone. An existing file is
/// replaced once everything is written. Throws ArgumentError: value for any other name, unsupported for anything that Keras would
/// read differently; Error (io).
void save_model(const core::ModelSpec& model, const std::string& path);

}  // namespace lamella::keras
