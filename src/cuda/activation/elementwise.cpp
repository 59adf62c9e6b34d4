// SPDX-License-Identifier: Apache-2.0
#include "cuda/activation/engines.hpp"
#include "kernels/kernels.hpp"

namespace lamella::cuda {
namespace {

class ElementwiseEngine final : public ActivationEngine {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "elementwise_kernel"; }
  [[nodiscard]] std::string refuses(const ops::ActivationDesc&, const ops::PlanContext&) const override { return {}; }
  [[nodiscard]] PlanPtr plan(const ops::ActivationDesc& d, ConstantsPtr, const ops::PlanContext& context) const override {
    return make_plan([d, device = context.device_index](CudaStream& stream, const ops::Args& args) {
      check(kernels::elementwise(d.activation, d.dtype, args.srcs[0], args.dst, d.elements, handle_of(stream)), device,
            "elementwise kernel");
    });
  }
};

}  // namespace

const ActivationEngine& elementwise_engine() {
  static const ElementwiseEngine engine;
  return engine;
}

}  // namespace lamella::cuda
