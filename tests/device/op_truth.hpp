// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/activation_reference.hpp"
#include "device/device_support.hpp"

/// The right results of operations other than Dense, in float64.
namespace lamella::test {

inline std::vector<Bytes> sources(const std::vector<std::vector<double>>& values, DType dtype) {
  std::vector<Bytes> srcs;
  for (const auto& v : values) srcs.push_back(stored(v, dtype, size_of(dtype)));
  return srcs;
}

inline void expect_near(const std::vector<double>& got, const std::vector<double>& want, DType dtype, double ulps,
                        double absolute = 0) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double u = roundoff(dtype);
    // The smallest subnormal number is an absolute error.
    const double tiny = dtype == DType::float16 ? 0x1p-24 : 1e-38;
    const double work = dtype == DType::float64 ? 0x1p-53 : 0x1p-24;
    if (std::isnan(want[i]) || std::isinf(want[i])) {
      ASSERT_TRUE(std::isnan(want[i]) ? std::isnan(got[i]) : got[i] == want[i]) << i << " is " << got[i] << ", not " << want[i];
      continue;
    }
    ASSERT_NEAR(got[i], want[i], (u + 2 * ulps * work) * std::fabs(want[i]) + absolute * work + tiny)
        << i << " of " << to_string(dtype);
  }
}

inline ActivationSpec with_defaults(ActivationKind kind) {
  ActivationSpec spec{.kind = kind};
  for (std::size_t i = 0; i < parameters_of(kind).size(); ++i) {
    const ActivationParameter& parameter = parameters_of(kind)[i];
    spec.parameters[i] = parameter.required ? 0.25 + 2 * static_cast<double>(i) : parameter.default_value;
  }
  return spec;
}

/// Values that are exact in the dtype, at most 10: float16's exponential of more than that overflows.
inline std::vector<double> activation_inputs(std::size_t n, unsigned seed, DType dtype) {
  auto x = random_values(n, seed, 3.0);
  for (double& v : x) v = std::min(v, 10.0);
  return rounded(x, dtype);
}

inline std::vector<double> activation_truth(const ActivationSpec& spec, const std::vector<double>& x) {
  std::vector<double> y(x.size());
  const Truth f = truths().at(to_string(spec.kind));
  std::transform(x.begin(), x.end(), y.begin(), [&](double v) { return f(v, spec.parameters); });
  return y;
}

/// From the definitions, in float64; sparsemax as Keras does it, by sorting.
inline std::vector<double> rowwise_truth(const ops::RowwiseDesc& d, const std::vector<double>& x) {
  const bool glu = d.kind == ActivationKind::Glu;
  const std::int64_t half = d.length / 2;
  std::vector<double> y(static_cast<std::size_t>(d.outer * (glu ? half : d.length) * d.inner));
  for (std::int64_t o = 0; o < d.outer; ++o) {
    for (std::int64_t i = 0; i < d.inner; ++i) {
      std::vector<double> z;
      for (std::int64_t k = 0; k < d.length; ++k) z.push_back(x[static_cast<std::size_t>((o * d.length + k) * d.inner + i)]);
      const double top = z.empty() ? 0 : *std::max_element(z.begin(), z.end());
      double sum = 0;
      for (const double v : z) sum += std::exp(v - top);
      std::vector<double> sorted = z;
      std::sort(sorted.rbegin(), sorted.rend());
      double tau = 0;
      double cumulated = 0;
      double running = 0;
      for (std::size_t k = 0; k < sorted.size(); ++k) {
        cumulated += sorted[k];
        const auto count = static_cast<double>(k + 1);
        if (1 + count * sorted[k] <= cumulated) continue;
        running += cumulated;  // Keras sums the running sums; the published definition takes the last one
        tau = (running - 1) / count;
      }
      for (std::int64_t k = 0; k < (glu ? half : d.length); ++k) {
        const double v = z[static_cast<std::size_t>(k)];
        double& to = y[static_cast<std::size_t>((o * (glu ? half : d.length) + k) * d.inner + i)];
        switch (d.kind) {
          case ActivationKind::Softmax:
            to = std::exp(v - top) / sum;
            break;
          case ActivationKind::LogSoftmax:
            to = v - top - std::log(sum);
            break;
          case ActivationKind::Sparsemax:
            to = std::max(v - tau, 0.0);
            break;
          default:
            to = v / (1 + std::exp(-z[static_cast<std::size_t>(half + k)]));
            break;
        }
      }
    }
  }
  return y;
}

}  // namespace lamella::test
