// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "model/graph.hpp"

/// An affine step and the Dense beside it as one Dense. What is allowed, and why, stands in docs/architecture.md (Numerics).
namespace lamella::model {

/// kernel and bias of (x . kernel + bias) * scale + offset as x . kernel' + bias'. Nothing where the constants are not one
/// number, or one a unit; where weights are rounded to 16 bits first; or where a weight or sum would leave the range in which the
/// result is the same but for rounding.
[[nodiscard]] std::optional<ConstantsPool::Values> folded_behind(const ops::DenseDesc& dense, const ops::Constants& weights,
                                                                 const ops::AffineDesc& affine, const ops::Constants& factors,
                                                                 ConstantsPool& pool);

/// kernel and bias of (x * scale) . kernel + bias as x . kernel' + bias. Nothing also where there is an offset.
[[nodiscard]] std::optional<ConstantsPool::Values> folded_before(const ops::DenseDesc& dense, const ops::Constants& weights,
                                                                 const ops::AffineDesc& affine, const ops::Constants& factors,
                                                                 ConstantsPool& pool);

}  // namespace lamella::model
