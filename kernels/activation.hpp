// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/activation_math.hpp"
#include "core/approximate.hpp"
#include "kernels/pointwise.hpp"

namespace lamella::kernels {

template <typename C>
struct Parameters {
  explicit Parameters(const ActivationSpec& spec)
      : p0(static_cast<C>(spec.parameters[0])), p1(static_cast<C>(spec.parameters[1])), p2(static_cast<C>(spec.parameters[2])) {}
  C p0, p1, p2;
};

/// The type that formulas are computed in for elements of T.
template <typename T>
using FormulaOf = std::conditional_t<sizeof(T) == 2 && !std::is_integral_v<T>, core::math::Approximate, ComputeOf<T>>;

/// A formula computed in F, of numbers in C.
template <typename Op, typename F, typename C>
LAMELLA_DEVICE C activated(C x, const Parameters<C>& p) {
  return static_cast<C>(Op::apply(static_cast<F>(x), static_cast<F>(p.p0), static_cast<F>(p.p1), static_cast<F>(p.p2)));
}

/// activation(x + bias[column]), to be rounded to Dst
template <typename Op, typename Dst>
struct BiasActivation {
  using Compute = ComputeOf<Dst>;
  using C = Compute;
  const C* bias;  ///< or null
  Parameters<C> p;

  [[nodiscard]] bool stays() const { return bias != nullptr; }
  template <int kWidth>
  LAMELLA_DEVICE Pack<C, kWidth> columns(std::int64_t column, std::int64_t left) const {
    Pack<C, kWidth> result;
    LAMELLA_UNROLL
    for (int k = 0; k < kWidth; ++k) result.at[k] = C(-0.0);  // x + -0 is x for every x
    if (bias != nullptr) load(result, bias + column, left);
    return result;
  }
  LAMELLA_DEVICE Nothing row(std::int64_t) const { return {}; }
  template <typename Columns>
  LAMELLA_DEVICE C operator()(C x, const Columns& columns, int k, Nothing) const {
    return activated<Op, FormulaOf<Dst>>(x + columns.at[k], p);
  }
};

/// f(op) for the operation of an element-wise kind, cudaErrorInvalidValue for others.
template <typename F>
cudaError_t visit_activation(ActivationKind kind, const F& f) {
  switch (kind) {
#define LAMELLA_ELEMENTWISE(Name, ...) \
  case ActivationKind::Name:           \
    return f(core::ActivationOp<ActivationKind::Name>{});
#include <lamella/activation.def>
    default:
      return cudaErrorInvalidValue;
  }
}

/// The same choice made on the device, for kernels too large to instantiate for every activation. Computed in F.
template <typename F, typename C>
LAMELLA_DEVICE C activate(ActivationKind kind, C x, const Parameters<C>& p) {
  switch (kind) {
#define LAMELLA_ELEMENTWISE(Name, ...) \
  case ActivationKind::Name:           \
    return activated<core::ActivationOp<ActivationKind::Name>, F>(x, p);
#include <lamella/activation.def>
    default:
      return x;
  }
}

/// dst = activation(src + bias) over a matrix. Defined in activation_*.cu, by types: they are many kernels.
template <typename Src, typename Dst>
cudaError_t bias_activation(const ActivationSpec& activation, const void* src, const void* bias, void* dst, const Matrix& matrix,
                            cudaStream_t stream);

}  // namespace lamella::kernels
