// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <cuda_runtime_api.h>

#include "cuda/backend.hpp"
#include "cuda/status.hpp"
#include "cuda/stream.hpp"
#include "ops/engine.hpp"

/// Shared by the engines of the CUDA device.
namespace lamella::cuda {

using ConstantsPtr = std::shared_ptr<const ops::Constants>;
using PlanPtr = std::unique_ptr<ops::Plan>;

/// A plan that is a function of the stream and Args and needs no state.
template <typename F>
[[nodiscard]] PlanPtr make_plan(F run, std::size_t workspace_bytes = 0, bool overlaps = false) {
  return ops::make_plan([run = std::move(run)](const ops::Args& args) { run(stream_of(args.stream), args); }, workspace_bytes,
                        overlaps);
}

[[nodiscard]] inline cudaStream_t handle_of(const CudaStream& stream) { return static_cast<cudaStream_t>(stream.native()); }

/// The device for which a plan is made.
[[nodiscard]] inline CudaDevice& device_of(const ops::PlanContext& context) {
  return static_cast<CudaBackend&>(*context.backend).device(context.device_index);
}

/// Whether it has 16 bits, whose sums stay float32 until the one rounding at the store.
[[nodiscard]] constexpr bool is_narrow(DType dtype) { return dtype == DType::float16 || dtype == DType::bfloat16; }

/// The compute type: float, or double for float64.
[[nodiscard]] constexpr DType compute_type(DType dtype) { return dtype == DType::float64 ? DType::float64 : DType::float32; }

/// Constant `i` on the context's device as elements of `as`, each first rounded to `rounded_to`. Shared by all plans of the
/// layer.
[[nodiscard]] std::shared_ptr<const void> constant_on_device(const ConstantsPtr& constants, std::size_t i, DType rounded_to,
                                                             DType as, const ops::PlanContext& context);

/// The kernel of a Dense layer on the context's device, rounded to its dtype, its rows `stride` elements apart so that each
/// starts aligned, padded with zeros.
struct DeviceKernel {
  std::shared_ptr<const void> data;
  std::int64_t stride = 0;
};
[[nodiscard]] DeviceKernel kernel_on_device(const ConstantsPtr& constants, const ops::DenseDesc& desc,
                                            const ops::PlanContext& context);
/// The same kernel in the order of kernels::MmaLayout.
[[nodiscard]] std::shared_ptr<const void> fragments_on_device(const ConstantsPtr& constants, const ops::DenseDesc& desc,
                                                              const ops::PlanContext& context);
/// A float32 kernel in the order and the parts of kernels::MmaFloat32Layout.
[[nodiscard]] std::shared_ptr<const void> parts_on_device(const ConstantsPtr& constants, const ops::DenseDesc& desc,
                                                          const ops::PlanContext& context);
/// The integers of a quantized layer in the order of kernels::QuantizedLayout, its form of fragments.
[[nodiscard]] std::shared_ptr<const void> integers_on_device(const ConstantsPtr& constants, const ops::QuantizedDenseDesc& desc,
                                                             const ops::PlanContext& context);
/// The groups of such a layer's inputs as kernels::QuantizedDense takes them.
[[nodiscard]] std::shared_ptr<const void> groups_on_device(const ConstantsPtr& constants, const ops::QuantizedDenseDesc& desc,
                                                           const ops::PlanContext& context);
/// The kernels and biases of a stack on the context's device, in the order of kernels::StackLayout.
struct DeviceStack {
  std::shared_ptr<const void> memory;
  const void* weights = nullptr;
  const float* bias = nullptr;
};
[[nodiscard]] std::shared_ptr<const DeviceStack> stack_on_device(const ConstantsPtr& constants, const ops::StackDesc& desc,
                                                                 const ops::PlanContext& context);
/// The same in the order of kernels::ClusterLayout.
[[nodiscard]] std::shared_ptr<const DeviceStack> cluster_on_device(const ConstantsPtr& constants, const ops::StackDesc& desc,
                                                                   const ops::PlanContext& context);
/// The stride that kernel_on_device() uses for `units` columns.
[[nodiscard]] std::int64_t padded_stride(std::int64_t units, DType dtype);

}  // namespace lamella::cuda
