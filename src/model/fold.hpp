// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "model/graph.hpp"

/// Folds an affine step into the adjacent Dense. docs/architecture.md (Numerics) says what is allowed, and why.
namespace lamella::model {

/// kernel and bias of (x . kernel + bias) * scale + offset as x . kernel' + bias'. Nothing if the constants are not one number,
/// or one per unit; if weights are first rounded to 16 bits; or if a weight or sum would leave the range in which only rounding
/// differs.
[[nodiscard]] std::optional<ConstantsPool::Values> folded_behind(const ops::DenseDesc& dense, const ops::Constants& weights,
                                                                 const ops::AffineDesc& affine, const ops::Constants& factors,
                                                                 ConstantsPool& pool);

/// kernel and bias of (x * scale) . kernel + bias as x . kernel' + bias. Also nothing if there is an offset.
[[nodiscard]] std::optional<ConstantsPool::Values> folded_before(const ops::DenseDesc& dense, const ops::Constants& weights,
                                                                 const ops::AffineDesc& affine, const ops::Constants& factors,
                                                                 ConstantsPool& pool);

}  // namespace lamella::model
