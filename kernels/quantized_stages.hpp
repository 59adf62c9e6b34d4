// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/copy_async.hpp"
#include "kernels/device.hpp"

namespace lamella::kernels {

/// The packs that a thread copies: every kThreads-th of a stage of kInputWarps chunks of kPacks packs.
template <typename Tiles, int kPacks>
class Bringing {
 public:
  /// `place(n)`: the address of pack n of the first chunk, null if it is to be zeros; `step`: bytes from a chunk to the next.
  template <typename Place>
  LAMELLA_DEVICE Bringing(int chunks, std::int64_t step, const Place& place) : step_(Tiles::kInputWarps * step) {
    LAMELLA_UNROLL
    for (int n = 0; n < kEach; ++n) {
      const int pack = static_cast<int>(thread_index()) + n * Tiles::kThreads;
      const std::uint8_t* const from = place(pack % kPacks);
      from_[n] = from + pack / kPacks * step;
      left_[n] = from == nullptr ? 0 : chunks - pack / kPacks;
    }
  }

  /// Starts copying the next stage.
  LAMELLA_DEVICE void operator()(uint4 (&to)[Tiles::kInputWarps * kPacks]) {
    LAMELLA_UNROLL
    for (int n = 0; n < kEach; ++n) {
      copy_async(&to[thread_index() + n * Tiles::kThreads], from_[n], left_[n] > 0 ? 16 : 0);
      from_[n] += step_;
      left_[n] -= Tiles::kInputWarps;
    }
  }

 private:
  static constexpr int kEach = Tiles::kInputWarps * kPacks / Tiles::kThreads;
  static_assert(kEach * Tiles::kThreads == Tiles::kInputWarps * kPacks);

  std::int64_t step_;
  const std::uint8_t* from_[kEach];  ///< of the next stage
  int left_[kEach];                  ///< chunks from there on
};

}  // namespace lamella::kernels
