// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <lamella/activation.hpp>
#include <lamella/error.hpp>

#include "core/math.hpp"

/// The table's formulas as functions for host and device.
namespace lamella::core {
namespace math {  // where the formulas' functions are found

/// An element-wise activation: ActivationOp<kind>::apply(x, p0, p1, p2), T being float, double or Approximate.
template <ActivationKind K>
struct ActivationOp;

#define LAMELLA_ELEMENTWISE(Name, name, parameters, formula, ...)                                                              \
  template <>                                                                                                                  \
  struct ActivationOp<ActivationKind::Name> {                                                                                  \
    static constexpr ActivationKind kind = ActivationKind::Name;                                                               \
    template <typename T>                                                                                                      \
    LAMELLA_HD static T apply(T x, [[maybe_unused]] T p0 = T(0), [[maybe_unused]] T p1 = T(0), [[maybe_unused]] T p2 = T(0)) { \
      return formula;                                                                                                          \
    }                                                                                                                          \
  };
#include <lamella/activation.def>

}  // namespace math
using math::ActivationOp;

/// f(ActivationOp<kind>{}). Row-wise kinds are not functions of one element; for them this throws Error (internal).
template <typename F>
decltype(auto) visit_elementwise(ActivationKind kind, F&& f) {
  switch (kind) {
#define LAMELLA_ELEMENTWISE(Name, ...) \
  case ActivationKind::Name:           \
    return f(ActivationOp<ActivationKind::Name>{});
#define LAMELLA_ROWWISE(Name, ...) case ActivationKind::Name:
#include <lamella/activation.def>
    break;
  }
  throw Error(ErrorCode::internal, "a row-wise activation has no element-wise formula");
}

}  // namespace lamella::core
