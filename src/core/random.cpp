// SPDX-License-Identifier: Apache-2.0
#include "core/random.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace lamella::core {
namespace {

using Coefficients = std::array<double, 8>;

constexpr double polynomial(const Coefficients& c, double x) noexcept {
  double sum = 0.0;
  for (std::size_t i = c.size(); i-- > 0;) sum = sum * x + c[i];
  return sum;
}

// Wichura's algorithm AS 241 (PPND16): three rational approximations, for the middle, the flanks and the far tails.
constexpr Coefficients kMiddleTop{3.3871328727963666080e0,  1.3314166789178437745e+2, 1.9715909503065514427e+3,
                                  1.3731693765509461125e+4, 4.5921953931549871457e+4, 6.7265770927008700853e+4,
                                  3.3430575583588128105e+4, 2.5090809287301226727e+3};
constexpr Coefficients kMiddleBottom{1.0,
                                     4.2313330701600911252e+1,
                                     6.8718700749205790830e+2,
                                     5.3941960214247511077e+3,
                                     2.1213794301586595867e+4,
                                     3.9307895800092710610e+4,
                                     2.8729085735721942674e+4,
                                     5.2264952788528545610e+3};
constexpr Coefficients kFlankTop{1.42343711074968357734e0,  4.63033784615654529590e0, 5.76949722146069140550e0,
                                 3.64784832476320460504e0,  1.27045825245236838258e0, 2.41780725177450611770e-1,
                                 2.27238449892691845833e-2, 7.74545014278341407640e-4};
constexpr Coefficients kFlankBottom{1.0,
                                    2.05319162663775882187e0,
                                    1.67638483018380384940e0,
                                    6.89767334985100004550e-1,
                                    1.48103976427480074590e-1,
                                    1.51986665636164571966e-2,
                                    5.47593808499534494600e-4,
                                    1.05075007164441684324e-9};
constexpr Coefficients kTailTop{6.65790464350110377720e0,  5.46378491116411436990e0,  1.78482653991729133580e0,
                                2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                2.71155556874348757815e-5, 2.01033439929228813265e-7};
constexpr Coefficients kTailBottom{1.0,
                                   5.99832206555887937690e-1,
                                   1.36929880922735805310e-1,
                                   1.48753612908506148525e-2,
                                   7.86869131145613259100e-4,
                                   1.84631831751005468180e-5,
                                   1.42151175831644588870e-7,
                                   2.04426310338993978564e-15};

constexpr double kBelowMinusTwo = 0.022750131948179207200;  // the normal distribution function at -2

double dot(const double* a, const double* b, std::size_t n) noexcept {
  std::array<double, 4> sums{};
  std::size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    for (std::size_t j = 0; j < 4; ++j) sums[j] += a[i + j] * b[i + j];
  }
  for (; i < n; ++i) sums[0] += a[i] * b[i];
  return sums[0] + sums[1] + sums[2] + sums[3];
}

/// column -= 2 v (v . column), where v has length 1.
void reflect(const double* v, double* column, std::size_t n) noexcept {
  const double twice = 2.0 * dot(v, column, n);
  for (std::size_t i = 0; i < n; ++i) column[i] -= twice * v[i];
}

/// Replaces the columns (each `height` long, one after the other) by the Q of their QR decomposition with a positive diagonal of
/// R.
void orthonormalize(std::vector<double>& columns, std::size_t height, std::size_t width) {
  std::vector<double> signs(width, 1.0);
  for (std::size_t k = 0; k < width; ++k) {  // the reflector of step k replaces column k from row k on
    double* v = &columns[k * height + k];
    const std::size_t n = height - k;
    const double length = std::sqrt(dot(v, v, n));
    signs[k] = v[0] < 0.0 ? 1.0 : -1.0;  // the sign of R's diagonal, chosen against cancellation
    v[0] -= signs[k] * length;
    const double size = std::sqrt(dot(v, v, n));
    for (std::size_t i = 0; i < n; ++i) v[i] = size > 0.0 ? v[i] / size : 0.0;
    for (std::size_t j = k + 1; j < width; ++j) reflect(v, &columns[j * height + k], n);
  }
  std::vector<double> q(width * height, 0.0);
  for (std::size_t k = width; k-- > 0;) {
    q[k * height + k] = 1.0;
    for (std::size_t j = k; j < width; ++j) reflect(&columns[k * height + k], &q[j * height + k], height - k);
  }
  for (std::size_t k = 0; k < width; ++k) {
    for (std::size_t i = 0; i < height; ++i) columns[k * height + i] = q[k * height + i] * signs[k];
  }
}

}  // namespace

double normal_quantile(double p) noexcept {
  const double q = p - 0.5;
  if (std::fabs(q) <= 0.425) {
    const double r = 0.180625 - q * q;
    return q * polynomial(kMiddleTop, r) / polynomial(kMiddleBottom, r);
  }
  const double r = std::sqrt(-std::log(q < 0.0 ? p : 1.0 - p));
  const double magnitude = r <= 5.0 ? polynomial(kFlankTop, r - 1.6) / polynomial(kFlankBottom, r - 1.6)
                                    : polynomial(kTailTop, r - 5.0) / polynomial(kTailBottom, r - 5.0);
  return q < 0.0 ? -magnitude : magnitude;
}

void draw(const Distribution& distribution, std::uint64_t seed, std::uint64_t first, std::span<double> out) noexcept {
  for (std::size_t i = 0; i < out.size(); ++i) {
    const double u = uniform(seed, first + i);
    double value = u;
    switch (distribution.kind) {
      case Distribution::Kind::uniform:
        break;
      case Distribution::Kind::normal:
        value = normal_quantile(u);
        break;
      case Distribution::Kind::truncated_normal:
        value = std::clamp(normal_quantile(kBelowMinusTwo + (1.0 - 2.0 * kBelowMinusTwo) * u), -2.0, 2.0);
        break;
    }
    out[i] = distribution.center + distribution.width * value;
  }
}

void draw_orthogonal(std::int64_t rows, std::int64_t cols, double gain, std::uint64_t seed, std::span<double> out) {
  const auto height = static_cast<std::size_t>(std::max(rows, cols));
  const auto width = static_cast<std::size_t>(std::min(rows, cols));
  std::vector<double> columns(height * width);
  draw({Distribution::Kind::normal, 0.0, 1.0}, seed, 0, columns);
  orthonormalize(columns, height, width);
  for (std::size_t k = 0; k < width; ++k) {
    for (std::size_t i = 0; i < height; ++i) out[rows < cols ? k * height + i : i * width + k] = gain * columns[k * height + i];
  }
}

}  // namespace lamella::core
