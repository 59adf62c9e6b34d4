// SPDX-License-Identifier: Apache-2.0
#include "kernels/broadcast.hpp"

namespace lamella::kernels {
namespace {

template <typename C>
struct ScaleOffset {
  LAMELLA_DEVICE C operator()(C x, const C (&c)[2]) const {
    const C scaled = x * c[0];  // compiled without contraction: rounded here
    return scaled + c[1];
  }
};

}  // namespace

cudaError_t affine(DType dtype, const void* src, void* dst, const Sample& sample, const SampleConstant& scale,
                   const SampleConstant& offset, cudaStream_t stream) {
  return visit_floating(dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    using C = ComputeOf<T>;
    return with_constants<C>(ScaleOffset<C>{}, static_cast<const T*>(src), static_cast<T*>(dst), sample, {scale, offset}, stream);
  });
}

}  // namespace lamella::kernels
