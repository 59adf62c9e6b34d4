// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/math.hpp"

/// Element arithmetic. Floating types use the machine's; integers keep the low bits of their results, as in Keras.
namespace lamella::core {

/// The type that integers are added and multiplied in: no promotion to int, whose overflow is undefined.
template <typename T>
struct Wrapping {
  using type = std::conditional_t<(sizeof(T) > 4), std::uint64_t, std::uint32_t>;
};

template <typename T, typename F>
LAMELLA_HD T wrapped(T a, T b, const F& f) {
  if constexpr (std::is_integral_v<T>) {
    using U = typename Wrapping<T>::type;
    return static_cast<T>(f(static_cast<U>(a), static_cast<U>(b)));
  } else {
    return f(a, b);
  }
}
template <typename T>
LAMELLA_HD T add(T a, T b) {
  return wrapped(a, b, [](auto x, auto y) { return x + y; });
}
template <typename T>
LAMELLA_HD T subtract(T a, T b) {
  return wrapped(a, b, [](auto x, auto y) { return x - y; });
}
template <typename T>
LAMELLA_HD T multiply(T a, T b) {
  return wrapped(a, b, [](auto x, auto y) { return x * y; });
}
/// Propagates NaN.
template <typename T>
LAMELLA_HD T maximum(T a, T b) {
  return a > b || a != a ? a : b;
}
template <typename T>
LAMELLA_HD T minimum(T a, T b) {
  return a < b || a != a ? a : b;
}

/// a where b is not 0, else 0, even if a is NaN.
template <typename T>
LAMELLA_HD T where(T a, T b) {
  return b != T(0) ? a : T(0);
}

}  // namespace lamella::core
