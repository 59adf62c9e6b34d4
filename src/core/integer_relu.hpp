// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>

#include <lamella/activation.hpp>

#include "core/arithmetic.hpp"
#include "core/convert.hpp"

namespace lamella::core {

/// Whether an activation maps integers to integers: ReLU without a slope.
[[nodiscard]] inline bool keeps_integers(const ActivationSpec& spec) {
  return spec.kind == ActivationKind::Relu || (spec.kind == ActivationKind::ReluGeneral && spec.parameters[0] == 0);
}

/// Such an activation. As in Keras, its parameters are first truncated to the integer type.
template <typename T>
struct IntegerRelu {
  T threshold = 0;
  T highest = 0;
  bool shifted = false;  ///< there is a threshold: values not above it become 0
  bool limited = false;  ///< there is a maximum

  explicit IntegerRelu(const ActivationSpec& spec) {
    if (spec.kind != ActivationKind::ReluGeneral) return;
    threshold = to_integer<T>(spec.parameters[2]);
    shifted = spec.parameters[2] != 0;
    highest = to_integer<T>(spec.parameters[1]);
    limited = spec.parameters[1] < std::numeric_limits<double>::infinity();
  }

  LAMELLA_HD T operator()(T x) const {
    const T above = shifted ? (x > threshold ? x : T(0)) : maximum(x, T(0));
    return limited ? minimum(maximum(above, T(0)), highest) : above;
  }
};

}  // namespace lamella::core
