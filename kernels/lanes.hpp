// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/device.hpp"

/// Sums of the lanes of a warp.
namespace lamella::kernels {

/// Writes the sums over all lanes that differ in the bits from `mask` down to `last`. Each time two lanes share the work: one
/// keeps the first half of the sums, the other the second. At most 32 sums; `last` is at least 2.
template <int kCount>
LAMELLA_DEVICE void add_lanes(const float (&sums)[kCount], float* to, unsigned mask, unsigned last) {
  const unsigned lane = thread_index() % kWarp;
  if constexpr (kCount > 1) {
    if (mask < last) {
      LAMELLA_UNROLL
      for (int k = 0; k < kCount; ++k) to[k] = sums[k];
      return;
    }
    constexpr int kHalf = kCount / 2;
    const bool second = (lane & mask) != 0;
    float kept[kHalf];
    LAMELLA_UNROLL
    for (int k = 0; k < kHalf; ++k) {
      const float given = second ? sums[k] : sums[k + kHalf];
      kept[k] = (second ? sums[k + kHalf] : sums[k]) + shuffle_xor(given, mask);
    }
    add_lanes<kHalf>(kept, second ? to + kHalf : to, mask / 2, last);
  } else {
    const bool first = (lane & (2 * mask - 1) & ~(last - 1)) == 0;
    float sum = sums[0];
    for (; mask >= last; mask /= 2) sum = sum + shuffle_xor(sum, mask);
    if (first) *to = sum;
  }
}

}  // namespace lamella::kernels
