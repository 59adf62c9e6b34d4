// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace lamella::kernels {

/// Neighbouring inputs of a lane: a run, which mostly is of one group.
inline constexpr std::int64_t kRunInputs = 16;

/// The memory layout of a quantized Dense layer's integers, (inputs, units): the order in which the lanes of a warp load them for
/// tensor cores. It consists of chunks of 64 inputs, a chunk of tiles of 16 units, a tile of packs of 16 bytes for each lane: two
/// of int8, each for two words of inputs; one of int4, whose words hold one word of inputs in the lower four bits of each byte
/// and the next one in the upper four, plus 8. A word is four neighbouring inputs of a unit. Inputs and units are padded with
/// zeros. Lane 4g + t has inputs 16t to 16t + 15 of units g and g + 8.
struct QuantizedLayout {
  std::int64_t inputs = 0;
  std::int64_t units = 0;
  bool int4 = false;

  static constexpr std::int64_t kInputs = 64;   ///< of a chunk
  static constexpr std::int64_t kUnits = 16;    ///< of a tile
  static constexpr std::uint8_t kZeros = 0x88;  ///< two zeros of int4

  [[nodiscard]] constexpr std::int64_t chunks() const { return (inputs + kInputs - 1) / kInputs; }
  [[nodiscard]] constexpr std::int64_t tiles() const { return (units + kUnits - 1) / kUnits; }
  [[nodiscard]] constexpr std::int64_t tile_bytes() const { return int4 ? 512 : 1024; }
  [[nodiscard]] constexpr std::int64_t bytes() const { return chunks() * tiles() * tile_bytes(); }
  /// The byte of the integer at (input, unit).
  [[nodiscard]] constexpr std::int64_t at(std::int64_t input, std::int64_t unit) const {
    const std::int64_t tile = input / kInputs * tiles() + unit / kUnits;
    const std::int64_t lane = unit % 8 * 4 + input % kInputs / 16;
    const std::int64_t half = unit % kUnits / 8;
    const std::int64_t product = input % 16 / 8;
    const std::int64_t place =
        int4 ? lane * 16 + product * 8 + half * 4 : product * 512 + lane * 16 + input % 8 / 4 * 8 + half * 4;
    return tile * tile_bytes() + place + input % 4;
  }
  /// Whether it is the upper half of that byte, if int4.
  [[nodiscard]] static constexpr bool is_upper(std::int64_t input) { return input % 8 / 4 == 1; }
};

}  // namespace lamella::kernels
