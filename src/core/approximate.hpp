// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/math.hpp"

/// The type in which a GPU computes the formulas of lamella/activation.def if the result is rounded to float16 or bfloat16.
namespace lamella::core::math {

/// A float whose exponentials and quotients use the GPU's approximate instructions. These are off by a few ulp of float32, and a
/// formula by at most 0.05 ulp of the 16-bit type before rounding. NaN, infinities, signs of zeros and subnormal results of the
/// 16-bit type are exact.
///
/// The other functions forward to float's overloads. There are no implicit conversions, so none of them is called by mistake.
struct Approximate {
  float value;

  Approximate() = default;
  template <typename Number>
  LAMELLA_HD explicit constexpr Approximate(Number x) : value(static_cast<float>(x)) {}
  LAMELLA_HD explicit constexpr operator float() const { return value; }

  LAMELLA_HD friend Approximate operator-(Approximate x) { return Approximate(-x.value); }
  LAMELLA_HD friend Approximate operator+(Approximate a, Approximate b) { return Approximate(a.value + b.value); }
  LAMELLA_HD friend Approximate operator-(Approximate a, Approximate b) { return Approximate(a.value - b.value); }
  LAMELLA_HD friend Approximate operator*(Approximate a, Approximate b) { return Approximate(a.value * b.value); }
  /// A true division, for any divisor.
  LAMELLA_HD friend Approximate operator/(Approximate a, Approximate b) { return Approximate(a.value / b.value); }
  LAMELLA_HD friend bool operator<(Approximate a, Approximate b) { return a.value < b.value; }
  LAMELLA_HD friend bool operator>(Approximate a, Approximate b) { return a.value > b.value; }
  LAMELLA_HD friend bool operator<=(Approximate a, Approximate b) { return a.value <= b.value; }
  LAMELLA_HD friend bool operator>=(Approximate a, Approximate b) { return a.value >= b.value; }
  LAMELLA_HD friend bool operator==(Approximate a, Approximate b) { return a.value == b.value; }
};

LAMELLA_HD Approximate abs(Approximate x) { return Approximate(abs(x.value)); }
LAMELLA_HD Approximate copysign(Approximate magnitude, Approximate sign) {
  return Approximate(copysign(magnitude.value, sign.value));
}
LAMELLA_HD Approximate fma(Approximate a, Approximate b, Approximate c) { return Approximate(fma(a.value, b.value, c.value)); }
LAMELLA_HD Approximate floor(Approximate x) { return Approximate(floor(x.value)); }
LAMELLA_HD Approximate ceil(Approximate x) { return Approximate(ceil(x.value)); }
LAMELLA_HD Approximate round_to_even(Approximate x) { return Approximate(round_to_even(x.value)); }
LAMELLA_HD Approximate power(Approximate x, Approximate y) { return Approximate(power(x.value, y.value)); }
LAMELLA_HD Approximate log(Approximate x) { return Approximate(log(x.value)); }
LAMELLA_HD Approximate log1p(Approximate x) { return Approximate(log1p(x.value)); }

/// The instructions; exp2 and log2 flush subnormal arguments and results to 0. On the host, the functions they approximate.
namespace approximate {

#ifdef __CUDA_ARCH__
LAMELLA_HD float exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
LAMELLA_HD float log2(float x) {
  float y;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
LAMELLA_HD float sqrt(float x) {
  float y;
  asm("sqrt.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
#else
LAMELLA_HD float exp2(float x) { return __builtin_exp2f(x); }
LAMELLA_HD float log2(float x) { return __builtin_log2f(x); }
LAMELLA_HD float sqrt(float x) { return __builtin_sqrtf(x); }
#endif

inline constexpr float kLog2E = 0x1.715476p0F;  // log2(e)

}  // namespace approximate

LAMELLA_HD Approximate sqrt(Approximate x) { return Approximate(approximate::sqrt(x.value)); }

/// n / d for d from 1 to 2^126.
LAMELLA_HD Approximate quotient(Approximate n, Approximate d) { return n * Approximate(approximate_reciprocal(d.value)); }

/// The square of exp(x / 2), so that subnormal results are accurate too.
LAMELLA_HD Approximate exp(Approximate x) {
  const Approximate root(approximate::exp2(x.value * (0.5F * approximate::kLog2E)));
  return root * root;
}

/// Near 0, where the error of the exponential would be large beside the result, this and the next functions use a series.
LAMELLA_HD Approximate expm1(Approximate x) {
  const Approximate near = x * polynomial(x, Approximate(1), 0.5, 1.0 / 6);
  const Approximate far(approximate::exp2(x.value * approximate::kLog2E) - 1.F);
  return abs(x.value) < 0x1p-5F ? near : far;
}

LAMELLA_HD Approximate log1p_of_unit(Approximate x) {
  const Approximate near = x * polynomial(x, Approximate(1), -0.5, 1.0 / 3);
  const Approximate far(approximate::log2(1.F + x.value) * 0x1.62e430p-1F);  // log(2)
  return x.value < 0x1p-5F ? near : far;
}

LAMELLA_HD Approximate tanh(Approximate x) {
  const Approximate near = x * fma(x * x, Approximate(-1.0 / 3), Approximate(1));
  const Approximate e(approximate::exp2(abs(x.value) * (-2.F * approximate::kLog2E)));
  const Approximate far = copysign(quotient(Approximate(1) - e, Approximate(1) + e), x);
  return abs(x.value) < 0x1p-4F ? near : far;
}

/// factor e / (e + 1) with e = exp(x); the quotient is 1 from x = 20 on.
LAMELLA_HD Approximate sigmoid_times(Approximate x, Approximate, Approximate factor) {
  const Approximate e = exp(x > Approximate(20) ? Approximate(20) : x);
  return factor * quotient(e, e + Approximate(1));
}

/// x (e^2 + 2e) / (e^2 + 2e + 2) with e = exp(x)
LAMELLA_HD Approximate mish(Approximate x) {
  const Approximate e = exp(x > Approximate(20) ? Approximate(20) : x);
  const Approximate above = e * (e + Approximate(2));
  return x * quotient(above, above + Approximate(2));
}

/// The normal distribution's upper tail at |x| is exp(-x^2 / 2) times a smooth function, here of r = 1 / (|x| + 3.25).
LAMELLA_HD Approximate gelu_erf(Approximate x) {
  const Approximate root(approximate::exp2(x.value * (-0.25F * approximate::kLog2E) * x.value));
  const Approximate r(approximate_reciprocal(abs(x.value) + 3.25F));
  const Approximate smooth =
      r * polynomial(r, Approximate(0x1.994874p-2F), 0x1.416b50p0F, 0x1.2b73c6p2F, 0x1.919bcap-1F, 0x1.13f292p6F, -0x1.639e1cp6F);
  const Approximate tail = smooth * root * root;
  return x * (x > Approximate(0) ? Approximate(1) - tail : tail);
}

LAMELLA_HD Approximate gelu_tanh(Approximate x) {
  constexpr double kA = 1.5957691216057307117597842397375;  // sqrt(8 / pi)
  constexpr double kB = 0.071354816272600248776378;         // 0.044715 sqrt(8 / pi)
  return sigmoid_times(x * fma(x * x, Approximate(kB), Approximate(kA)), Approximate(0), x);
}

LAMELLA_HD Approximate tanh_shrink(Approximate x) {
  const Approximate a = abs(x);
  const Approximate square = x * x;
  const Approximate near =
      x * square * polynomial(square, Approximate(0x1.555546p-2F), -0x1.1101acp-3F, 0x1.b542b2p-5F, -0x1.262d6cp-6F);
  const float e = approximate::exp2(a.value * (2.F * approximate::kLog2E));
  const float far = fma(2.F, approximate_reciprocal(e + 1.F), a.value - 1.F);
  return a.value < 0.5F ? near : copysign(Approximate(far), x);
}

}  // namespace lamella::core::math
