// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <span>

#include "cuda/plans.hpp"
#include "kernels/kernels.hpp"

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

/// For kernels::small_batch() and mma_small_batch(); `possible`: CudaDevice::overlaps.
inline kernels::Overlap overlap_of(bool possible, const ops::Args& args) {
  if (!possible) return kernels::Overlap::none;
  return args.overlaps ? kernels::Overlap::all : kernels::Overlap::inside;
}
/// What such a layer takes less because it overlaps the step before it.
inline double saved_us(const ops::PlanContext& context) {
  return context.overlaps && device_of(context).overlaps ? kOverlapSavesUs : 0;
}

using StackEngine = ops::Engine<ops::StackDesc>;

const StackEngine& stack_engine();  ///< narrow layers in float32, all of them in one launch

/// Best first.
inline std::span<const StackEngine* const> stack_engines() {
  static const std::array<const StackEngine*, 1> engines{&stack_engine()};
  return engines;
}

}  // namespace lamella::cuda
