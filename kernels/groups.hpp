// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/reduce.hpp"
#include "kernels/storage.hpp"

/// Groups of threads that work on one row, and their reductions.
namespace lamella::kernels {

template <typename T>
inline constexpr T kLowest = std::is_floating_point_v<T> ? -kInfinity<T> : std::numeric_limits<T>::lowest();

struct Sum {
  template <typename T>
  LAMELLA_DEVICE static T of(T a, T b) {
    return a + b;
  }
  template <typename T>
  LAMELLA_DEVICE static T neutral() {
    return T{};
  }
};
/// For a and NaN the result is a.
struct Largest {
  template <typename T>
  LAMELLA_DEVICE static T of(T a, T b) {
    return b > a ? b : a;
  }
  LAMELLA_DEVICE static float of(float a, float b) { return ::fmaxf(a, b); }  // one instruction
  template <typename T>
  LAMELLA_DEVICE static T neutral() {
    return kLowest<T>;
  }
};

/// One row per warp.
struct WarpGroup {
  static constexpr unsigned kThreads = 128;  ///< of a block
  static constexpr int kSize = kWarp;
  static constexpr int kGroups = kThreads / kWarp;  ///< in a block
  struct Shared {};

  LAMELLA_DEVICE static int rank() { return static_cast<int>(thread_index() % kWarp); }
  LAMELLA_DEVICE static int index() { return static_cast<int>(thread_index() / kWarp); }
  template <typename Op, typename T>
  LAMELLA_DEVICE static T reduce(T x) {
    return warp_reduce<Op>(x);
  }
};

/// One row per block.
template <unsigned kBlockThreads>
struct BlockGroup {
  static constexpr unsigned kThreads = kBlockThreads;
  static constexpr int kSize = kBlockThreads;
  static constexpr int kGroups = 1;
  using Shared = BlockReduceMemory<kBlockThreads>;

  LAMELLA_DEVICE static int rank() { return static_cast<int>(thread_index()); }
  LAMELLA_DEVICE static int index() { return 0; }
  template <typename Op, typename T>
  LAMELLA_DEVICE static T reduce(T x) {
    return block_reduce<kBlockThreads, Op>(x, shared_memory<Shared>());
  }
};

}  // namespace lamella::kernels
