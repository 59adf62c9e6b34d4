// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/device.hpp"

/// Pairs of floats whose sum has about 48 bits, instead of double, which many GPUs compute at 1/64 of the speed. The compiler
/// must not contract or reorder anything here; each rounding error is compensated by the next operation.
namespace lamella::kernels {

/// high + low, where low is about a rounding error of high.
struct Pair {
  float high = 0;
  float low = 0;
};

inline Pair split(double x) {
  const auto high = static_cast<float>(x);
  return {high, static_cast<float>(x - static_cast<double>(high))};
}

/// a + b, exactly.
LAMELLA_DEVICE Pair two_sum(float a, float b) {
  const float sum = a + b;
  const float part = sum - a;
  return {sum, (a - (sum - part)) + (b - part)};
}
/// a * b, exactly.
LAMELLA_DEVICE Pair two_product(float a, float b) {
  const float product = a * b;
  return {product, ::fmaf(a, b, -product)};
}

LAMELLA_DEVICE Pair operator+(Pair a, Pair b) {
  const Pair sum = two_sum(a.high, b.high);
  return {sum.high, sum.low + (a.low + b.low)};
}
LAMELLA_DEVICE Pair operator+(Pair a, float b) {
  const Pair sum = two_sum(a.high, b);
  return {sum.high, sum.low + a.low};
}
LAMELLA_DEVICE Pair operator*(Pair a, Pair b) {
  const Pair product = two_product(a.high, b.high);
  return {product.high, ::fmaf(a.high, b.low, ::fmaf(a.low, b.high, product.low))};
}
LAMELLA_DEVICE Pair operator*(Pair a, float b) {
  const Pair product = two_product(a.high, b);
  return {product.high, ::fmaf(a.low, b, product.low)};
}
/// Within one rounding of a + b, even if they nearly cancel.
LAMELLA_DEVICE float rounded_sum(Pair a, float b) {
  const Pair sum = two_sum(a.high, b);
  return sum.high + (sum.low + a.low);
}
/// Normalised: as many leading bits in `high` as fit.
LAMELLA_DEVICE Pair normalized(Pair a) {
  const float high = a.high + a.low;
  return {high, a.low - (high - a.high)};
}

/// 1 / sqrt(a) for a within 2^-100 and 2^100: one of Newton's steps from the hardware's approximation doubles its bits.
LAMELLA_DEVICE Pair reciprocal_root(Pair a) {
  const float near = ::rsqrtf(a.high);
  const Pair one = a * two_product(near, near);
  const float missing = (1.F - one.high) - one.low;
  return normalized({near, 0.5F * near * missing});
}

LAMELLA_DEVICE Pair shuffle_xor(Pair x, unsigned mask) { return {shuffle_xor(x.high, mask), shuffle_xor(x.low, mask)}; }

}  // namespace lamella::kernels
