// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <vector>

#include "core/activation_math.hpp"
#include "core/activation_reference.hpp"

/// Distances between the table's formulas and the truth, for the tests and for docs/accuracy.md.
namespace lamella::test {

/// Maps floats to integers in the same order: neighbours differ by 1, both zeros are 0.
inline std::int64_t place(float x) {
  const auto bits = static_cast<std::int64_t>(std::bit_cast<std::uint32_t>(x) & 0x7FFF'FFFFU);
  return std::signbit(x) ? -bits : bits;
}

/// How many floats lie between y and the truth rounded to float.
inline std::int64_t ulps(float y, double truth) {
  if (std::isnan(y) || std::isnan(truth))
    return std::isnan(y) == std::isnan(truth) ? 0 : std::numeric_limits<std::int64_t>::max();
  return std::llabs(place(y) - place(static_cast<float>(truth)));
}

/// The parameters with which an activation is measured: the defaults or, without defaults, values that exercise every part of
/// the formula.
inline std::vector<std::array<float, 3>> measured_parameters(ActivationKind kind) {
  std::array<float, 3> defaults{};
  bool required = false;
  for (std::size_t i = 0; const ActivationParameter& parameter : parameters_of(kind)) {
    defaults[i++] = static_cast<float>(parameter.default_value);
    required = required || parameter.required;
  }
  std::vector<std::array<float, 3>> result;
  if (!required) result.push_back(defaults);
  if (required || !parameters_of(kind).empty()) result.push_back({0.3F, 2.5F, 1.25F});
  return result;
}

struct Worst {
  std::int64_t ulps = 0;
  float x = 0;
};

/// The largest distance over every `stride`-th finite float, starting at bit pattern `first`.
inline Worst worst_distance(ActivationKind kind, std::uint32_t stride, std::uint32_t first = 0) {
  const Truth truth = truths().at(to_string(kind));
  return core::visit_elementwise(kind, [&](auto op) {
    Worst worst;
    for (const std::array<float, 3>& p : measured_parameters(kind)) {
      const std::array<double, 3> exact = {p[0], p[1], p[2]};
      for (std::uint64_t bits = first; bits <= 0xFFFF'FFFFU; bits += stride) {
        const float x = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
        if (!std::isfinite(x)) continue;
        const std::int64_t distance = ulps(op.template apply<float>(x, p[0], p[1], p[2]), truth(x, exact));
        if (distance > worst.ulps) worst = {distance, x};
      }
    }
    return worst;
  });
}

/// All element-wise kinds, in the order of the table.
inline std::vector<ActivationKind> elementwise_kinds() {
  return {
#define LAMELLA_ELEMENTWISE(Name, ...) ActivationKind::Name,
#include <lamella/activation.def>
  };
}

}  // namespace lamella::test
