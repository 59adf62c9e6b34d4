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

/// Writes a warp's sums of one of its row tiles to shared memory, to[row][unit]; `down` and `across` say which warp it is. For
/// tensor cores, rows are columns and units are rows.
template <typename Tiles, typename Sum, int kColumns>
LAMELLA_DEVICE void share_row_tile(Sum (*to)[kColumns], const Sum (&sums)[Tiles::kUnitTiles][Tiles::kRowTiles][4], int row_tile,
                                   int down, int across) {
  const auto lane = static_cast<int>(thread_index() % kWarp);
  LAMELLA_UNROLL
  for (int n = 0; n < Tiles::kRowTiles; ++n) {
    if (n != row_tile) continue;  // else the sums would not be in registers
    LAMELLA_UNROLL
    for (int u = 0; u < Tiles::kUnitTiles; ++u) {
      LAMELLA_UNROLL
      for (int k = 0; k < 4; ++k)
        to[down * 8 + lane % 4 * 2 + k % 2][(across * Tiles::kUnitTiles + u) * 16 + k / 2 * 8 + lane / 4] = sums[u][n][k];
    }
  }
}

}  // namespace lamella::kernels
