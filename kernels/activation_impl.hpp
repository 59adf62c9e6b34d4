// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/activation.hpp"

namespace lamella::kernels {

template <typename Src, typename Dst>
cudaError_t bias_activation(const ActivationSpec& activation, const void* src, const void* bias, void* dst, const Matrix& matrix,
                            cudaStream_t stream) {
  using C = ComputeOf<Dst>;
  return visit_activation(activation.kind, [&](auto op) {
    const BiasActivation<decltype(op), Dst> f{static_cast<const C*>(bias), Parameters<C>(activation)};
    return pointwise(f, static_cast<const Src*>(src), static_cast<Dst*>(dst), matrix, aligned(bias), stream);
  });
}

#define LAMELLA_BIAS_ACTIVATION(Src, Dst)                                                                               \
  template cudaError_t bias_activation<Src, Dst>(const ActivationSpec&, const void*, const void*, void*, const Matrix&, \
                                                 cudaStream_t)

}  // namespace lamella::kernels
