// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/activation_measure.hpp"
#include "tests/kernels/kernel_support.hpp"

namespace lamella::test {

/// How far f(x) may be from the truth before the last rounding: in float by the table's bound, and the truth's own rounding. In
/// double the truths of the tests are no better than the functions.
inline double activation_error(ActivationKind kind, DType dtype, double x, double truth) {
  if (compute_of(dtype) == DType::float32) return (ulp_bound(kind) + 0.5) * spacing(DType::float32, truth);
  const double constant = kind == ActivationKind::HardSigmoidKeras2 ? std::fabs(x) * 0x1p-28 : 0;  // the truth's 0.2 is a float
  return 64 * spacing(DType::float64, truth) + 0x1p-52 + constant;
}

}  // namespace lamella::test
