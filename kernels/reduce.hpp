// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cub/block/block_reduce.cuh>
#include <cub/warp/warp_reduce.cuh>

#include "kernels/device.hpp"

/// Reduces one number per thread over a warp or a block, by CUB. All threads must take part, and all get the result. Sums are
/// trees of fixed shape, so they have the same bits in every run; a warp's tree and a block's differ.
namespace lamella::kernels {

/// Adapts an operation to CUB's interface.
template <typename Op>
struct CubOp {
  template <typename T>
  LAMELLA_DEVICE T operator()(T a, T b) const {
    return Op::of(a, b);
  }
};

template <typename Op, typename T>
LAMELLA_DEVICE T warp_reduce(T x) {
  using Reduce = cub::WarpReduce<T>;
  typename Reduce::TempStorage nothing;  // CUB needs no memory for a whole warp, which exchanges registers
  return __shfl_sync(0xFFFF'FFFFU, Reduce(nothing).Reduce(x, CubOp<Op>{}), 0);
}

/// The shared memory of block_reduce().
template <unsigned kThreads>
struct BlockReduceMemory {
  template <typename T>
  using Reduce = cub::BlockReduce<T, kThreads, cub::BLOCK_REDUCE_WARP_REDUCTIONS>;
  alignas(16) unsigned char partial[sizeof(typename Reduce<double>::TempStorage)];
  double all;
};

template <unsigned kThreads, typename Op, typename T>
LAMELLA_DEVICE T block_reduce(T x, BlockReduceMemory<kThreads>& memory) {
  using Reduce = typename BlockReduceMemory<kThreads>::template Reduce<T>;
  using Storage = typename Reduce::TempStorage;
  static_assert(sizeof(T) <= sizeof(double) && sizeof(Storage) <= sizeof(memory.partial) && alignof(Storage) <= 16);
  T* const all = reinterpret_cast<T*>(&memory.all);
  const T result = Reduce(*reinterpret_cast<Storage*>(memory.partial)).Reduce(x, CubOp<Op>{});
  if (thread_index() == 0) *all = result;
  barrier();
  x = *all;
  barrier();  // before the next reduction writes
  return x;
}

}  // namespace lamella::kernels
