// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <span>

#include "cuda/plans.hpp"

/// The engines for one or several Dense layers on a CUDA device.
namespace lamella::cuda {

using DenseEngine = ops::Engine<ops::DenseDesc>;

#define LAMELLA_CUDA_DENSE(engine) const DenseEngine& engine##_engine();
#include "cuda/dense/engines.def"

/// In the order of the list.
inline std::span<const DenseEngine* const> dense_engines() {
  static const std::array engines{
#define LAMELLA_CUDA_DENSE(engine) &engine##_engine(),
#include "cuda/dense/engines.def"
  };
  return engines;
}

using StackEngine = ops::Engine<ops::StackDesc>;

const StackEngine& stack_engine();  ///< narrow layers in float32, all of them in one launch

/// Best first.
inline std::span<const StackEngine* const> stack_engines() {
  static const std::array<const StackEngine*, 1> engines{&stack_engine()};
  return engines;
}

}  // namespace lamella::cuda
