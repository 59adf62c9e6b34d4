// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <span>

#include "cuda/plans.hpp"

/// The ways to do an element-wise activation on a CUDA device.
namespace lamella::cuda {

using ActivationEngine = ops::Engine<ops::ActivationDesc>;

const ActivationEngine& elementwise_engine();       ///< lamella's own kernel; refuses nothing
const ActivationEngine& cudnn_activation_engine();  ///< cuDNN's activation descriptors

/// Best first. cuDNN's stands behind what refuses nothing: it runs when it is asked for by name.
inline std::span<const ActivationEngine* const> activation_engines() {
  static const std::array<const ActivationEngine*, 2> engines{&elementwise_engine(), &cudnn_activation_engine()};
  return engines;
}

}  // namespace lamella::cuda
