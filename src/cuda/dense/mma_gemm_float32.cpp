// SPDX-License-Identifier: Apache-2.0
#include "cuda/dense/engines.hpp"
#include "cuda/dense/tensor_cores.hpp"
#include "kernels/mma_float32.hpp"
#include "ops/dense.hpp"

namespace lamella::cuda {
namespace {

class MmaGemmFloat32Engine final : public DenseEngine {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "mma_gemm_float32"; }
  [[nodiscard]] std::string refuses(const ops::DenseDesc& d, const ops::PlanContext& context) const override {
    if (std::string why = ops::refused_by_all(d, {}, "applies bias and activation inside its own product"); !why.empty())
      return why;
    if (d.dtype != DType::float32) return core::format("it multiplies float32, not {}", to_string(d.dtype));
    if (d.math != Math::bf16x6)
      return core::format("it splits float32 into bfloat16, which math bf16x6 allows and {} does not", to_string(d.math));
    if (std::string why = no_tensor_cores(context); !why.empty()) return why;
    if (d.inputs < kernels::kLeastMmaFloat32Inputs)
      return core::format("it takes at least {} inputs, because with fewer float32 errs less; got {}",
                          kernels::kLeastMmaFloat32Inputs, d.inputs);
    if (d.inputs > kernels::kMostMmaInputs)
      return core::format("it takes at most {} inputs, got {}", kernels::kMostMmaInputs, d.inputs);
    if (d.units > kernels::MmaFloat32Layout::kMostUnits)
      return core::format("it takes at most {} units, got {}", kernels::MmaFloat32Layout::kMostUnits, d.units);
    return {};
  }
  [[nodiscard]] std::string fuses(const ops::DenseDesc& d) const override { return ops::bias_and_activation(d); }
  [[nodiscard]] std::optional<double> predicted_us(const ops::DenseDesc& d, const ops::PlanContext& context) const override {
    if (d.dtype != DType::float32 || d.math != Math::bf16x6) return std::nullopt;
    return predicted_mma_gemm_float32_us(d, device_of(context).hardware);
  }
  [[nodiscard]] PlanPtr plan(const ops::DenseDesc& d, ConstantsPtr constants, const ops::PlanContext& context) const override {
    const auto bias = d.has_bias ? constant_on_device(constants, 1, d.dtype, DType::float32, context) : nullptr;
    return make_plan([d, kernel = parts_on_device(constants, d, context), bias, device = context.device_index](
                         CudaStream& stream, const ops::Args& args) {
      const kernels::Dense dense{d.activation, d.dtype, args.srcs[0], kernel.get(), bias.get(),
                                 args.dst,     d.batch, d.inputs,     d.units};
      check(kernels::mma_gemm_float32(dense, kernels::MmaTile::automatic, handle_of(stream)), device, "mma_gemm_float32 kernel");
    });
  }
};

}  // namespace

const DenseEngine& mma_gemm_float32_engine() {
  static const MmaGemmFloat32Engine engine;
  return engine;
}

}  // namespace lamella::cuda
