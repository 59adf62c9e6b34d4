// SPDX-License-Identifier: Apache-2.0
#include "cuda/rowwise/engines.hpp"
#include "kernels/kernels.hpp"

namespace lamella::cuda {
namespace {

class RowwiseKernelEngine final : public RowwiseEngine {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "rowwise_kernel"; }
  [[nodiscard]] std::string refuses(const ops::RowwiseDesc&, const ops::PlanContext&) const override { return {}; }
  [[nodiscard]] PlanPtr plan(const ops::RowwiseDesc& d, ConstantsPtr, const ops::PlanContext& context) const override {
    const kernels::Rowwise shape{d.kind, d.dtype, nullptr, nullptr, nullptr, d.outer, d.length, d.inner};
    const auto execute = [shape, device = context.device_index](CudaStream& stream, const ops::Args& args) {
      kernels::Rowwise rows = shape;
      rows.src = args.srcs[0];
      rows.dst = args.dst;
      rows.workspace = args.workspace;
      check(kernels::rowwise(rows, handle_of(stream)), device, "rowwise kernel");
    };
    return make_plan(execute, kernels::rowwise_workspace(shape));
  }
};

}  // namespace

const RowwiseEngine& rowwise_engine() {
  static const RowwiseKernelEngine engine;
  return engine;
}

}  // namespace lamella::cuda
