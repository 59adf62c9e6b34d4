// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/launch.hpp"

/// Asynchronous copies to shared memory, which need compute capability 8.0. Older devices copy synchronously.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define LAMELLA_HAS_COPY_ASYNC 1
#else
#define LAMELLA_HAS_COPY_ASYNC 0
#endif

namespace lamella::kernels {

/// Starts a copy to 16 bytes of shared memory. `bytes` is 16, or 0 to write zeros without reading. Both addresses are multiples
/// of 16.
LAMELLA_DEVICE void copy_async(uint4* shared, const void* global, int bytes) {
#if LAMELLA_HAS_COPY_ASYNC
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(__cvta_generic_to_global(global)), "r"(bytes)
               : "memory");
#else
  *shared = bytes != 0 ? *static_cast<const uint4*>(global) : uint4{};
#endif
}

/// The same for one number, aligned to its size; writes 0 unless it is `present`.
LAMELLA_DEVICE void copy_async(float* shared, const float* global, bool present) {
#if LAMELLA_HAS_COPY_ASYNC
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(__cvta_generic_to_global(global)),
               "r"(present ? 4 : 0)
               : "memory");
#else
  *shared = present ? *global : 0.0F;
#endif
}

/// Groups the copies that this thread has started since the last call; the group may be empty.
LAMELLA_DEVICE void commit_copies() {
#if LAMELLA_HAS_COPY_ASYNC
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/// Waits until all groups of this thread except the last kPending have arrived, as seen by this thread.
template <int kPending>
LAMELLA_DEVICE void wait_for_copies() {
#if LAMELLA_HAS_COPY_ASYNC
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#endif
}

}  // namespace lamella::kernels
