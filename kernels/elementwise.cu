// SPDX-License-Identifier: Apache-2.0
#include "core/integer_relu.hpp"
#include "kernels/activation.hpp"
#include "kernels/kernels.hpp"

namespace lamella::kernels {
namespace {

template <typename T>
struct ReluOfIntegers : ElementFunction {
  using Compute = T;
  core::IntegerRelu<T> relu;
  explicit ReluOfIntegers(const ActivationSpec& spec) : relu(spec) {}
  LAMELLA_DEVICE T operator()(T x, Nothing, int, Nothing) const { return relu(x); }
};

}  // namespace

cudaError_t elementwise(const ActivationSpec& activation, DType dtype, const void* src, void* dst, std::int64_t elements,
                        cudaStream_t stream) {
  if (elements == 0) return cudaSuccess;
  if (!is_floating(dtype)) {
    if (!core::keeps_integers(activation)) return cudaErrorInvalidValue;
    return visit_integer(dtype, [&](auto t) {
      using T = typename decltype(t)::type;
      return pointwise(ReluOfIntegers<T>(activation), static_cast<const T*>(src), static_cast<T*>(dst), matrix_of<T, T>(elements),
                       true, stream);
    });
  }
  return visit_floating(dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    return bias_activation<T, T>(activation, src, nullptr, dst, matrix_of<T, T>(elements), stream);
  });
}

}  // namespace lamella::kernels
