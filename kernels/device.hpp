// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/launch.hpp"

/// Device functions for kernels: indices, barriers, exchanges within a warp, shared memory. Blocks have one dimension.
namespace lamella::kernels {

inline constexpr unsigned kWarp = 32;

LAMELLA_DEVICE unsigned thread_index() { return threadIdx.x; }
LAMELLA_DEVICE unsigned block_threads() { return blockDim.x; }
LAMELLA_DEVICE std::int64_t block_x() { return blockIdx.x; }
LAMELLA_DEVICE std::int64_t block_y() { return blockIdx.y; }
LAMELLA_DEVICE std::int64_t grid_x() { return gridDim.x; }
LAMELLA_DEVICE std::int64_t grid_y() { return gridDim.y; }

LAMELLA_DEVICE void barrier() { __syncthreads(); }

/// Lets the next kernel on the stream begin, if it was launched to overlap, once all blocks have come here.
LAMELLA_DEVICE void let_next_begin() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/// Waits until the kernels before this one on the stream have ended and what they wrote is visible. Where a launch may overlap,
/// every thread comes here before it writes to global memory, reads what a kernel may write, or ends: a kernel that then waits
/// for this one has waited for all before it.
LAMELLA_DEVICE void wait_for_previous() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// x of the lane whose index differs in the bits of `mask`; the whole warp must take part.
template <typename T>
LAMELLA_DEVICE T shuffle_xor(T x, unsigned mask) {
  return __shfl_xor_sync(0xFFFF'FFFFU, x, static_cast<int>(mask));
}
LAMELLA_DEVICE bool warp_any(bool vote) { return __any_sync(0xFFFF'FFFFU, vote) != 0; }

/// The block's shared memory as a T, uninitialised. The launch must provide at least sizeof(T) bytes.
template <typename T>
LAMELLA_DEVICE T& shared_memory() {
  extern __shared__ __align__(16) unsigned char lamella_shared_memory[];
  return *reinterpret_cast<T*>(lamella_shared_memory);
}

}  // namespace lamella::kernels
