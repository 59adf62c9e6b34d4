// SPDX-License-Identifier: Apache-2.0
#include "cuda/dense/engines.hpp"
#include "cuda/dense/tensor_cores.hpp"
#include "kernels/kernels.hpp"
#include "kernels/mma_layout.hpp"
#include "ops/dense.hpp"

namespace lamella::cuda {
namespace {

class MmaGemmEngine final : public DenseEngine {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "mma_gemm"; }
  [[nodiscard]] std::string refuses(const ops::DenseDesc& d, const ops::PlanContext& context) const override {
    if (std::string why = ops::refused_by_all(d, {}, "applies bias and activation inside its own product"); !why.empty())
      return why;
    if (!is_narrow(d.dtype)) return core::format("it multiplies float16 and bfloat16; {} would lose bits", to_string(d.dtype));
    if (std::string why = no_tensor_cores(context); !why.empty()) return why;
    if (d.inputs > kernels::kMostMmaInputs)
      return core::format("it takes at most {} inputs, got {}", kernels::kMostMmaInputs, d.inputs);
    if (d.units > kernels::MmaLayout::kMostUnits)
      return core::format("it takes at most {} units, got {}", kernels::MmaLayout::kMostUnits, d.units);
    return {};
  }
  [[nodiscard]] std::string fuses(const ops::DenseDesc& d) const override { return ops::bias_and_activation(d); }
  [[nodiscard]] std::optional<double> predicted_us(const ops::DenseDesc& d, const ops::PlanContext& context) const override {
    if (!is_narrow(d.dtype)) return std::nullopt;
    return predicted_mma_gemm_us(d, device_of(context).hardware) - (mma_gemm_divides_inputs(d) ? saved_us(context) : 0);
  }
  [[nodiscard]] PlanPtr plan(const ops::DenseDesc& d, ConstantsPtr constants, const ops::PlanContext& context) const override {
    const auto bias = d.has_bias ? constant_on_device(constants, 1, d.dtype, compute_type(d.dtype), context) : nullptr;
    const kernels::Dense dense{
        .activation = d.activation, .dtype = d.dtype, .batch = d.batch, .inputs = d.inputs, .units = d.units};
    const bool divided = mma_gemm_divides_inputs(d);
    const bool overlaps = divided && device_of(context).overlaps;
    return make_plan(
        [dense, divided, overlaps, kernel = fragments_on_device(constants, d, context), bias, device = context.device_index](
            CudaStream& stream, const ops::Args& args) {
          kernels::Dense all = dense;
          all.src = args.srcs[0];
          all.kernel = kernel.get();
          all.bias = bias.get();
          all.dst = args.dst;
          all.workspace = args.workspace;
          all.overlap = overlap_of(overlaps, args);
          check(divided ? kernels::mma_small_batch(all, handle_of(stream))
                        : kernels::mma_gemm(all, kernels::MmaTile::automatic, handle_of(stream)),
                device, "mma_gemm kernel");
        },
        divided ? kernels::mma_small_batch_workspace(dense) : 0, overlaps && d.batch > 0 && d.units > 0);
  }
};

}  // namespace

const DenseEngine& mma_gemm_engine() {
  static const MmaGemmEngine engine;
  return engine;
}

}  // namespace lamella::cuda
