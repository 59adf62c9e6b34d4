// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

#include <cuda_fp16.h>

#include "kernels/launch.hpp"

/// Tensor cores, and copies to shared memory that do not wait: both of compute capability 8.0. What uses them is compiled to
/// nothing but a trap for what is older: LAMELLA_HAS_MMA says so.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define LAMELLA_HAS_MMA 1
#else
#define LAMELLA_HAS_MMA 0
#endif

namespace lamella::kernels {

/// c += a b for 16 rows, 8 columns and 16 inner places, by a whole warp, in float. A word is two neighbours of these. Lane 4g + t
/// has of a the rows g (x) and g + 8 (y) at 2t, and the same rows (z and w) at 2t + 8; of b the column g at 2t and at 2t + 8; of
/// c the columns 2t and 2t + 1 of row g, then of row g + 8.
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

/// Begins to copy `bytes`, at most 16, to 16 of shared memory, zeros behind them. Both addresses are multiples of 16; with 0
/// bytes nothing is read.
LAMELLA_DEVICE void copy_async(uint4* shared, const void* global, int bytes) {
#if LAMELLA_HAS_MMA
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(__cvta_generic_to_global(global)), "r"(bytes)
               : "memory");
#endif
}

/// What this thread has begun to copy since the last call is a group from now on, also when it is nothing.
LAMELLA_DEVICE void commit_copies() {
#if LAMELLA_HAS_MMA
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/// Until all groups of this thread but the last kPending are there, for this thread.
template <int kPending>
LAMELLA_DEVICE void wait_for_copies() {
#if LAMELLA_HAS_MMA
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#endif
}

}  // namespace lamella::kernels
