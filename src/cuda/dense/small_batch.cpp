// SPDX-License-Identifier: Apache-2.0
#include "cuda/dense/engines.hpp"
#include "kernels/kernels.hpp"
#include "kernels/mma_layout.hpp"
#include "ops/dense.hpp"

namespace lamella::cuda {
namespace {

constexpr std::int64_t kMostRowsOnTensorCores = 32;
/// Whether tensor cores compute the layer: 16 bits, where the device's code has them.
bool on_tensor_cores(const ops::DenseDesc& d, const ops::PlanContext& context) {
  return is_narrow(d.dtype) && device_of(context).architecture >= kernels::kMmaArchitecture;
}

class SmallBatchEngine final : public DenseEngine {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "small_batch"; }
  [[nodiscard]] std::string refuses(const ops::DenseDesc& d, const ops::PlanContext& context) const override {
    if (std::string why = ops::refused_by_all(d, {}, "applies bias and activation inside its own product"); !why.empty())
      return why;
    if (d.dtype == DType::float64) return "it computes in float32";
    if (d.determinism == Determinism::batch_invariant)
      return "a row's bits must not depend on the batch size, but larger batches are summed in another order";
    const bool mma = on_tensor_cores(d, context);
    const std::int64_t most = mma ? kMostRowsOnTensorCores : kernels::small_batch_most(d.dtype);
    if (d.batch > most) return core::format("it takes at most {} rows, got {}", most, d.batch);
    if (d.inputs > kernels::kMostSmallBatchInputs)
      return core::format("it takes at most {} inputs, got {}", kernels::kMostSmallBatchInputs, d.inputs);
    if (mma && d.units > kernels::MmaLayout::kMostUnits)
      return core::format("it takes at most {} units, got {}", kernels::MmaLayout::kMostUnits, d.units);
    return {};
  }
  [[nodiscard]] std::string fuses(const ops::DenseDesc& d) const override { return ops::bias_and_activation(d); }
  [[nodiscard]] std::optional<double> predicted_us(const ops::DenseDesc& d, const ops::PlanContext& context) const override {
    const bool mma = on_tensor_cores(d, context);
    if (d.dtype == DType::float64 || d.batch > (mma ? kMostRowsOnTensorCores : kernels::small_batch_most(d.dtype)))
      return std::nullopt;
    return predicted_small_batch_us(d, device_of(context).hardware, mma) - saved_us(context);
  }
  [[nodiscard]] PlanPtr plan(const ops::DenseDesc& d, ConstantsPtr constants, const ops::PlanContext& context) const override {
    const auto bias = d.has_bias ? constant_on_device(constants, 1, d.dtype, compute_type(d.dtype), context) : nullptr;
    kernels::Dense dense{.activation = d.activation, .dtype = d.dtype, .batch = d.batch, .inputs = d.inputs, .units = d.units};
    dense.bias = bias.get();
    const bool overlaps = device_of(context).overlaps;
    const auto plan_of = [&](auto launch, std::size_t workspace_bytes) {
      return make_plan(
          [dense, bias, launch, overlaps, device = context.device_index](CudaStream& stream, const ops::Args& args) {
            kernels::Dense all = dense;
            all.overlap = overlap_of(overlaps, args);
            all.src = args.srcs[0];
            all.dst = args.dst;
            all.workspace = args.workspace;
            check(launch(all, handle_of(stream)), device, "small_batch kernel");
          },
          workspace_bytes, overlaps && d.batch > 0 && d.units > 0);
    };
    if (on_tensor_cores(d, context)) {
      return plan_of(
          [kernel = fragments_on_device(constants, d, context)](kernels::Dense& all, cudaStream_t stream) {
            all.kernel = kernel.get();
            return kernels::mma_small_batch(all, stream);
          },
          kernels::mma_small_batch_workspace(dense));
    }
    return plan_of(
        [kernel = kernel_on_device(constants, d, context)](kernels::Dense& all, cudaStream_t stream) {
          all.kernel = kernel.data.get();
          return kernels::small_batch(all, kernel.stride, stream);
        },
        kernels::small_batch_workspace(dense));
  }
};

}  // namespace

const DenseEngine& small_batch_engine() {
  static const SmallBatchEngine engine;
  return engine;
}

}  // namespace lamella::cuda
