// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>

#include "cpu/convert.hpp"
#include "ops/engine.hpp"

/// One function per operation; operations with several engines have their own list (dense/engines.hpp).
namespace lamella::cpu {

using ConstantsPtr = std::shared_ptr<const ops::Constants>;
using PlanPtr = std::unique_ptr<ops::Plan>;

[[nodiscard]] PlanPtr plan(const ops::ActivationDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context);
[[nodiscard]] PlanPtr plan(const ops::RowwiseDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context);
[[nodiscard]] PlanPtr plan(const ops::LayerNormalizationDesc& desc, const ConstantsPtr& constants,
                           const ops::PlanContext& context);
[[nodiscard]] PlanPtr plan(const ops::AffineDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context);
[[nodiscard]] PlanPtr plan(const ops::PReluDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context);
[[nodiscard]] PlanPtr plan(const ops::CombineDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context);
[[nodiscard]] PlanPtr plan(const ops::InnerProductsDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context);
[[nodiscard]] PlanPtr plan(const ops::ReduceDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context);
[[nodiscard]] PlanPtr plan(const ops::GatherDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context);
[[nodiscard]] PlanPtr plan(const ops::BucketDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context);
[[nodiscard]] PlanPtr plan(const ops::LookupDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context);
[[nodiscard]] PlanPtr plan(const ops::HashDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context);
[[nodiscard]] PlanPtr plan(const ops::CountDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context);
[[nodiscard]] PlanPtr plan(const ops::ConcatDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context);
[[nodiscard]] PlanPtr plan(const ops::SliceDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context);
[[nodiscard]] PlanPtr plan(const ops::TransposeDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context);
[[nodiscard]] PlanPtr plan(const ops::QuantizeDequantizeDesc& desc, const ConstantsPtr& constants,
                           const ops::PlanContext& context);
[[nodiscard]] PlanPtr plan(const ops::CastDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context);

/// A plan that is a function of Args and needs no state.
template <typename F>
class FunctionPlan final : public ops::Plan {
 public:
  FunctionPlan(F run, std::size_t workspace_bytes) : run_(std::move(run)), workspace_bytes_(workspace_bytes) {}
  void execute(const ops::Args& args) const override { run_(args); }
  [[nodiscard]] std::size_t workspace_bytes() const noexcept override { return workspace_bytes_; }

 private:
  F run_;
  std::size_t workspace_bytes_;
};

template <typename F>
[[nodiscard]] PlanPtr make_plan(F run, std::size_t workspace_bytes = 0) {
  return std::make_unique<FunctionPlan<F>>(std::move(run), workspace_bytes);
}

/// A form of constants in host memory, counted by them; `fill` writes all of its `bytes` and must not own the constants.
[[nodiscard]] ops::Packed packed_on_host(const ops::Constants& constants, std::size_t bytes,
                                         std::function<void(const ops::Constants&, void*)> fill);

/// Constant `i` as elements of type C (float or double), first rounded to `rounded_to`. Shared by all plans of the layer.
template <typename C>
[[nodiscard]] std::shared_ptr<const C> constant_as(const ConstantsPtr& constants, std::size_t i, DType rounded_to = dtype_v<C>);

}  // namespace lamella::cpu
