// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/kernels.hpp"

namespace lamella::kernels {

/// quantized_dense() for float16 and bfloat16 without `quantizes`, on tensor cores, which add in float32. The order of a sum
/// depends on the number of inputs alone. src is read in packs if it is aligned to 16 bytes and inputs are a multiple of 8. Code
/// for architectures below kMmaArchitecture traps.
[[nodiscard]] cudaError_t dequantized_mma(const QuantizedDense& args, cudaStream_t stream);

}  // namespace lamella::kernels
