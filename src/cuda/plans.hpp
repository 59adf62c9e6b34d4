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

/// What engines of the CUDA device share.
namespace lamella::cuda {

using ConstantsPtr = std::shared_ptr<const ops::Constants>;
using PlanPtr = std::unique_ptr<ops::Plan>;

/// A plan that is a function of the stream and Args and needs no state.
template <typename F>
class FunctionPlan final : public ops::Plan {
 public:
  FunctionPlan(F run, std::size_t workspace_bytes) : run_(std::move(run)), workspace_bytes_(workspace_bytes) {}
  void execute(const ops::Args& args) const override { run_(stream_of(args.stream), args); }
  [[nodiscard]] std::size_t workspace_bytes() const noexcept override { return workspace_bytes_; }

 private:
  F run_;
  std::size_t workspace_bytes_;
};

template <typename F>
[[nodiscard]] PlanPtr make_plan(F run, std::size_t workspace_bytes = 0) {
  return std::make_unique<FunctionPlan<F>>(std::move(run), workspace_bytes);
}

[[nodiscard]] inline cudaStream_t handle_of(const CudaStream& stream) { return static_cast<cudaStream_t>(stream.native()); }

/// The device that is planned for.
[[nodiscard]] inline CudaDevice& device_of(const ops::PlanContext& context) {
  return static_cast<CudaBackend&>(*context.backend).device(context.device_index);
}

/// What is computed in: float, or double for float64.
[[nodiscard]] constexpr DType compute_type(DType dtype) { return dtype == DType::float64 ? DType::float64 : DType::float32; }

/// Constant `i` on the context's device as elements of `as`, each rounded to `rounded_to` on the way. Shared by all plans of the
/// layer.
[[nodiscard]] std::shared_ptr<const void> constant_on_device(const ConstantsPtr& constants, std::size_t i, DType rounded_to,
                                                             DType as, const ops::PlanContext& context);

/// The kernel of a Dense layer on the context's device, rounded to its dtype, its rows `stride` elements apart so that each
/// starts aligned; zeros between.
struct DeviceKernel {
  std::shared_ptr<const void> data;
  std::int64_t stride = 0;
};
[[nodiscard]] DeviceKernel kernel_on_device(const ConstantsPtr& constants, const ops::DenseDesc& desc,
                                            const ops::PlanContext& context);
/// The same kernel, as kernels::MmaLayout says.
[[nodiscard]] std::shared_ptr<const void> fragments_on_device(const ConstantsPtr& constants, const ops::DenseDesc& desc,
                                                              const ops::PlanContext& context);
/// The kernels and biases of a stack on the context's device, as kernels::StackLayout says.
struct DeviceStack {
  std::shared_ptr<const void> memory;
  const float* weights = nullptr;
  const float* bias = nullptr;
};
[[nodiscard]] std::shared_ptr<const DeviceStack> stack_on_device(const ConstantsPtr& constants, const ops::StackDesc& desc,
                                                                 const ops::PlanContext& context);
/// The stride that kernel_on_device() gives `units` columns.
[[nodiscard]] std::int64_t padded_stride(std::int64_t units, DType dtype);

}  // namespace lamella::cuda
