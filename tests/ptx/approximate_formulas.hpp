// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <cuda_runtime_api.h>

#include <lamella/activation.hpp>

namespace lamella::test {

/// y = activation(x) as kernels compute it for results of 16 bits, but not rounded to them.
cudaError_t approximate_formula(const ActivationSpec& activation, const float* x, float* y, std::int64_t elements);

}  // namespace lamella::test
