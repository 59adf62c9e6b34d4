// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/device.hpp"
#include "kernels/storage.hpp"

/// The kernel of every element-wise function of a matrix.
namespace lamella::kernels {

/// Rows of `units` elements; the last row may be shorter. Strides are from row to row.
struct Matrix {
  std::int64_t rows = 0;
  std::int64_t units = 0;
  std::int64_t last_units = 0;
  std::int64_t src_stride = 0;
  std::int64_t dst_stride = 0;
};

inline constexpr int kPointwiseThreads = 256;

/// Packs that a thread has in flight at a time.
template <typename Src, int kWidth>
inline constexpr int kInFlight = kWidth > 1 ? 2 : static_cast<int>(16 / (sizeof(Src) > 2 ? sizeof(Src) : 2));

/// As int: counts beyond `most` make no difference.
LAMELLA_DEVICE int clipped(std::int64_t count, int most) { return static_cast<int>(count < most ? count : most); }

/// The members of a function F of elements:
///   Compute                                     the type of its argument and result
///   columns<kWidth>(column, left) -> Columns    its data for kWidth neighbouring columns; called once for a column of packs
///   row(r) -> Row                               its data for a row
///   operator()(x, columns, k, row)              the value at column + k
///   stays()                                     whether it is faster if a thread keeps to its columns; on the host
///
/// A block is a rectangle of 2^columns_log2 packs by the rest of its threads; each thread has several packs below each other in
/// flight.
template <typename F, typename Src, typename Dst, int kWidth>
LAMELLA_KERNEL(kPointwiseThreads)
pointwise_kernel(F f, const Src* src, Dst* dst, Matrix m, int columns_log2) {
  using C = typename F::Compute;
  constexpr int kPacks = kInFlight<Src, kWidth>;
  const std::int64_t across = std::int64_t{1} << columns_log2;
  const int down = kPointwiseThreads >> columns_log2;
  const std::int64_t first_column = (block_y() * across + (thread_index() & (across - 1))) * kWidth;
  const std::int64_t first_row = block_x() * (down * kPacks) + (thread_index() >> columns_log2);

  for (std::int64_t column = first_column; column < m.units; column += grid_y() * across * kWidth) {
    const auto columns = f.template columns<kWidth>(column, m.units - column);
    // In 32 bits, and addresses by steps: for single elements, comparisons and products of 64 bits would cost more than most
    // formulas.
    const int inner = clipped(m.units - column, kWidth);
    const int last = clipped(m.last_units - column, kWidth);
    const std::int64_t all_rows = m.rows - (last > 0 ? 0 : 1);  // of these columns
    for (std::int64_t row = first_row; row < all_rows; row += grid_x() * (down * kPacks)) {
      const int rows = clipped(all_rows - row, kPointwiseThreads * kPacks + 1);
      const int at_end = last > 0 ? last : inner;
      const Src* from = src + row * m.src_stride + column;
      Dst* to = dst + row * m.dst_stride + column;
      Pack<Src, kWidth> x[kPacks];
      int left[kPacks];
      LAMELLA_UNROLL
      for (int j = 0; j < kPacks; ++j, from += down * m.src_stride) {
        const int below = j * down;
        left[j] = below >= rows ? 0 : kWidth == 1 ? 1 : below + 1 == rows ? at_end : inner;
        if (kWidth > 1 || left[j] > 0) load(x[j], from, left[j]);
      }
      LAMELLA_UNROLL
      for (int j = 0; j < kPacks; ++j, to += down * m.dst_stride) {
        if (left[j] <= 0) break;
        const auto of_row = f.row(row + j * down);
        Pack<Dst, kWidth> y;
        LAMELLA_UNROLL
        for (int k = 0; k < kWidth; ++k) y.at[k] = narrow<Dst>(f(widen<C>(x[j].at[k]), columns, k, of_row));
        store(to, y, left[j]);
      }
    }
  }
}

struct Nothing {};

template <int kWidth, typename F, typename Src, typename Dst>
cudaError_t launch_pointwise(const F& f, const Src* src, Dst* dst, const Matrix& m, cudaStream_t stream) {
  constexpr int kMaxLog2 = 8;
  constexpr std::int64_t kBlocks = 4096;  // several times as many as any device runs at once, so that the tail is short
  int columns_log2 = 0;
  while (columns_log2 < kMaxLog2 && (std::int64_t{1} << columns_log2) * kWidth < m.units) ++columns_log2;
  const std::int64_t across = std::int64_t{1} << columns_log2;
  const unsigned y = blocks(tiles(m.units, across * kWidth), kMaxGridY);
  const std::int64_t down = tiles(m.rows, kPointwiseThreads / across * kInFlight<Src, kWidth>);
  const unsigned x = blocks(down, f.stays() ? tiles(kBlocks, y) : kMaxGridX);
  return launch({.grid = dim3(x, y), .threads = kPointwiseThreads, .stream = stream}, pointwise_kernel<F, Src, Dst, kWidth>, f,
                src, dst, m, columns_log2);
}

/// Elements of a pack: 16 bytes of the larger type.
template <typename Src, typename Dst>
inline constexpr int kPackWidth = static_cast<int>(16 / (sizeof(Src) > sizeof(Dst) ? sizeof(Src) : sizeof(Dst)));

/// dst = f(src) over a matrix; `wide`: all that f reads may be read in packs.
template <typename F, typename Src, typename Dst>
cudaError_t pointwise(const F& f, const Src* src, Dst* dst, const Matrix& m, bool wide, cudaStream_t stream) {
  if (m.rows <= 0 || m.units <= 0) return cudaSuccess;
  constexpr int kWidth = kPackWidth<Src, Dst>;
  const bool rows_aligned = m.rows == 1 || (m.src_stride % kWidth == 0 && m.dst_stride % kWidth == 0);
  if (wide && rows_aligned && aligned(src) && aligned(dst)) return launch_pointwise<kWidth>(f, src, dst, m, stream);
  return launch_pointwise<1>(f, src, dst, m, stream);
}

/// An array as a matrix whose rows are as long as a block is wide.
template <typename Src, typename Dst>
Matrix matrix_of(std::int64_t elements) {
  constexpr std::int64_t kRow = std::int64_t{kPointwiseThreads} * kPackWidth<Src, Dst>;
  const std::int64_t rows = tiles(elements, kRow);
  const std::int64_t last = elements - (rows - 1) * kRow;
  return {rows, rows == 1 ? last : kRow, last, kRow, kRow};
}

/// The columns and rows of a function that depends only on the element.
struct ElementFunction {
  [[nodiscard]] bool stays() const { return false; }
  template <int kWidth>
  LAMELLA_DEVICE Nothing columns(std::int64_t, std::int64_t) const {
    return {};
  }
  LAMELLA_DEVICE Nothing row(std::int64_t) const { return {}; }
};

}  // namespace lamella::kernels
