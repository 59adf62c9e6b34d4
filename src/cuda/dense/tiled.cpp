// SPDX-License-Identifier: Apache-2.0
#include "cuda/dense/engines.hpp"
#include "kernels/kernels.hpp"
#include "ops/dense.hpp"

namespace lamella::cuda {
namespace {

class TiledEngine final : public DenseEngine {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "tiled"; }
  [[nodiscard]] std::string refuses(const ops::DenseDesc& d, const ops::PlanContext&) const override {
    return is_floating(d.dtype) ? std::string() : core::format("dtype {} is not a floating type", to_string(d.dtype));
  }
  [[nodiscard]] std::string fuses(const ops::DenseDesc& d) const override { return ops::bias_and_activation(d); }
  [[nodiscard]] std::optional<double> predicted_us(const ops::DenseDesc& d, const ops::PlanContext& context) const override {
    if (d.fusion != Fusion::automatic) return std::nullopt;  // it is the last resort for a fusion that it does not have
    return predicted_tiled_us(d, device_of(context).hardware);
  }
  [[nodiscard]] PlanPtr plan(const ops::DenseDesc& d, ConstantsPtr constants, const ops::PlanContext& context) const override {
    const auto bias = d.has_bias ? constant_on_device(constants, 1, d.dtype, compute_type(d.dtype), context) : nullptr;
    return make_plan([d, kernel = kernel_on_device(constants, d, context), bias, device = context.device_index](
                         CudaStream& stream, const ops::Args& args) {
      const kernels::Dense dense{d.activation, d.dtype,  args.srcs[0], kernel.data.get(), bias.get(), args.dst,
                                 d.batch,      d.inputs, d.units};
      check(kernels::tiled_gemm(dense, kernel.stride, handle_of(stream)), device, "tiled_gemm kernel");
    });
  }
};

}  // namespace

const DenseEngine& tiled_engine() {
  static const TiledEngine engine;
  return engine;
}

}  // namespace lamella::cuda
