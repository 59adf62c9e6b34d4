// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>

/// 16-bit floating types by their definitions, independent of the library's own conversions.
namespace fake_cuda::inside {

inline double from_bfloat16(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }
double from_float16(std::uint16_t bits);
std::uint16_t to_bfloat16(double value);  ///< to nearest, ties to even, like those below
std::uint16_t to_float16(double value);
float to_tf32(float value);  ///< keeps 10 bits of the fraction

}  // namespace fake_cuda::inside
