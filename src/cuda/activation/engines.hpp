// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <span>

#include "cuda/plans.hpp"

/// The engines for an element-wise activation on a CUDA device.
namespace lamella::cuda {

using ActivationEngine = ops::Engine<ops::ActivationDesc>;

const ActivationEngine& elementwise_engine();       ///< lamella's own kernel; refuses nothing
const ActivationEngine& cudnn_activation_engine();  ///< cuDNN's activation descriptors

/// Best first. cuDNN's comes after the one that refuses nothing, so it runs only if requested by name.
inline std::span<const ActivationEngine* const> activation_engines() {
  static const std::array<const ActivationEngine*, 2> engines{&elementwise_engine(), &cudnn_activation_engine()};
  return engines;
}

}  // namespace lamella::cuda
