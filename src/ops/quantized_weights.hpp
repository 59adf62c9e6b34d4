// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/quantize.hpp"
#include "ops/quantized_dense.hpp"

namespace lamella::ops {

/// The integer at (input, unit) of a layer's packed weights.
[[nodiscard]] inline int weight_at(const std::uint8_t* weights, const QuantizedDenseDesc& d, std::int64_t input,
                                   std::int64_t unit) {
  const std::uint8_t* const row = weights + input * weight_row(d);
  if (d.format == WeightFormat::int8) return static_cast<std::int8_t>(row[unit]);
  return unit % 2 == 0 ? core::low_nibble(row[unit / 2]) : core::high_nibble(row[unit / 2]);
}

}  // namespace lamella::ops
