// SPDX-License-Identifier: Apache-2.0
#include "kernels/kernels.hpp"
#include "kernels/pointwise.hpp"

namespace lamella::kernels {
namespace {

template <typename C>
struct PRelu {
  using Compute = C;
  const C* alpha;

  [[nodiscard]] bool stays() const { return true; }
  template <int kWidth>
  LAMELLA_DEVICE Pack<C, kWidth> columns(std::int64_t column, std::int64_t left) const {
    Pack<C, kWidth> result;
    load(result, alpha + column, left);
    return result;
  }
  LAMELLA_DEVICE Nothing row(std::int64_t) const { return {}; }
  template <typename Columns>
  LAMELLA_DEVICE C operator()(C x, const Columns& columns, int k, Nothing) const {
    const C above = C(0) > x ? C(0) : x;
    const C below = C(0) > -x ? C(0) : -x;
    return above - columns.at[k] * below;
  }
};

}  // namespace

cudaError_t prelu(DType dtype, const void* src, const void* alpha, void* dst, std::int64_t batch, std::int64_t length,
                  cudaStream_t stream) {
  return visit_floating(dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    using C = ComputeOf<T>;
    return pointwise(PRelu<C>{static_cast<const C*>(alpha)}, static_cast<const T*>(src), static_cast<T*>(dst),
                     Matrix{batch, length, length, length, length}, aligned(alpha), stream);
  });
}

}  // namespace lamella::kernels
