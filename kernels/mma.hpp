// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <type_traits>

#include <cuda_fp16.h>

#include "kernels/copy_async.hpp"

/// Tensor cores of 16 bits, which need compute capability 8.0. For older devices LAMELLA_HAS_MMA is 0, and code that uses them is
/// compiled to a trap.
#define LAMELLA_HAS_MMA LAMELLA_HAS_COPY_ASYNC

namespace lamella::kernels {

/// c += a b in float by a whole warp, for 16 rows, 8 columns and an inner extent of 16. A word holds two elements that are
/// neighbours along the inner axis. Lane 4g + t has the words of a at rows g (x) and g + 8 (y) from 2t on, and at the same rows
/// (z and w) from 2t + 8 on; the words of b at column g from 2t and from 2t + 8 on; and the elements of c at columns 2t and 2t +
/// 1 of row g, then of row g + 8.
template <typename T>
LAMELLA_DEVICE void multiply_add(float (&c)[4], uint4 a, uint2 b) {
#if LAMELLA_HAS_MMA
  if constexpr (std::is_same_v<T, __half>) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b.x), "r"(b.y));
  } else {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b.x), "r"(b.y));
  }
#endif
}

/// c += a b modulo 2^32 by a whole warp, for 16 rows, 8 columns and an inner extent of 32, of any device. A word holds four
/// integers of 8 bits that are neighbours along the inner axis. Lane 4g + t has the words of a at rows g (x) and g + 8 (y) from
/// 4t on, and at the same rows (z and w) from 4t + 16 on; the words of b at column g from 4t and from 4t + 16 on; and c as above.
LAMELLA_DEVICE void multiply_add(std::int32_t (&c)[4], uint4 a, uint2 b) {
#if LAMELLA_HAS_MMA
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b.x), "r"(b.y));
#else  // in quarters
  const auto quarter = [](std::int32_t& left, std::int32_t& right, unsigned of_a, unsigned of_b) {
    asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
        : "+r"(left), "+r"(right)
        : "r"(of_a), "r"(of_b));
  };
  quarter(c[0], c[1], a.x, b.x);
  quarter(c[2], c[3], a.y, b.x);
  quarter(c[0], c[1], a.z, b.y);
  quarter(c[2], c[3], a.w, b.y);
#endif
}

}  // namespace lamella::kernels
