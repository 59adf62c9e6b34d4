// SPDX-License-Identifier: Apache-2.0
#include "cuda/ops.hpp"

#include <limits>
#include <optional>
#include <type_traits>

#include "core/integer_relu.hpp"
#include "cuda/activation/engines.hpp"
#include "cuda/dense/engines.hpp"
#include "cuda/rowwise/engines.hpp"
#include "cuda/steps.hpp"
#include "kernels/stack_cluster.hpp"
#include "ops/select.hpp"
#include "ops/weigh.hpp"

namespace lamella::cuda {
namespace {

ops::Choice choose(const ops::DenseDesc& d, const ConstantsPtr& constants, const ops::PlanContext& context,
                   std::string_view forced) {
  return ops::select<ops::DenseDesc>(dense_engines(), d, constants, context, forced);
}
ops::Choice choose(const ops::StackDesc& d, const ConstantsPtr& constants, const ops::PlanContext& context,
                   std::string_view forced) {
  return ops::select<ops::StackDesc>(stack_engines(), d, constants, context, forced);
}
ops::Choice choose(const ops::ActivationDesc& d, const ConstantsPtr& constants, const ops::PlanContext& context,
                   std::string_view forced) {
  return ops::select<ops::ActivationDesc>(activation_engines(), d, constants, context, forced);
}
ops::Choice choose(const ops::RowwiseDesc& d, const ConstantsPtr& constants, const ops::PlanContext& context,
                   std::string_view forced) {
  return ops::select<ops::RowwiseDesc>(rowwise_engines(), d, constants, context, forced);
}
template <typename D>
ops::Choice choose(const D& d, const ConstantsPtr& constants, const ops::PlanContext& context, std::string_view) {
  ops::Choice choice;
  choice.plan = plan(d, constants, context);
  choice.engine = "kernel";
  if constexpr (std::is_same_v<D, ops::QuantizedDenseDesc>)
    choice.predicted_us = predicted_quantized_us(d, device_of(context).hardware);
  return choice;
}

void expect_floating(DType dtype) {
  LAMELLA_EXPECTS(is_floating(dtype), dtype, "[cuda] dtype: got {}, allowed float32, float16, bfloat16, float64",
                  to_string(dtype));
}

/// Dense engines check types themselves; so do operations that only move, convert or look up elements.
void check_type(const ops::Desc& desc) {
  std::visit(
      [](const auto& d) {
        using D = std::decay_t<decltype(d)>;
        constexpr bool any = std::is_same_v<D, ops::ConcatDesc> || std::is_same_v<D, ops::TransposeDesc> ||
                             std::is_same_v<D, ops::DenseDesc> || std::is_same_v<D, ops::SliceDesc> ||
                             std::is_same_v<D, ops::CastDesc> || std::is_same_v<D, ops::BucketDesc> ||
                             std::is_same_v<D, ops::LookupDesc> || std::is_same_v<D, ops::HashDesc>;
        if constexpr (std::is_same_v<D, ops::CombineDesc>) {
          if (!core::of_integers(d.kind) || d.dtype == DType::boolean) expect_floating(d.dtype);
        } else if constexpr (std::is_same_v<D, ops::ActivationDesc>) {
          if (!core::keeps_integers(d.activation) || d.dtype == DType::boolean) expect_floating(d.dtype);
        } else if constexpr (!any) {
          expect_floating(d.dtype);
        }
      },
      desc);
}

class CudaOps final : public ops::OpSet {
 public:
  explicit CudaOps(core::Backend& backend) : backend_(backend) {}
  [[nodiscard]] bool takes(const ops::StackDesc& d, const ops::PlanContext& context, std::string_view forced) const override {
    ops::PlanContext here = context;
    here.backend = &backend_;
    const StackEngine& engine = stack_engine();  // the others take few rows only
    if (forced.empty() && may_round(d.math)) return false;
    return (forced.empty() || forced == engine.name()) && engine.refuses(d, here).empty();
  }
  [[nodiscard]] std::vector<std::string> engines() const override {
    std::vector<std::string> names;
    for (const auto* engine : dense_engines()) names.emplace_back(engine->name());
    for (const auto* engine : stack_engines()) names.emplace_back(engine->name());
    for (const auto* engine : activation_engines()) names.emplace_back(engine->name());
    for (const auto* engine : rowwise_engines()) names.emplace_back(engine->name());
    return names;
  }

  [[nodiscard]] std::int64_t most_gaining_rows(Math math) const noexcept override {
    return may_round(math) ? std::numeric_limits<std::int64_t>::max() : kernels::kMostClusterRows;
  }
  [[nodiscard]] std::optional<double> gain(const ops::StackDesc& d, const ops::PlanContext& context,
                                           std::string_view forced) const override {
    ops::PlanContext here = context;
    here.backend = &backend_;
    if (forced == cluster_engine().name()) return cluster_engine().refuses(d, here).empty() ? std::optional(1.0) : std::nullopt;
    if (!forced.empty() || d.determinism == Determinism::batch_invariant) return std::nullopt;
    std::optional<double> least;
    for (const StackEngine* engine : stack_engines()) {
      if (!engine->refuses(d, here).empty()) continue;
      const std::optional<double> us = engine->predicted_us(d, here);
      if (us && (!least || *us < *least)) least = us;
    }
    if (!least) return std::nullopt;
    const CudaDevice& device = device_of(here);
    return predicted_apart_us(d, device.hardware, device.overlaps) - *least;
  }
  [[nodiscard]] std::optional<ops::Weighed> weigh(const ops::StackDesc& d, const ConstantsPtr& constants,
                                                  const ops::PlanContext& context,
                                                  const ops::OneByOne& one_by_one) const override {
    const DeviceGuard guard(context.device_index);
    ops::PlanContext here = context;
    here.backend = &backend_;
    const bool gains = d.batch <= most_gaining_rows(d.math) && gain(d, here, {}).value_or(0) > 0;
    return ops::Scales(stack_engines(), d, constants, here, gains || takes(d, here, {})).weighed(one_by_one);
  }

 private:
  /// Whether layers one by one may be computed faster than exactly, as a stack computes them.
  [[nodiscard]] static bool may_round(Math math) { return math == Math::tf32 || math == Math::bf16x6; }
  [[nodiscard]] ops::Choice plan_checked(const ops::Desc& desc, const ConstantsPtr& constants, const ops::PlanContext& context,
                                         std::string_view forced) override {
    check_type(desc);
    const DeviceGuard guard(context.device_index);
    ops::PlanContext here = context;
    here.backend = &backend_;
    return std::visit([&](const auto& d) { return choose(d, constants, here, forced); }, desc);
  }

  core::Backend& backend_;
};

}  // namespace

std::unique_ptr<ops::OpSet> make_ops(core::Backend& backend) { return std::make_unique<CudaOps>(backend); }

}  // namespace lamella::cuda
