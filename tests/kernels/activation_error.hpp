// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/activation_measure.hpp"
#include "tests/kernels/kernel_support.hpp"

namespace lamella::test {

/// The error that f(x) may have before the last rounding: in float the table's bound plus the rounding of the reference, for 16
/// bits a share of their spacing. In double the tests' references are no more exact than the functions.
inline double activation_error(ActivationKind kind, DType dtype, double x, double truth) {
  if (size_of(dtype) == 2 && ulp_bound(kind) > 0) return 0.05 * spacing(dtype, truth);
  if (compute_of(dtype) == DType::float32) return (ulp_bound(kind) + 0.5) * spacing(DType::float32, truth);
  const double constant =
      kind == ActivationKind::HardSigmoidKeras2 ? std::fabs(x) * 0x1p-28 : 0;  // the reference's 0.2 is a float
  return 64 * spacing(DType::float64, truth) + 0x1p-52 + constant;
}

}  // namespace lamella::test
