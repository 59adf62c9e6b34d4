// SPDX-License-Identifier: Apache-2.0
#include "tests/ptx/approximate_formulas.hpp"

#include "kernels/activation.hpp"

namespace lamella::test {
namespace {

LAMELLA_KERNEL(256)
approximate_formula_kernel(ActivationKind kind, const float* x, float* y, std::int64_t elements, kernels::Parameters<float> p) {
  const std::int64_t i = kernels::block_x() * 256 + kernels::thread_index();
  if (i < elements) y[i] = kernels::activate<core::math::Approximate>(kind, x[i], p);
}

}  // namespace

cudaError_t approximate_formula(const ActivationSpec& activation, const float* x, float* y, std::int64_t elements) {
  return kernels::launch({.grid = dim3(kernels::blocks(kernels::tiles(elements, 256)))}, approximate_formula_kernel,
                         activation.kind, x, y, elements, kernels::Parameters<float>(activation));
}

}  // namespace lamella::test
