// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/device.hpp"

/// Threads that work on one row together, and agree on a number. Sums are trees of one shape, so that they have the same bits in
/// every run and in every thread. These are shuffles and not CUB's reductions, so that the very same code runs under a host
/// compiler.
namespace lamella::kernels {

struct Sum {
  template <typename T>
  LAMELLA_DEVICE static T of(T a, T b) {
    return a + b;
  }
};
/// Of a and NaN it is a.
struct Largest {
  template <typename T>
  LAMELLA_DEVICE static T of(T a, T b) {
    return b > a ? b : a;
  }
};

template <typename Op, typename T>
LAMELLA_DEVICE T warp_reduce(T x) {
  LAMELLA_UNROLL
  for (unsigned mask = kWarp / 2; mask > 0; mask /= 2) x = Op::of(x, shuffle_xor(x, mask));
  return x;
}

/// A warp has a row.
struct WarpGroup {
  static constexpr unsigned kThreads = 128;  ///< of a block
  static constexpr int kSize = kWarp;
  static constexpr int kGroups = kThreads / kWarp;  ///< in a block
  struct Shared {};

  LAMELLA_DEVICE static int rank() { return static_cast<int>(thread_index() % kWarp); }
  LAMELLA_DEVICE static int index() { return static_cast<int>(thread_index() / kWarp); }
  LAMELLA_DEVICE static void sync() { warp_barrier(); }
  template <typename Op, typename T>
  LAMELLA_DEVICE static T reduce(T x, T /*neutral*/) {
    return warp_reduce<Op>(x);
  }
};

/// A block has a row.
template <unsigned kBlockThreads>
struct BlockGroup {
  static constexpr unsigned kThreads = kBlockThreads;
  static constexpr int kSize = kBlockThreads;
  static constexpr int kGroups = 1;
  struct Shared {
    double partial[kBlockThreads / kWarp];
  };

  LAMELLA_DEVICE static int rank() { return static_cast<int>(thread_index()); }
  LAMELLA_DEVICE static int index() { return 0; }
  LAMELLA_DEVICE static void sync() { barrier(); }
  template <typename Op, typename T>
  LAMELLA_DEVICE static T reduce(T x, T neutral) {
    static_assert(sizeof(T) <= sizeof(double));
    T* const partial = reinterpret_cast<T*>(shared_memory<Shared>().partial);
    x = warp_reduce<Op>(x);
    if (thread_index() % kWarp == 0) partial[thread_index() / kWarp] = x;
    barrier();
    const unsigned lane = thread_index() % kWarp;
    const T all = warp_reduce<Op>(lane < kBlockThreads / kWarp ? partial[lane] : neutral);
    barrier();  // before the next reduction writes
    return all;
  }
};

}  // namespace lamella::kernels
