// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace lamella::kernels {

/// The memory layout of a Dense layer's kernel, (inputs, units), for mma_gemm(): the order in which the lanes of a warp load it
/// for tensor cores. It consists of chunks of 32 inputs, a chunk of groups of 64 units, a group of eight products of 16 units and
/// 16 inputs, a product of the eight weights of each lane; inputs and units are padded with zeros. They are assigned so that lane
/// 4g + t has inputs 8t to 8t + 7 of a chunk, and in the results units 4g to 4g + 3 of each half of a group.
struct MmaLayout {
  std::int64_t inputs = 0;
  std::int64_t units = 0;

  static constexpr std::int64_t kInputs = 32;  ///< of a chunk
  static constexpr std::int64_t kUnits = 64;   ///< of a group
  static constexpr std::int64_t kMostUnits = 0xFFFF * kUnits;

  [[nodiscard]] constexpr std::int64_t chunks() const { return (inputs + kInputs - 1) / kInputs; }
  [[nodiscard]] constexpr std::int64_t padded_units() const { return (units + kUnits - 1) / kUnits * kUnits; }
  [[nodiscard]] constexpr std::int64_t elements() const { return chunks() * kInputs * padded_units(); }
  /// The place of kernel[input, unit].
  [[nodiscard]] constexpr std::int64_t at(std::int64_t input, std::int64_t unit) const {
    const std::int64_t i = input % kInputs;
    const std::int64_t u = unit % kUnits;
    const std::int64_t product = i % 8 / 4 * 4 + u / 32 * 2 + u % 4 / 2;
    const std::int64_t lane = u % 32 / 4 * 4 + i / 8;
    const std::int64_t weight = i % 4 / 2 * 4 + u % 2 * 2 + i % 2;
    return (input / kInputs * padded_units() + unit - u) * kInputs + (product * 32 + lane) * 8 + weight;
  }
};

}  // namespace lamella::kernels
