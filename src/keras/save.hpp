// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "core/spec.hpp"

namespace lamella::keras {

/// Writes a model as Keras 3 does: NAME.keras with config and weights, or NAME.weights.h5 with weights alone. A file that stands
/// there is replaced when all is written. Throws ArgumentError: value for another name, unsupported for what cannot be written
/// so that Keras reads the same numbers; Error (io).
void save_model(const core::ModelSpec& model, const std::string& path);

}  // namespace lamella::keras
