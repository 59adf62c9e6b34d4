// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/check.hpp"
#include "ops/desc.hpp"

namespace lamella::ops {

/// The indices of the constants of a QuantizedDenseDesc.
struct QuantizedConstants {
  explicit QuantizedConstants(const QuantizedDenseDesc& d)
      : input_scale(d.groups > 0 ? 4 : 2), bias(input_scale + (d.has_input_scale ? 1 : 0)) {}
  static constexpr std::size_t weights = 0;
  static constexpr std::size_t scale = 1;
  static constexpr std::size_t zero = 2;
  static constexpr std::size_t group = 3;
  std::size_t input_scale;
  std::size_t bias;
};

/// Bytes of one input's weights.
[[nodiscard]] constexpr std::int64_t weight_row(const QuantizedDenseDesc& d) {
  return d.format == WeightFormat::int8 ? d.units : (d.units + 1) / 2;
}

/// Describes the formats of q and x.
[[nodiscard]] inline std::string describe(const QuantizedDenseDesc& d) {
  return core::format("{} weights{}{}", d.format == WeightFormat::int8 ? "int8" : "int4",
                      d.groups > 0 ? core::format(" in {}{}", d.groups, d.groups == 1 ? " group" : " groups") : std::string(),
                      d.quantizes ? ", int8 products" : "");
}

}  // namespace lamella::ops
