// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/device.hpp"

/// Clusters: blocks that run at the same time and write into each other's shared memory. From compute capability 9.0 on.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#define LAMELLA_HAS_CLUSTERS 1
#else
#define LAMELLA_HAS_CLUSTERS 0
#endif

namespace lamella::kernels {

#if LAMELLA_HAS_CLUSTERS
LAMELLA_DEVICE unsigned cluster_rank() {
  unsigned rank = 0;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
/// The two halves of a barrier of all threads of the cluster: what is written before the first is visible after the second.
LAMELLA_DEVICE void cluster_arrive() { asm volatile("barrier.cluster.arrive.release;" ::: "memory"); }
LAMELLA_DEVICE void cluster_wait() { asm volatile("barrier.cluster.wait.acquire;" ::: "memory"); }
/// Writes to the shared memory of another block, at the place that `own` has in this one's.
LAMELLA_DEVICE void store_in_block(unsigned rank, float* own, float value) {
  const auto here = static_cast<unsigned>(__cvta_generic_to_shared(own));
  unsigned there = 0;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(here), "r"(rank));
  asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(there), "f"(value) : "memory");
}
#else
LAMELLA_DEVICE unsigned cluster_rank() { return 0; }
LAMELLA_DEVICE void cluster_arrive() {}
LAMELLA_DEVICE void cluster_wait() {}
LAMELLA_DEVICE void store_in_block(unsigned, float*, float) {}
#endif

}  // namespace lamella::kernels
