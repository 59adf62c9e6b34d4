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
  for (const auto& layer : d.layers)
    layers.push_back({layer.inputs, layer.units, layer.activation, layer.is_dense, layer.added, layer.joined});
  return layers;
}

/// The plan of a stack, by the kernel of that name; `packed` has the layout that it reads.
inline PlanPtr stack_plan(const ops::StackDesc& d, std::shared_ptr<const DeviceStack> packed, const ops::PlanContext& context,
                          cudaError_t (*kernel)(const kernels::Stack&, cudaStream_t), const char* name,
                          std::size_t (*workspace)(const kernels::Stack&)) {
  const auto run = [layers = layers_of(d), packed = std::move(packed), softmax = d.softmax, dtype = d.dtype, batch = d.batch,
                    device = context.device_index, kernel, name](CudaStream& stream, const ops::Args& args) {
    const kernels::Stack all{.layers = layers,
                             .softmax = softmax,
                             .dtype = dtype,
                             .src = args.srcs[0],
                             .weights = packed->weights,
                             .bias = packed->bias,
                             .dst = args.dst,
                             .batch = batch,
                             .workspace = args.workspace};
    check(kernel(all, handle_of(stream)), device, name);
  };
  const std::vector<kernels::StackLayer> layers = layers_of(d);
  return make_plan(run, workspace({.layers = layers, .dtype = d.dtype, .batch = d.batch}));
}

}  // namespace lamella::cuda
