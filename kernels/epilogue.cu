// SPDX-License-Identifier: Apache-2.0
#include "kernels/activation.hpp"
#include "kernels/kernels.hpp"

namespace lamella::kernels {

cudaError_t epilogue(const Epilogue& e, cudaStream_t stream) {
  const auto as = [&]<typename Src, typename Dst>(Type<Src>, Type<Dst>) {
    if (e.bias == nullptr && e.src_stride == e.units && e.dst_stride == e.units) {
      return bias_activation<Src, Dst>(e.activation, e.src, nullptr, e.dst, matrix_of<Src, Dst>(e.rows * e.units), stream);
    }
    return bias_activation<Src, Dst>(e.activation, e.src, e.bias, e.dst, {e.rows, e.units, e.units, e.src_stride, e.dst_stride},
                                     stream);
  };
  if (e.rows == 0 || e.units == 0) return cudaSuccess;
  return visit_floating(e.dst_dtype, [&](auto dst) {
    using Dst = typename decltype(dst)::type;
    if (e.src_dtype == e.dst_dtype) return as(Type<Dst>{}, dst);
    if constexpr (sizeof(Dst) == 2) {
      if (e.src_dtype == DType::float32) return as(Type<float>{}, dst);
    }
    return cudaErrorInvalidValue;
  });
}

}  // namespace lamella::kernels
