// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include <lamella/activation.hpp>

#include "keras/reading.hpp"

/// Activations with parameters, as Keras writes them where a layer's config has an `activation`.
namespace lamella::keras {

/// The JSON that Keras 3 reads: a name where the parameters are the name's own, else a layer of dtype policy `policy`, or an
/// operation of keras.ops. Throws ArgumentError (value): no activation, or numbers that Keras refuses.
[[nodiscard]] std::string activation_config(const ActivationSpec& activation, const std::string& policy);

/// Such an operation. Nothing: the object is something else. Throws LoadError for operations that are no activations.
[[nodiscard]] std::optional<ActivationSpec> activation_operation(const Json& object, const Fields& fields);

}  // namespace lamella::keras
