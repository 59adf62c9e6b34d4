// SPDX-License-Identifier: Apache-2.0
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "plain.hpp"

namespace peer {
namespace {

template <Activation kind>
__device__ float apply(float x) {
  if constexpr (kind == Activation::relu) return x < 0 ? 0.0F : x;
  if constexpr (kind == Activation::tanh) return tanhf(x);
  if constexpr (kind == Activation::gelu) return 0.5F * x * (1.0F + erff(x * 0.70710678F));
  return 0.5F * x * (1.0F + tanhf(0.79788456F * (x + 0.044715F * x * x * x)));
}

template <Activation kind, typename T>
__global__ void activate(T* y, std::size_t count) {
  const std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < count) y[i] = static_cast<T>(apply<kind>(static_cast<float>(y[i])));
}

template <Activation kind>
cudaError_t start(void* y, std::size_t count, Type type, cudaStream_t stream) {
  constexpr unsigned kThreads = 256;
  const auto blocks = static_cast<unsigned>((count + kThreads - 1) / kThreads);
  switch (type) {
    case Type::float32:
      activate<kind><<<blocks, kThreads, 0, stream>>>(static_cast<float*>(y), count);
      break;
    case Type::bfloat16:
      activate<kind><<<blocks, kThreads, 0, stream>>>(static_cast<__nv_bfloat16*>(y), count);
      break;
    case Type::float16:
      activate<kind><<<blocks, kThreads, 0, stream>>>(static_cast<__half*>(y), count);
      break;
  }
  return cudaGetLastError();
}

}  // namespace

cudaError_t plain_activation(void* y, std::size_t count, Activation activation, Type type, cudaStream_t stream) {
  switch (activation) {
    case Activation::relu:
      return start<Activation::relu>(y, count, type, stream);
    case Activation::gelu:
      return start<Activation::gelu>(y, count, type, stream);
    case Activation::tanh:
      return start<Activation::tanh>(y, count, type, stream);
    case Activation::gelu_tanh:
      return start<Activation::gelu_tanh>(y, count, type, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace peer
