// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/device.hpp"
#include "kernels/kernels.hpp"

/// Walks over arrays of several axes.
namespace lamella::kernels {

struct Extents {
  int axes = 0;
  std::int64_t at[kMaxAxes] = {};

  [[nodiscard]] LAMELLA_HD std::int64_t elements() const {
    std::int64_t n = 1;
    for (int axis = 0; axis < axes; ++axis) n *= at[axis];
    return n;
  }
  [[nodiscard]] LAMELLA_HD std::int64_t last() const { return axes == 0 ? 1 : at[axes - 1]; }
};

/// The start of the `row`-th run along the last axis, from the strides of all axes.
LAMELLA_DEVICE std::int64_t row_offset(const Extents& extents, const std::int64_t (&strides)[kMaxAxes], std::int64_t row) {
  std::int64_t offset = 0;
  for (int axis = extents.axes - 2; axis > 0; --axis) {
    const auto extent = static_cast<std::uint64_t>(extents.at[axis]);
    offset += static_cast<std::int64_t>(static_cast<std::uint64_t>(row) % extent) * strides[axis];
    row = static_cast<std::int64_t>(static_cast<std::uint64_t>(row) / extent);
  }
  return extents.axes > 1 ? offset + row * strides[0] : 0;
}

/// The shape of threads over rows: 2^columns_log2 of them along a row, the rest below each other.
inline constexpr int kStridedThreads = 256;
inline constexpr int kStridedLog2 = 8;
inline int columns_log2_of(std::int64_t packs) {
  int result = 0;
  while (result < kStridedLog2 && (std::int64_t{1} << result) < packs) ++result;
  return result;
}
inline dim3 strided_grid(std::int64_t packs, std::int64_t rows, int columns_log2) {
  return dim3(blocks(tiles(packs, std::int64_t{1} << columns_log2)),
              blocks(tiles(rows, kStridedThreads >> columns_log2), kMaxGridY));
}

/// f(pack, row) for every pack of every row.
template <typename F>
LAMELLA_DEVICE void each_pack(std::int64_t packs, std::int64_t rows, int columns_log2, const F& f) {
  const std::int64_t across = std::int64_t{1} << columns_log2;
  const std::int64_t down = kStridedThreads >> columns_log2;
  for (std::int64_t row = block_y() * down + (thread_index() >> columns_log2); row < rows; row += grid_y() * down) {
    for (std::int64_t pack = block_x() * across + (thread_index() & (across - 1)); pack < packs; pack += grid_x() * across)
      f(pack, row);
  }
}

}  // namespace lamella::kernels
