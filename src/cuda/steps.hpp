// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cuda/plans.hpp"

/// Declares plan() for every Desc. Only those with a single implementation on a CUDA device, lamella's own kernel, define it;
/// others have a list of engines.
namespace lamella::cuda {

#define LAMELLA_PLAN(D) \
  [[nodiscard]] PlanPtr plan(const ops::D& desc, const ConstantsPtr& constants, const ops::PlanContext& context);
LAMELLA_DESCS(LAMELLA_PLAN)
#undef LAMELLA_PLAN

}  // namespace lamella::cuda
