// SPDX-License-Identifier: Apache-2.0
#include "kernels/stack_cluster.hpp"

#include <algorithm>

#include "core/check.hpp"
#include "cuda/dense/engines.hpp"

namespace lamella::cuda {
namespace {

class ClusterOfBlocks final : public StackEngine {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "cluster"; }
  [[nodiscard]] std::string refuses(const ops::StackDesc& d, const ops::PlanContext& context) const override {
    const int architecture = device_of(context).architecture;
    if (architecture < kernels::kClusterArchitecture) {
      return core::format("it needs code for compute capability 9.0 or later; this device's code was compiled for {}.{}",
                          architecture / 10, architecture % 10);
    }
    if (d.dtype != DType::float32) return core::format("it computes in float32, the layers in {}", to_string(d.dtype));
    if (d.fusion != Fusion::automatic) return "a different fusion was requested; this engine takes several layers at once";
    if (d.determinism == Determinism::batch_invariant)
      return "a row's bits must not depend on the batch size, but larger batches are summed in another order";
    if (d.batch > kernels::kMostClusterRows)
      return core::format("it takes at most {} rows, got {}", kernels::kMostClusterRows, d.batch);
    const auto needed = static_cast<int>(kernels::stack_cluster_shared(d.batch));
    const int has = device_of(context).hardware.shared_bytes;
    if (needed > has) return core::format("for {} rows it needs {} bytes of shared memory, a block has {}", d.batch, needed, has);
    if (d.layers.size() > kernels::kMostStackLayers)
      return core::format("it takes at most {} layers, got {}", kernels::kMostStackLayers, d.layers.size());
    for (const auto& layer : d.layers) {
      const auto [least, most] = std::minmax(layer.inputs, layer.units);
      if (least < 1 || most > kernels::kMostClusterWidth)
        return core::format("it takes 1 to {} inputs and units, a layer has {} and {}", kernels::kMostClusterWidth, layer.inputs,
                            layer.units);
    }
    if (device_of(context).clusters_at_once(d.batch) == 0)
      return core::format(
          "it needs {} multiprocessors that can share memory, which this device or this part of one does not have",
          kernels::kClusterBlocks);
    return {};
  }
  [[nodiscard]] std::string fuses(const ops::StackDesc&) const override { return "all layers"; }
  [[nodiscard]] std::optional<double> predicted_us(const ops::StackDesc& d, const ops::PlanContext& context) const override {
    if (!refuses(d, context).empty()) return std::nullopt;
    return predicted_cluster_us(d, device_of(context).hardware);
  }
  [[nodiscard]] PlanPtr plan(const ops::StackDesc& d, ConstantsPtr constants, const ops::PlanContext& context) const override {
    return stack_plan(d, cluster_on_device(constants, d, context), context, kernels::stack_cluster, "cluster kernel",
                      kernels::stack_cluster_workspace);
  }
};

}  // namespace

const StackEngine& cluster_engine() {
  static const ClusterOfBlocks engine;
  return engine;
}

}  // namespace lamella::cuda
