// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <string_view>
#include <vector>

/// What each activation must give, written from its definition and sharing nothing with the library. A new activation needs a
/// line in reference::table.
namespace lamella::test {

/// The value in double or better for finite x; NaN where there is none. `p` holds the parameters in the table's order.
using Truth = double (*)(double x, const std::array<double, 3>& p);

inline double tanh_shrink_truth(double x) {
  if (std::fabs(x) > 0.1) return static_cast<double>(static_cast<long double>(x) - std::tanh(static_cast<long double>(x)));
  const double s = x * x;
  return x * s * (1. / 3 - s * (2. / 15 - s * (17. / 315 - s * (62. / 2835 - s * (1382. / 155925 - s * (21844. / 6081075))))));
}

/// 1 + tanh(u) is exp(u) / cosh(u).
inline double gelu_tanh_truth(double x) {
  const long double z = x;
  const long double u = std::sqrt(2 / 3.14159265358979323846264338327950288L) * (z + 0.044715L * z * z * z);
  if (u > 1000) return x;
  return u < -1000 ? 0. : static_cast<double>(0.5L * z * std::exp(u) / std::cosh(u));
}

inline double relu_general_truth(double x, const std::array<double, 3>& p) {
  if (x > p[2] || (p[2] == 0 && x >= 0)) return x < p[1] ? x : p[1];
  return p[0] * (x - p[2]);
}

/// The results of Keras 3.15 on JAX for NaN, -inf and +inf, with these parameters.
struct AtTheEnds {
  std::array<float, 3> p;
  float nan, below, above;
};

struct Reference {
  Truth truth;
  std::vector<AtTheEnds> at_the_ends;
};

namespace reference {
using P = const std::array<double, 3>&;
inline constexpr float kInf = std::numeric_limits<float>::infinity();
inline constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

inline const auto& table = *new std::map<std::string_view, Reference>{
    {"linear", {[](double x, P) { return x; }, {{{}, kNaN, -kInf, kInf}}}},
    {"relu", {[](double x, P) { return std::fmax(x, 0.); }, {{{}, kNaN, 0, kInf}}}},
    {"relu6", {[](double x, P) { return std::fmin(std::fmax(x, 0.), 6.); }, {{{}, kNaN, 0, 6}}}},
    {"leaky_relu", {[](double x, P p) { return x < 0 ? p[0] * x : x; }, {{{0.2F}, kNaN, -kInf, kInf}}}},
    {"elu", {[](double x, P p) { return x < 0 ? p[0] * std::expm1(x) : x; }, {{{1}, kNaN, -1, kInf}}}},
    {"celu", {[](double x, P p) { return x < 0 ? p[0] * std::expm1(x / p[0]) : x; }, {{{1}, kNaN, -1, kInf}}}},
    {"selu",
     {[](double x, P) { return 1.0507009873554804934 * (x < 0 ? 1.6732632423543772848 * std::expm1(x) : x); },
      {{{}, kNaN, -1.7580993F, kInf}}}},
    {"gelu", {[](double x, P) { return x * std::erfc(-x / std::sqrt(2.)) / 2; }, {{{}, kNaN, kNaN, kInf}}}},
    {"gelu_tanh", {[](double x, P) { return gelu_tanh_truth(x); }, {{{}, kNaN, kNaN, kInf}}}},
    {"silu", {[](double x, P) { return x / (1 + std::exp(-x)); }, {{{}, kNaN, kNaN, kInf}}}},
    {"hard_silu", {[](double x, P) { return x * std::fmin(std::fmax(x + 3, 0.), 6.) / 6; }, {{{}, kNaN, kNaN, kInf}}}},
    {"sigmoid", {[](double x, P) { return 1 / (1 + std::exp(-x)); }, {{{}, kNaN, 0, 1}}}},
    {"hard_sigmoid", {[](double x, P) { return std::fmin(std::fmax(x / 6 + 0.5, 0.), 1.); }, {{{}, kNaN, 0, 1}}}},
    {"hard_sigmoid_keras2",
     {[](double x, P) { return std::fmin(std::fmax(static_cast<double>(0.2F) * x + 0.5, 0.), 1.); }, {{{}, kNaN, 0, 1}}}},
    {"sparse_sigmoid", {[](double x, P) { return x <= -1  ? 0.
                                                 : x >= 1 ? 1.
                                                          : (x + 1) / 2; }, {{{}, kNaN, 0, 1}}}},
    {"log_sigmoid", {[](double x, P) { return x < -700 ? x : -std::log1p(std::exp(-x)); }, {{{}, kNaN, -kInf, 0}}}},
    {"tanh", {[](double x, P) { return std::tanh(x); }, {{{}, kNaN, -1, 1}}}},
    {"hard_tanh", {[](double x, P) { return std::fmin(std::fmax(x, -1.), 1.); }, {{{}, kNaN, -1, 1}}}},
    {"tanh_shrink", {[](double x, P) { return tanh_shrink_truth(x); }, {{{}, kNaN, -kInf, kInf}}}},
    {"softplus", {[](double x, P) { return x > 700 ? x : std::log1p(std::exp(x)); }, {{{}, kNaN, 0, kInf}}}},
    {"softsign", {[](double x, P) { return x / (1 + std::fabs(x)); }, {{{}, kNaN, kNaN, kNaN}}}},
    {"exponential", {[](double x, P) { return std::exp(x); }, {{{}, kNaN, 0, kInf}}}},
    {"mish", {[](double x, P) { return x > 700 ? x : x * std::tanh(std::log1p(std::exp(x))); }, {{{}, kNaN, kNaN, kInf}}}},
    {"squareplus",
     {[](double x, P p) {
        const double root = std::hypot(x, std::sqrt(p[0]));
        return x < 0 ? p[0] / (root - x) / 2 : (x + root) / 2;
      },
      {{{4}, kNaN, kNaN, kInf}}}},
    {"sparse_plus", {[](double x, P) { return x <= -1  ? 0.
                                              : x >= 1 ? x
                                                       : (x + 1) * (x + 1) / 4; }, {{{}, kNaN, 0, kInf}}}},
    {"hard_shrink", {[](double x, P p) { return std::fabs(x) <= p[0] ? 0. : x; }, {{{0.5F}, 0, -kInf, kInf}}}},
    {"soft_shrink",
     {[](double x, P p) { return std::fabs(x) <= p[0] ? 0. : std::copysign(std::fabs(x) - p[0], x); },
      {{{0.5F}, 0, -kInf, kInf}}}},
    {"threshold", {[](double x, P p) { return x <= p[0] ? p[1] : x; }, {{{1, 7}, 7, 7, kInf}}}},
    {"relu_general",
     {[](double x, P p) { return relu_general_truth(x, p); },
      {{{0, kInf, 1.5F}, 0, 0, kInf},
       {{0, 2, 0}, kNaN, 0, 2},
       {{0.1F, 6, 0}, kNaN, -kInf, 6},
       {{0.1F, 3, 1.5F}, kNaN, -kInf, 3},
       {{0, 1, 2}, 0, 0, 1}}}},
    {"absolute", {[](double x, P) { return std::fabs(x); }, {{{}, kNaN, kInf, kInf}}}},
    {"sign", {[](double x, P) { return x == 0 ? 0. : std::copysign(1., x); }, {{{}, kNaN, -1, 1}}}},
    {"floor", {[](double x, P) { return std::floor(x); }, {{{}, kNaN, -kInf, kInf}}}},
    {"ceil", {[](double x, P) { return std::ceil(x); }, {{{}, kNaN, -kInf, kInf}}}},
    {"round", {[](double x, P) { return std::nearbyint(x); }, {{{}, kNaN, -kInf, kInf}}}},
    {"square", {[](double x, P) { return x * x; }, {{{}, kNaN, kInf, kInf}}}},
    {"sqrt", {[](double x, P) { return std::sqrt(x); }, {{{}, kNaN, kNaN, kInf}}}},
    {"rsqrt", {[](double x, P) { return 1 / std::sqrt(x); }, {{{}, kNaN, kNaN, 0}}}},
    {"reciprocal", {[](double x, P p) { return p[0] / x; }, {{{1}, kNaN, 0, 0}}}},
    {"divide", {[](double x, P p) { return x / p[0]; }, {{{-2}, kNaN, kInf, -kInf}}}},
    {"power", {[](double x, P p) { return std::pow(x, p[0]); }, {{{3}, kNaN, -kInf, kInf}, {{0}, 1, 1, 1}}}},
    {"clip", {[](double x, P p) { return std::fmin(std::fmax(x, p[0]), p[1]); }, {{{-1, 2}, kNaN, -1, 2}}}},
    {"log", {[](double x, P) { return std::log(x); }, {{{}, kNaN, kNaN, kInf}}}},
    {"log1p", {[](double x, P) { return std::log1p(x); }, {{{}, kNaN, kNaN, kInf}}}},
    {"expm1", {[](double x, P) { return std::expm1(x); }, {{{}, kNaN, -1, kInf}}}},
};
}  // namespace reference

inline const std::map<std::string_view, Reference>& references() { return reference::table; }

inline const std::map<std::string_view, Truth>& truths() {
  static const auto& table = *new auto([] {
    std::map<std::string_view, Truth> result;
    for (const auto& [name, reference] : references()) result.emplace(name, reference.truth);
    return result;
  }());
  return table;
}

}  // namespace lamella::test
