// SPDX-License-Identifier: Apache-2.0
#include "core/trust.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <tuple>
#include <vector>

#include "core/activation_math.hpp"
#include "core/check.hpp"
#include "core/mutex.hpp"

namespace lamella::core {
namespace {

/// Both signs of everything from the smallest normal number to the largest, 32 to an octave near 1, and what is special.
std::vector<float> probes() {
  std::vector<float> values{0.0F, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN(), 3.4e38F};
  for (float x = 1.2e-38F; x < 1e38F; x *= (x > 1e-3F && x < 200.0F) ? 1.0219F : 1.7F) values.push_back(x);
  const std::size_t n = values.size();
  for (std::size_t i = 0; i < n; ++i) values.push_back(-values[i]);
  return values;
}

double unit_in_last_place(double value) {
  if (!std::isfinite(value)) return std::numeric_limits<double>::infinity();
  return std::ldexp(1.0, std::ilogb(std::max(std::fabs(value), static_cast<double>(std::numeric_limits<float>::min()))) - 23);
}

std::string examine(const char* vendor, const ActivationSpec& activation, const VendorFunction& compute) {
  const std::vector<float> x = probes();
  std::vector<float> y(x.size());
  compute(x, y);
  const auto& p = activation.parameters;
  const double bound = std::max(1, ulp_bound(activation.kind));
  std::string why;
  visit_elementwise(activation.kind, [&](auto op) {
    for (std::size_t i = 0; i < x.size() && why.empty(); ++i) {
      const double want = decltype(op)::apply(static_cast<double>(x[i]), p[0], p[1], p[2]);
      const auto rounded = static_cast<float>(want);
      const bool same = std::isnan(rounded) ? std::isnan(y[i]) : y[i] == rounded;
      if (same || (std::isfinite(rounded) && std::fabs(static_cast<double>(y[i]) - want) <= bound * unit_in_last_place(want)))
        continue;
      why = concat(vendor, "'s ", name(activation.kind), "(", x[i], ") is ", y[i], ", Keras' is ", rounded);
    }
  });
  return why;
}

}  // namespace

std::string why_not_trusted(const char* vendor, int device, const ActivationSpec& activation, const VendorFunction& compute) {
  using Key = std::tuple<std::string, int, ActivationKind, std::array<double, 3>>;
  static auto& mutex = *new Mutex;  // neither is ever destroyed: static objects may predict until the process is gone
  static auto& known = *new std::map<Key, std::string>;
  const Key key{vendor, device, activation.kind, activation.parameters};
  const std::lock_guard lock(mutex);
  if (const auto found = known.find(key); found != known.end()) return found->second;
  std::string why = examine(vendor, activation, compute);  // what throws is asked again
  return known.emplace(key, std::move(why)).first->second;
}

}  // namespace lamella::core
