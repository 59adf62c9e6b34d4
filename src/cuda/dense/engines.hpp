// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <span>
#include <vector>

#include "cuda/plans.hpp"
#include "kernels/kernels.hpp"
#include "kernels/stack.hpp"

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

const StackEngine& cluster_engine();  ///< few rows through wider layers in float32, by one cluster of blocks
const StackEngine& stack_engine();    ///< any number of rows through narrow layers

/// Of equals by prediction the first is taken.
inline std::span<const StackEngine* const> stack_engines() {
  static const std::array engines{&cluster_engine(), &stack_engine()};
  return engines;
}

/// The layers as kernels take them.
inline std::vector<kernels::StackLayer> layers_of(const ops::StackDesc& d) {
  static_assert(ops::StackDesc::kNothing == kernels::StackLayer::kNothing);
  std::vector<kernels::StackLayer> layers;
  for (const auto& layer : d.layers) layers.push_back({layer.inputs, layer.units, layer.activation, layer.is_dense, layer.added});
  return layers;
}

}  // namespace lamella::cuda
