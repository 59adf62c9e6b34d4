// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include <cuda_runtime_api.h>

namespace peer {

enum class Activation { relu, gelu_tanh, gelu, tanh };
enum class Type { float32, bfloat16, float16 };

/// y[i] = activation(y[i]), one thread per element: the simple kernel that one writes if the library has no epilogue for it.
cudaError_t plain_activation(void* y, std::size_t count, Activation activation, Type type, cudaStream_t stream);

}  // namespace peer
