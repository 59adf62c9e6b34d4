// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <lamella/dtype.hpp>

#include "core/math.hpp"

namespace lamella::cpu {

/// Rounds a value in the compute type, float (double for double), to T, and returns it in the compute type.
template <typename T>
struct RoundTo {
  LAMELLA_HD T operator()(T x) const { return x; }
};
template <>
struct RoundTo<bfloat16> {
  LAMELLA_HD float operator()(float x) const {
    const auto bits = __builtin_bit_cast(std::uint32_t, x);
    const std::uint32_t rounded = (bits + 0x7FFFU + ((bits >> 16U) & 1U)) & 0xFFFF'0000U;
    return __builtin_bit_cast(float, x != x ? bits : rounded);
  }
};
template <>
struct RoundTo<float16> {
  LAMELLA_HD float operator()(float x) const { return static_cast<float>(float16(x)); }
};

}  // namespace lamella::cpu
