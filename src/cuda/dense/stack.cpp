// SPDX-License-Identifier: Apache-2.0
#include "core/check.hpp"
#include "cuda/dense/engines.hpp"
#include "cuda/dense/tensor_cores.hpp"
#include "kernels/kernels.hpp"

namespace lamella::cuda {
namespace {

class StackOfDense final : public StackEngine {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "stack"; }
  [[nodiscard]] std::string refuses(const ops::StackDesc& d, const ops::PlanContext& context) const override {
    if (is_narrow(d.dtype)) {
      if (const std::string why = no_tensor_cores(context); !why.empty()) return "in 16 bits " + why;
    } else if (d.dtype != DType::float32) {
      return core::format("it computes in float32, float16 and bfloat16, the layers in {}", to_string(d.dtype));
    }
    if (d.fusion != Fusion::automatic) return "a different fusion was requested; this engine takes several layers at once";
    if (d.layers.size() > kernels::kMostStackLayers)
      return core::format("it takes at most {} layers, got {}", kernels::kMostStackLayers, d.layers.size());
    if (d.layers.front().inputs > kernels::kMostStackInputs)
      return core::format("it takes at most {} inputs, got {}", kernels::kMostStackInputs, d.layers.front().inputs);
    for (const auto& layer : d.layers) {
      if (layer.units > kernels::kMostStackWidth)
        return core::format("it takes at most {} units, a layer has {}", kernels::kMostStackWidth, layer.units);
    }
    return {};
  }
  [[nodiscard]] std::string fuses(const ops::StackDesc&) const override { return "all layers"; }
  [[nodiscard]] std::optional<double> predicted_us(const ops::StackDesc& d, const ops::PlanContext& context) const override {
    return predicted_stack_us(d, device_of(context).hardware);
  }
  [[nodiscard]] PlanPtr plan(const ops::StackDesc& d, ConstantsPtr constants, const ops::PlanContext& context) const override {
    return stack_plan(d, stack_on_device(constants, d, context), context, kernels::stack, "stack kernel",
                      kernels::stack_workspace);
  }
};

}  // namespace

const StackEngine& stack_engine() {
  static const StackOfDense engine;
  return engine;
}

}  // namespace lamella::cuda
