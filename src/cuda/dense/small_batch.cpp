// SPDX-License-Identifier: Apache-2.0
#include "cuda/dense/engines.hpp"
#include "kernels/kernels.hpp"
#include "ops/dense.hpp"

namespace lamella::cuda {
namespace {

class SmallBatchEngine final : public DenseEngine {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "small_batch"; }
  [[nodiscard]] std::string refuses(const ops::DenseDesc& d, const ops::PlanContext&) const override {
    if (std::string why = ops::refused_by_all(d, {}, "applies bias and activation inside its own product"); !why.empty())
      return why;
    if (d.dtype == DType::float64) return "it computes in float32";
    if (d.determinism == Determinism::batch_invariant)
      return "a row's bits must not depend on the batch size, but larger batches are summed in another order";
    if (d.batch > kernels::kSmallBatch) return core::format("it takes at most {} rows, got {}", kernels::kSmallBatch, d.batch);
    return {};
  }
  [[nodiscard]] std::string fuses(const ops::DenseDesc& d) const override {
    return d.has_bias ? "bias+activation" : "activation";
  }
  [[nodiscard]] PlanPtr plan(const ops::DenseDesc& d, ConstantsPtr constants, const ops::PlanContext& context) const override {
    const auto bias = d.has_bias ? constant_on_device(constants, 1, d.dtype, compute_type(d.dtype), context) : nullptr;
    return make_plan([d, kernel = kernel_on_device(constants, d, context), bias, device = context.device_index](
                         CudaStream& stream, const ops::Args& args) {
      const kernels::Dense dense{d.activation, d.dtype,  args.srcs[0], kernel.data.get(), bias.get(), args.dst,
                                 d.batch,      d.inputs, d.units};
      check(kernels::small_batch(dense, kernel.stride, handle_of(stream)), device, "small_batch kernel");
    });
  }
};

}  // namespace

const DenseEngine& small_batch_engine() {
  static const SmallBatchEngine engine;
  return engine;
}

}  // namespace lamella::cuda
