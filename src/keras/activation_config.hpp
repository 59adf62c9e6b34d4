// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include <lamella/activation.hpp>

#include "keras/reading.hpp"

/// Activations with parameters, as Keras writes them into a layer config's `activation`.
namespace lamella::keras {

/// The JSON that Keras 3 reads: a name if the parameters have its defaults, else a layer with dtype policy `policy`, or an
/// operation of keras.ops. Throws ArgumentError (value): not an activation, or numbers that Keras refuses.
[[nodiscard]] std::string activation_config(const ActivationSpec& activation, const std::string& policy);

/// Reads such an operation. Nothing if the object is something else. Throws LoadError for operations that are not activations.
[[nodiscard]] std::optional<ActivationSpec> activation_operation(const Json& object, const Fields& fields);

}  // namespace lamella::keras
