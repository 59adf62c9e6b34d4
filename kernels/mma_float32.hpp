// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/mma_tiles.hpp"

/// Products of float32 on tensor cores. A number is the sum of three bfloat16: its rounding, the rounding of what is left, and
/// the rest, which is exact. Of the nine products of two numbers' parts the six largest are added; the others are together at
/// most about 2^-24 of the product.
namespace lamella::kernels {

/// Numbers are multiplied by this first, because parts of the smallest would be less than bfloat16's least normal number.
inline constexpr float kMmaScale = 0x1p24F;
/// Inputs and weights from these on count as not finite. What tensor cores do with a sum beyond float32 is not documented: a
/// chunk's is not, and sums of chunks are added in float32, where infinity stays.
inline constexpr float kMmaInputLimit = 0x1p61F;
inline constexpr float kMmaWeightLimit = 0x1p13F;
static_assert(kMmaInputLimit * kMmaScale * (kMmaWeightLimit * kMmaScale) <= 0x1p126F / 16);

/// The layout of a Dense layer's kernel, (inputs, units), for mma_gemm_float32(): chunks of 16 inputs, a chunk of groups of 32
/// units, a group of two products of 16 units and 16 inputs, a product of its three parts, a part of the eight weights of each
/// lane. Lane 4g + t has inputs 4t to 4t + 3 of a chunk, and in the results units 4g to 4g + 3 of a group.
struct MmaFloat32Layout {
  std::int64_t inputs = 0;
  std::int64_t units = 0;

  static constexpr std::int64_t kInputs = 16;  ///< of a chunk
  static constexpr std::int64_t kUnits = 32;   ///< of a group
  static constexpr std::int64_t kParts = 3;
  static constexpr std::int64_t kPart = 256;                  ///< weights of a product
  static constexpr std::int64_t kGroup = 2 * kParts * kPart;  ///< elements
  static constexpr std::int64_t kMostUnits = 0xFFFF * kUnits;

  [[nodiscard]] LAMELLA_HD constexpr std::int64_t groups() const { return (units + kUnits - 1) / kUnits; }
  [[nodiscard]] constexpr std::int64_t elements() const { return (inputs + kInputs - 1) / kInputs * groups() * kGroup; }
  /// The place of the first part of kernel[input, unit]; the others are kPart and 2 kPart elements further on.
  [[nodiscard]] LAMELLA_HD constexpr std::int64_t at(std::int64_t input, std::int64_t unit) const {
    const std::int64_t i = input % kInputs;
    const std::int64_t u = unit % kUnits;
    const std::int64_t lane = u / 4 * 4 + i / 4;
    const std::int64_t weight = i % 4 / 2 * 4 + u % 2 * 2 + i % 2;
    return (input / kInputs * groups() + unit / kUnits) * kGroup + u % 4 / 2 * kParts * kPart + lane * 8 + weight;
  }
};

/// The bits of a weight's parts. Of a weight that is not below kMmaWeightLimit `high` is NaN, and the others are its own upper
/// and lower half.
struct MmaParts {
  std::uint16_t high;
  std::uint16_t middle;
  std::uint16_t low;
};

inline MmaParts mma_parts(float weight) {
  const auto rounded = [](float x) {  // to nearest even
    const auto bits = std::bit_cast<std::uint32_t>(x);
    return std::bit_cast<float>((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF'0000U);
  };
  const auto upper = [](float x) { return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16); };
  if (!(std::fabs(weight) < kMmaWeightLimit))
    return {0x7FFF, upper(weight), static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(weight))};
  const float scaled = weight * kMmaScale;
  const float high = rounded(scaled);
  const float left = scaled - high;
  const float middle = rounded(left);
  return {upper(high), upper(middle), upper(left - middle)};
}

/// A block's results.
constexpr MmaBlock mma_float32_block(MmaTile tile) { return tile == MmaTile::few_rows ? MmaBlock{64, 64} : MmaBlock{128, 128}; }

/// The least inputs for which the bound of the error is that of float32 multiply-adds, with room to spare (docs/accuracy.md).
inline constexpr std::int64_t kLeastMmaFloat32Inputs = 64;

/// Dense for float32 on tensor cores. A row's bits depend on that row alone. A sum that is not finite, as are those of numbers
/// from the limits on, is computed again by multiply-adds over the inputs in order, so that infinities and NaN are float32's. The
/// kernel is in the order of MmaFloat32Layout, aligned to 16 bytes. Code for architectures below kMmaArchitecture traps.
[[nodiscard]] cudaError_t mma_gemm_float32(const Dense& args, MmaTile tile, cudaStream_t stream);

}  // namespace lamella::kernels
