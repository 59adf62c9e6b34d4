// SPDX-License-Identifier: Apache-2.0
#include "core/trust.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "core/activation_math.hpp"
#include "core/check.hpp"
#include "core/log.hpp"
#include "core/rounding.hpp"
#include "core/visit_dtype.hpp"

namespace lamella::core {
namespace {

/// Parameters of a floating type.
struct Format {
  int digits;    ///< of the significand
  int smallest;  ///< exponent of the smallest normal number
};

Format format_of(DType dtype) {
  switch (dtype) {
    case DType::float16:
      return {11, -14};
    case DType::bfloat16:
      return {8, -126};
    case DType::float64:
      return {53, -1022};
    default:
      return {24, -126};
  }
}

double rounded(double value, DType dtype) {
  double result = value;
  visit_dtype(dtype, [&](auto t) {
    using T = decltype(t);
    if constexpr (std::is_same_v<T, double>) return;
    if constexpr (std::is_floating_point_v<T>) result = static_cast<double>(static_cast<T>(value));
    if constexpr (!std::is_arithmetic_v<T>) result = static_cast<double>(static_cast<float>(T(to_odd(value))));
  });
  return result;
}

/// Test inputs with both signs, from the smallest normal number to the largest, 32 per octave near 1, and the special values; all
/// are exact in the dtype, and with `tf32` in TensorFloat-32.
std::vector<double> probes(DType dtype, bool tf32) {
  std::vector<double> values{0.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN(),
                             dtype == DType::float16 ? 65504.0 : 3.38e38};
  const double least = dtype == DType::float16 ? 6.2e-5 : 1.2e-38;
  const double most = dtype == DType::float16 ? 6.5e4 : 1e38;
  for (double x = least; x < most; x *= (x > 1e-3 && x < 200.0) ? 1.0219 : 1.7)
    values.push_back(rounded(tf32 ? std::ldexp(std::round(std::ldexp(x, 10 - std::ilogb(x))), std::ilogb(x) - 10) : x, dtype));
  values[3] = rounded(tf32 ? 0x1.ff8p127 : values[3], dtype);
  const std::size_t n = values.size();
  for (std::size_t i = 0; i < n; ++i) values.push_back(-values[i]);
  return values;
}

double unit_in_last_place(double value, Format format) {
  return std::ldexp(1.0, std::max(value == 0 ? format.smallest : std::ilogb(value), format.smallest) - (format.digits - 1));
}

/// The allowed distance from the exact result: the table's bound in the compute type, and one rounding if the result is stored in
/// a narrower type. In float64 the reference formula has the same errors.
double tolerance(double want, const VendorForm& form) {
  const double bound = std::max(1, ulp_bound(form.activation.kind));
  if (form.dtype == DType::float64) return (2 * bound + 2) * unit_in_last_place(want, format_of(DType::float64));
  const double computed = bound * unit_in_last_place(want, format_of(DType::float32));
  return form.dtype == DType::float32 ? computed : computed + 0.5 * unit_in_last_place(want, format_of(form.dtype));
}

std::string examine(const VendorForm& form, const VendorFunction& compute) {
  const std::vector<double> x = probes(form.dtype, form.tf32);
  std::vector<double> y(x.size());
  compute(x, y);
  const auto& p = form.activation.parameters;
  std::string why;
  visit_elementwise(form.activation.kind, [&](auto op) {
    for (std::size_t i = 0; i < x.size() && why.empty(); ++i) {
      const double want = decltype(op)::apply(x[i], p[0], p[1], p[2]);
      const double nearest = rounded(want, form.dtype);
      const bool same = std::isnan(nearest) ? std::isnan(y[i]) : y[i] == nearest;
      if (same || (std::isfinite(nearest) && std::fabs(y[i] - want) <= tolerance(want, form))) continue;
      why = core::format("{}'s {}({:g}) in {} is {:g}, Keras' is {:g}", form.vendor, to_string(form.activation.kind), x[i],
                         to_string(form.dtype), y[i], nearest);
    }
  });
  return why;
}

}  // namespace

std::string Verdicts::why_not(const VendorForm& form, const VendorFunction& compute) {
  std::string key = core::format("{}|{}|{}|{}", form.vendor, to_string(form.activation.kind), to_string(form.dtype), form.tf32);
  for (const double parameter : form.activation.parameters)
    key.append(reinterpret_cast<const char*>(&parameter), sizeof parameter);
  key += form.algorithm;
  const std::lock_guard lock(mutex_);
  if (const auto found = known_.find(key); found != known_.end()) return found->second;
  std::string why = examine(form, compute);  // after an exception, the next call tries again
  if (!why.empty()) log(LogLevel::info, "{}: not used", why);
  return known_.emplace(std::move(key), std::move(why)).first->second;
}

}  // namespace lamella::core
