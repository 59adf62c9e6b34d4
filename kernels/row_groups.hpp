// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/device.hpp"
#include "kernels/groups.hpp"

/// Groups of threads that share a row, for kernels that keep rows in registers. Reductions are butterflies, whose shape depends
/// only on the number of threads; all threads get the same bits.
namespace lamella::kernels {

template <typename Op, unsigned kLanes, typename T>
LAMELLA_DEVICE T butterfly(T x) {
  LAMELLA_UNROLL
  for (unsigned mask = kLanes / 2; mask > 0; mask /= 2) x = Op::of(x, shuffle_xor(x, mask));
  return x;
}

/// kLanes neighbours of a warp; a block has many such groups. The whole warp reduces at once.
template <unsigned kLanes>
class LaneGroup {
 public:
  static constexpr unsigned kThreads = 256;  ///< of a block
  static constexpr unsigned kGroups = kThreads / kLanes;
  static constexpr std::size_t kShared = 0;

  LAMELLA_DEVICE static unsigned rank() { return thread_index() % kLanes; }
  LAMELLA_DEVICE static unsigned size() { return kLanes; }
  LAMELLA_DEVICE static unsigned index() { return thread_index() / kLanes; }
  template <typename Op, typename T>
  LAMELLA_DEVICE T reduce(T x) {
    return butterfly<Op, kLanes>(x);
  }
  /// Whether the condition holds in any of the groups that reduce together.
  LAMELLA_DEVICE static bool any(bool of_group) { return warp_any(of_group); }
};

/// A block of any number of warps up to 16.
class WarpsGroup {
 public:
  static constexpr unsigned kThreads = 512;  ///< at most
  static constexpr unsigned kGroups = 1;
  static constexpr unsigned kWarps = kThreads / kWarp;
  static constexpr std::size_t kShared = 2 * kWarps * sizeof(double);

  LAMELLA_DEVICE static unsigned rank() { return thread_index(); }
  LAMELLA_DEVICE static unsigned size() { return block_threads(); }
  LAMELLA_DEVICE static unsigned index() { return 0; }

  /// One barrier is enough: reductions alternate between two places, and a thread that begins one has left the last but one.
  template <typename Op, typename T>
  LAMELLA_DEVICE T reduce(T x) {
    static_assert(sizeof(T) <= sizeof(double));
    T* const partial = reinterpret_cast<T*>(shared_memory<double[2][kWarps]>()[turn_]);
    turn_ ^= 1;
    x = butterfly<Op, kWarp>(x);
    const unsigned lane = thread_index() % kWarp;
    if (lane == 0) partial[thread_index() / kWarp] = x;
    barrier();
    const unsigned other = lane % kWarps;
    x = other < block_threads() / kWarp ? partial[other] : Op::template neutral<T>();
    return butterfly<Op, kWarps>(x);
  }
  LAMELLA_DEVICE static bool any(bool of_group) { return of_group; }

 private:
  unsigned turn_ = 0;
};

}  // namespace lamella::kernels
