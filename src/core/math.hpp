// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>

#ifdef __CUDACC__
#define LAMELLA_HD __host__ __device__ __forceinline__
#else
#define LAMELLA_HD inline __attribute__((always_inline))
#endif

/// The functions that the formulas of lamella/activation.def are written in, for float and double.
///
/// On the host the float functions have no branches and call nothing, so loops over them vectorise under
/// -O3 -fno-math-errno -fno-trapping-math with FMA in the target; without FMA they are correct and slow. Every fused
/// multiply-add is written out: compiled with -ffp-contract=off they give the same bits on every host, in vector body and in
/// tail. The double functions are those of <cmath>. On the device exp, expm1, log1p and tanh are CUDA's own. NaN gives NaN
/// everywhere.
namespace lamella::core::math {

#ifdef __CUDA_ARCH__
LAMELLA_HD float abs(float x) { return ::fabsf(x); }
LAMELLA_HD float sqrt(float x) { return ::sqrtf(x); }
LAMELLA_HD float copysign(float magnitude, float sign) { return ::copysignf(magnitude, sign); }
LAMELLA_HD float fma(float a, float b, float c) { return ::fmaf(a, b, c); }
LAMELLA_HD float floor(float x) { return ::floorf(x); }
LAMELLA_HD float ceil(float x) { return ::ceilf(x); }
LAMELLA_HD float round_to_even(float x) { return ::rintf(x); }
/// At most 1 ulp off; results that would be subnormal are 0.
LAMELLA_HD float approximate_reciprocal(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
#else
LAMELLA_HD float abs(float x) { return __builtin_fabsf(x); }
LAMELLA_HD float sqrt(float x) { return __builtin_sqrtf(x); }
LAMELLA_HD float copysign(float magnitude, float sign) { return __builtin_copysignf(magnitude, sign); }
LAMELLA_HD float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
LAMELLA_HD float floor(float x) { return __builtin_floorf(x); }
LAMELLA_HD float ceil(float x) { return __builtin_ceilf(x); }
LAMELLA_HD float round_to_even(float x) { return __builtin_rintf(x); }
LAMELLA_HD float approximate_reciprocal(float x) { return 1.F / x; }
#endif
LAMELLA_HD double abs(double x) { return ::fabs(x); }
LAMELLA_HD double sqrt(double x) { return ::sqrt(x); }
LAMELLA_HD double copysign(double magnitude, double sign) { return ::copysign(magnitude, sign); }
LAMELLA_HD double fma(double a, double b, double c) { return ::fma(a, b, c); }
LAMELLA_HD double floor(double x) { return ::floor(x); }
LAMELLA_HD double ceil(double x) { return ::ceil(x); }
LAMELLA_HD double round_to_even(double x) { return ::rint(x); }

/// x to the power y. Computed in double on the host, so that nearly every float result is correctly rounded.
LAMELLA_HD float power(float x, float y) {
#ifdef __CUDA_ARCH__
  return ::powf(x, y);
#else
  return static_cast<float>(::pow(static_cast<double>(x), static_cast<double>(y)));
#endif
}
LAMELLA_HD double power(double x, double y) { return ::pow(x, y); }

/// c[0] + c[1] x + ..., by Horner's rule.
template <typename T>
LAMELLA_HD T polynomial(T, T last) {
  return last;
}
template <typename T, typename... Rest>
LAMELLA_HD T polynomial(T x, T first, Rest... rest) {
  return fma(polynomial(x, static_cast<T>(rest)...), x, first);
}

/// Propagates NaN; lowest <= highest.
template <typename T>
LAMELLA_HD T clip(T x, T lowest, T highest) {
  const T above = lowest > x ? lowest : x;  // one instruction each: a maximum, then a minimum
  return above > highest ? highest : above;
}

/// a where the condition holds, b elsewhere. Both are computed, so there is no branch.
template <typename T>
LAMELLA_HD T where(bool condition, T a, T b) {
  return condition ? a : b;
}

/// n / d for d from 1 to 2^126. On a GPU not always the nearest float, but half as many instructions as a division.
LAMELLA_HD float quotient(float n, float d) {
#ifdef __CUDA_ARCH__
  const float r = approximate_reciprocal(d);
  const float q = n * r;
  return abs(n) < __builtin_inff() ? fma(-fma(q, d, -n), r, q) : q;  // keeps the sign of 0; an infinity has no remainder
#else
  return n / d;
#endif
}
LAMELLA_HD double quotient(double n, double d) { return n / d; }

/// exp(x) as a product. times(factor) keeps full precision even where exp(x) alone would be subnormal.
template <typename T>
struct ExpParts {
  T a, b, c;
  LAMELLA_HD T times(T factor) const { return factor * a * b * c; }
};

/// Below this, x * exp(x) is 0 in T.
template <typename T>
inline constexpr T kExpVanishes = sizeof(T) == 4 ? T(-120) : T(-760);

namespace detail {

/// x = n ln 2 + r with |r| <= ln 2 / 2, for |x| < 2^20; scale_of(n) is 2^n.
struct Reduced {
  float r;
  std::int32_t n;
};

LAMELLA_HD float scale_of(std::int32_t n) { return __builtin_bit_cast(float, (static_cast<std::uint32_t>(n) + 127U) << 23U); }

LAMELLA_HD Reduced reduce(float x) {
  constexpr float kRound = 0x1.8p23F;  // adding it rounds to an integer in the low bits
  const float t = fma(x, 0x1.715476p0F, kRound);
  const float k = t - kRound;
  const auto n = static_cast<std::int32_t>(__builtin_bit_cast(std::uint32_t, t) - __builtin_bit_cast(std::uint32_t, kRound));
  const float r = fma(k, -0x1.7f7d1cp-20F, fma(k, -0x1.62e4p-1F, x));
  return {r, n};
}

/// exp(r) - 1 for |r| <= ln 2 / 2.
LAMELLA_HD float expm1_reduced(float r) {
  const float q = polynomial(r, 0x1p-1F, 0x1.555554p-3F, 0x1.5554b0p-5F, 0x1.11118ap-7F, 0x1.6d7348p-10F, 0x1.a032d4p-13F);
  return fma(r * r, q, r);
}

/// exp(n ln 2 + r) for the n and r of reduce(); r may include a small correction.
LAMELLA_HD ExpParts<float> exp_of(std::int32_t n, float r) {
  const std::int32_t half = n >> 1;
  return {1.F + expm1_reduced(r), scale_of(half), scale_of(n - half)};
}

}  // namespace detail

/// exp(x), with x clipped to -120..120.
LAMELLA_HD ExpParts<float> exp_parts(float x) {
#ifdef __CUDA_ARCH__
  const float half = ::expf(0.5F * clip(x, -120.F, 120.F));
  return {half, half, 1.F};
#else
  const detail::Reduced reduced = detail::reduce(clip(x, -120.F, 120.F));
  return detail::exp_of(reduced.n, reduced.r);
#endif
}
/// exp(x + x_low) for |x| <= 120 and a finite x_low that is tiny beside x.
LAMELLA_HD ExpParts<float> exp_parts_in_range(float x, float x_low) {
#ifdef __CUDA_ARCH__
  const float half = ::expf(0.5F * x);
  return {half, half, 1.F + x_low};
#else
  const detail::Reduced reduced = detail::reduce(x);
  return detail::exp_of(reduced.n, reduced.r + x_low);
#endif
}
/// The same, with x clipped to -120..120.
LAMELLA_HD ExpParts<float> exp_parts(float x, float x_low) { return exp_parts_in_range(clip(x, -120.F, 120.F), x_low); }
LAMELLA_HD ExpParts<double> exp_parts(double x, double x_low = 0) {
  const double half = ::exp(0.5 * clip(x, -760., 760.));
  return {half, half, 1. + x_low};
}

LAMELLA_HD float exp(float x) {
#ifdef __CUDA_ARCH__
  return ::expf(x);
#else
  return exp_parts(x).times(1.F);
#endif
}
LAMELLA_HD double exp(double x) { return ::exp(x); }

LAMELLA_HD float expm1(float x) {
#ifdef __CUDA_ARCH__
  return ::expm1f(x);
#else
  const detail::Reduced reduced = detail::reduce(clip(x, -20.F, 100.F));
  const bool high = reduced.n > 127;  // 2^128 overflows: scale by 2^-30, and back at the end
  const float last = high ? 0x1p30F : 1.F;
  const float scale = detail::scale_of(reduced.n - (high ? 30 : 0));
  const float result = fma(scale, detail::expm1_reduced(reduced.r), scale - (high ? 0x1p-30F : 1.F)) * last;
  return x == 0 ? x : result;  // keeps the sign of 0
#endif
}
LAMELLA_HD double expm1(double x) { return ::expm1(x); }

namespace detail {

/// (log(1 + f) - f) / f^2 for -0.25 <= f <= 0.5.
LAMELLA_HD float log1p_tail(float f) {
  return polynomial(f, -0x1p-1F, 0x1.55555cp-2F, -0x1.0000c2p-2F, 0x1.9997a0p-3F, -0x1.5509f8p-3F, 0x1.244a9cp-3F,
                    -0x1.051eeap-3F, 0x1.e18082p-4F, -0x1.75d5bep-4F, 0x1.31b884p-5F);
}

}  // namespace detail

/// log(1 + x) for 0 <= x <= 1.
LAMELLA_HD float log1p_of_unit(float x) {
#ifdef __CUDA_ARCH__
  return ::log1pf(x);
#else
  const bool upper = x > 0.5F;
  const float f = upper ? fma(0.5F, x, -0.5F) : x;  // (1 + x) / 2 - 1
  const float q = detail::log1p_tail(f);
  const float ln2_high = upper ? 0x1.62e430p-1F : 0.F;
  const float ln2_low = upper ? -0x1.05c610p-29F : 0.F;
  return ln2_high + (f + fma(f * f, q, ln2_low));
#endif
}
LAMELLA_HD double log1p_of_unit(double x) { return ::log1p(x); }

/// x = 2^k (1 + f) with -0.25 <= f < 0.5; the logarithm of x is k log(2) + log(1 + f).
LAMELLA_HD float log(float x) {
#ifdef __CUDA_ARCH__
  return ::logf(x);
#else
  constexpr std::uint32_t kThreeQuarters = 0x3F40'0000U;
  const bool tiny = x < 0x1p-126F;
  const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, tiny ? x * 0x1p25F : x) - kThreeQuarters;
  const float k = static_cast<float>(static_cast<std::int32_t>(bits) >> 23) - (tiny ? 25.F : 0.F);
  const float f = __builtin_bit_cast(float, (bits & 0x007F'FFFFU) + kThreeQuarters) - 1.F;
  const float result = fma(k, 0x1.62e430p-1F, f + fma(f * f, detail::log1p_tail(f), k * -0x1.05c610p-29F));
  const float outside = x == 0.F ? -__builtin_inff() : __builtin_nanf("");
  return x > 0.F ? (x < __builtin_inff() ? result : x) : outside;
#endif
}
LAMELLA_HD double log(double x) { return ::log(x); }

/// log(1 + x); the rounding error of 1 + x is corrected to first order.
LAMELLA_HD float log1p(float x) {
#ifdef __CUDA_ARCH__
  return ::log1pf(x);
#else
  const float u = 1.F + x;
  const float lost = x < 1.F ? x - (u - 1.F) : 1.F - (u - x);
  const float result = log(u);
  const float whole = u > 0.F && u < __builtin_inff() ? result + lost / u : result;
  return x == 0.F ? x : whole;  // -0 stays -0
#endif
}
LAMELLA_HD double log1p(double x) { return ::log1p(x); }

LAMELLA_HD float tanh(float x) {
#ifdef __CUDA_ARCH__
  return ::tanhf(x);
#else
  const float twice = 2.F * abs(x);
  const detail::Reduced reduced = detail::reduce(20.F < twice ? 20.F : twice);
  const float scale = detail::scale_of(reduced.n);
  const float e = fma(scale, detail::expm1_reduced(reduced.r), scale - 1.F);  // exp(2 |x|) - 1
  return copysign(e / (e + 2.F), x);
#endif
}
LAMELLA_HD double tanh(double x) { return ::tanh(x); }

/// factor / (1 + exp(-(x + x_low))), accurate even where that is tiny.
template <typename T>
LAMELLA_HD T sigmoid_times(T x, T x_low, T factor) {
  const ExpParts<T> parts = exp_parts(-abs(x), x < T(0) ? x_low : -x_low);
  const T below = x < kExpVanishes<T> ? factor * T(0) : parts.times(factor);
  return quotient(x < T(0) ? below : factor, T(1) + parts.times(T(1)));
}

template <typename T>
LAMELLA_HD T softplus(T x) {
  return (x > T(0) ? x : T(0)) + log1p_of_unit(exp(-abs(x)));
}

/// x tanh(softplus(x)); with e = exp(-|x|), the tangent is (1 + 2e) / (1 + 2e + 2e^2), or e (2 + e) / (2 + 2e + e^2) below 0.
template <typename T>
LAMELLA_HD T mish(T x) {
  const ExpParts<T> parts = exp_parts(-abs(x));
  const T e = parts.times(T(1));
  const T below = (x < kExpVanishes<T> ? x * T(0) : parts.times(x)) * (e + T(2));
  const T above = x * fma(T(2), e, T(1));
  return quotient(x < T(0) ? below : above, x < T(0) ? fma(e, e + T(2), T(2)) : fma(T(2) * e, e + T(1), T(1)));
}

/// x Phi(x), from the normal distribution's upper tail at |x|, exp(-x^2 / 2) times a smooth function: no cancellation below 0.
LAMELLA_HD float gelu_erf(float x) {
  const float a = abs(x) > 15.F ? 15.F : abs(x);
  const float square = a * a;
  const ExpParts<float> parts = exp_parts_in_range(-0.5F * square, -0.5F * fma(a, a, -square));
  const float r = quotient(1.F, a + 4.F);
  const float ratio = (a - 4.F) * r;
  const float q = fma(r, fma(ratio, -a, fma(ratio + 1.F, -4.F, a)), ratio);  // (a - 4) / (a + 4) to the last bit
  const float smooth =
      r * polynomial(q, 0x1.82b4bcp-1F, -0x1.373e3ap-1F, 0x1.8c6db8p-2F, -0x1.7dff06p-3F, 0x1.eec886p-5F, -0x1.ee500ep-8F,
                     -0x1.c9bb78p-9F, 0x1.acbb9ap-10F, 0x1.686aa6p-13F, -0x1.cbdee4p-13F, -0x1.79ff4cp-15F);
  const float below = x < -15.F ? x * 0.F : parts.times(x * smooth);
  return x < 0.F ? below : x * (1.F - parts.times(smooth));
}
/// The same by erfc; far below 0, where erfc is subnormal, by the tail's asymptotic series in 1 / x^2.
LAMELLA_HD double gelu_erf(double x) {
  constexpr double kRoot = 0.70710678118654752440;  // sqrt(1 / 2)
  constexpr double kRootLow = -4.8336466567264567e-17;
  constexpr double kSlope = 1.1283791670955125739;     // 2 / sqrt(pi)
  constexpr double kDensity = 0.39894228040143267794;  // 1 / sqrt(2 pi)
  if (x > 10.) return x;                               // 1 - Phi(10) is below 1e-23
  if (x < -36.) {
    const double square = x * x;
    const ExpParts<double> parts = exp_parts(-0.5 * square, -0.5 * fma(x, x, -square));
    const double t = 1. / square;
    const double series = polynomial(t, 1., -1., 3., -15., 105., -945., 10395., -135135.);
    return x < -39. ? x * 0. : parts.times(-kDensity * series);
  }
  // Corrects to first order the rounding error of the argument, about x * 1e-16, which erfc magnifies 2 x times.
  const double y = x * -kRoot;
  const double y_low = fma(x, -kRoot, -y) - x * kRootLow;
  return 0.5 * x * (::erfc(y) - y_low * kSlope * ::exp(-y * y));
}

/// x sigmoid(2u), u = sqrt(2 / pi) (x + 0.044715 x^3): equal to 0.5 x (1 + tanh(u)) without its cancellation. Below 0 an absolute
/// error in 2u is a relative error of the result, so 2u = x (a + b x^2) is computed in two parts.
template <typename T>
LAMELLA_HD T gelu_tanh(T x) {
  constexpr double kA = 1.5957691216057307117597842397375;  // sqrt(8 / pi)
  constexpr double kB = 0.071354816272600248776378;         // 0.044715 sqrt(8 / pi)
  constexpr T kALow = static_cast<T>(kA - static_cast<double>(static_cast<T>(kA)));
  constexpr T kBLow = static_cast<T>(kB - static_cast<double>(static_cast<T>(kB)));
  const T z = clip(x, T(-25), T(25));
  const T square = z * z;
  const T square_low = fma(z, z, -square);
  const T cubic = T(kB) * square;
  const T cubic_low = fma(T(kB), square, -cubic) + fma(T(kB), square_low, kBLow * square);
  const T sum = T(kA) + cubic;
  const T rest = sum - T(kA);
  const T sum_low = ((T(kA) - (sum - rest)) + (cubic - rest)) + (kALow + cubic_low);
  const T u = z * sum;
  return sigmoid_times(u, fma(z, sum, -u) + z * sum_low, x);
}

/// x - tanh(x), by a series near 0.
LAMELLA_HD float tanh_shrink(float x) {
  const float a = abs(x);
  const float s = a * a;
  const float q = polynomial(s, 0x1.555556p-2F, -0x1.11110ep-3F, 0x1.ba1a42p-5F, -0x1.663252p-6F, 0x1.213830p-7F, -0x1.c7ed40p-9F,
                             0x1.45a464p-10F, -0x1.622332p-12F, 0x1.96a8bep-15F);
  const float large = (a - 1.F) + 2.F / (exp(2.F * a) + 1.F);
  return copysign(a < 1.F ? a * s * q : large, x);
}
/// tanh(x) is x / (1 + w), w being the continued fraction x^2 / (3 + x^2 / (5 + ...)), so x - tanh(x) is x w / (1 + w).
LAMELLA_HD double tanh_shrink(double x) {
  if (!(abs(x) < 1)) return x - ::tanh(x);
  double w = 0;
  for (double odd = 21; odd >= 3; odd -= 2) w = x * x / (odd + w);
  return x * (w / (1 + w));
}

/// (x + sqrt(x^2 + b)) / 2, without cancellation below 0 and without overflow.
template <typename T>
LAMELLA_HD T squareplus(T x, T b) {
  const T a = abs(x);
  const bool huge = a > T(0x1p60);
  const T root = huge ? a : sqrt(fma(a, a, b));
  const T mean = T(0.5) * a + T(0.5) * root;
  const T below = mean == T(0) ? T(0) : T(0.25) * b / mean;  // b = 0 and x near 0
  return x < T(0) ? (a - a) + below : mean;                  // a - a: Keras gives NaN at -inf
}

/// Keras' ReLU layer with all its parameters; without a maximum, max_value is infinite.
template <typename T>
LAMELLA_HD T relu_general(T x, T negative_slope, T max_value, T threshold) {
  const T above = threshold == T(0) ? (T(0) > x ? T(0) : x) : (x > threshold ? x : T(0));
  const T kept = above > max_value ? max_value : above;
  const T under = threshold - x;
  const T negative = T(0) > under ? T(0) : under;
  return negative_slope == T(0) ? kept : kept - negative_slope * negative;
}

}  // namespace lamella::core::math
