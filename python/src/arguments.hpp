// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "binding.hpp"

/// Arguments of layers in Keras' words.
namespace lamella::python {

/// A name, or what lamella.activation_of() made. Throws ArgumentError (value) for a name or parameter that Keras does not have,
/// TypeError.
[[nodiscard]] ActivationSpec activation_from(nb::handle given);

/// The same as an argument of a layer: None is "linear", and a layer such as PReLU is allowed.
[[nodiscard]] ActivationArgument activation_argument(nb::handle given);

/// A name, Keras' dict of "class_name" and "config", or an object of keras.initializers. Throws ArgumentError (value) for a name
/// or parameter that Keras does not have, TypeError.
[[nodiscard]] Initializer initializer_from(nb::handle given);

/// repr(value), for messages.
[[nodiscard]] std::string shown(nb::handle value);

}  // namespace lamella::python
