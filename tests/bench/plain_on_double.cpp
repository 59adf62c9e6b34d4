// SPDX-License-Identifier: Apache-2.0
// Replaces bench/peers/cublaslt/plain.cu, which needs nvcc.
#include <cmath>
#include <type_traits>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "fake_cuda.hpp"
#include "plain_on_double.hpp"

namespace peer {

double applied(double x, Activation activation) {
  switch (activation) {
    case Activation::relu:
      return x < 0 ? 0 : x;
    case Activation::tanh:
      return std::tanh(x);
    case Activation::gelu:
      return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case Activation::gelu_tanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / 3.14159265358979) * (x + 0.044715 * x * x * x)));
  }
  return NAN;
}

cudaError_t plain_activation(void* y, std::size_t count, Activation activation, Type type, cudaStream_t stream) {
  const auto all = [=](auto* values) {
    using T = std::remove_pointer_t<decltype(values)>;
    for (std::size_t i = 0; i < count; ++i)
      values[i] = static_cast<T>(static_cast<float>(applied(static_cast<double>(static_cast<float>(values[i])), activation)));
  };
  return fake_cuda::launch(stream, {y}, {y}, [=] {
    if (type == Type::float32) all(static_cast<float*>(y));
    if (type == Type::bfloat16) all(static_cast<__nv_bfloat16*>(y));
    if (type == Type::float16) all(static_cast<__half*>(y));
  });
}

}  // namespace peer
