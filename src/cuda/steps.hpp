// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cuda/plans.hpp"

/// Operations with only one implementation on a CUDA device: lamella's own kernel.
namespace lamella::cuda {

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
[[nodiscard]] PlanPtr plan(const ops::QuantizedDenseDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context);
[[nodiscard]] PlanPtr plan(const ops::QuantizeDequantizeDesc& desc, const ConstantsPtr& constants,
                           const ops::PlanContext& context);
[[nodiscard]] PlanPtr plan(const ops::CastDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context);

}  // namespace lamella::cuda
