// SPDX-License-Identifier: Apache-2.0
#include "kernels/broadcast.hpp"

namespace lamella::kernels {
namespace {

template <typename C>
struct PRelu {
  LAMELLA_DEVICE C operator()(C x, const C (&alpha)[1]) const {
    const C above = C(0) > x ? C(0) : x;
    const C below = C(0) > -x ? C(0) : -x;
    return above - alpha[0] * below;
  }
};

}  // namespace

cudaError_t prelu(DType dtype, const void* src, void* dst, const Sample& sample, const SampleConstant& alpha,
                  cudaStream_t stream) {
  return visit_floating(dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    using C = ComputeOf<T>;
    return with_constants<C>(PRelu<C>{}, static_cast<const T*>(src), static_cast<T*>(dst), sample, {alpha}, stream);
  });
}

}  // namespace lamella::kernels
