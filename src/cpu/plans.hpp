// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>

#include "cpu/convert.hpp"
#include "ops/engine.hpp"

/// Declares plan() for every Desc. Those with several engines have a list of these instead, and no plan() (dense/engines.hpp).
namespace lamella::cpu {

using ConstantsPtr = std::shared_ptr<const ops::Constants>;
using PlanPtr = std::unique_ptr<ops::Plan>;
using ops::make_plan;

#define LAMELLA_PLAN(D) \
  [[nodiscard]] PlanPtr plan(const ops::D& desc, const ConstantsPtr& constants, const ops::PlanContext& context);
LAMELLA_DESCS(LAMELLA_PLAN)
#undef LAMELLA_PLAN

/// A form of constants in host memory, counted by them; `fill` writes all of its `bytes` and must not own the constants.
[[nodiscard]] ops::Packed packed_on_host(const ops::Constants& constants, std::size_t bytes,
                                         std::function<void(const ops::Constants&, void*)> fill);

/// Constant `i` as elements of type C (float or double), first rounded to `rounded_to`. Shared by all plans of the layer.
template <typename C>
[[nodiscard]] std::shared_ptr<const C> constant_as(const ConstantsPtr& constants, std::size_t i, DType rounded_to = dtype_v<C>);

}  // namespace lamella::cpu
