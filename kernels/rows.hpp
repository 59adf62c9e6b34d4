// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/groups.hpp"
#include "kernels/storage.hpp"

/// Algorithms on rows, whoever shares a row and wherever it is kept.
namespace lamella::kernels {

/// Rows of `length` elements, `stride` apart, in src[outer, length, stride].
struct RowShape {
  std::int64_t rows = 0;
  std::int64_t length = 0;
  std::int64_t stride = 1;

  /// Where a row starts.
  LAMELLA_DEVICE std::int64_t start(std::int64_t row) const {
    return stride == 1 ? row * length : row / stride * stride * length + row % stride;
  }
};

/// One thread's share of a row: in registers (kItems of them, read once), or in memory (kItems 0, read again for every walk).
template <typename T, typename C, typename Group, int kItems>
class Row {
 public:
  static constexpr bool kCached = kItems > 0;

  LAMELLA_DEVICE Row(const T* src, const RowShape& shape) : src_(src), length_(shape.length), stride_(shape.stride) {
    if constexpr (kCached) {
      LAMELLA_UNROLL
      for (int k = 0; k < kItems; ++k) {
        const std::int64_t i = Group::rank() + k * Group::kSize;
        x_[k] = i < length_ ? widen<C>(src[i * stride_]) : C(0);
      }
    }
  }

  /// f(x, i) for the elements of this thread, in order. What it makes of x stays only in registers.
  template <typename F>
  LAMELLA_DEVICE void each(const F& f) {
    if constexpr (kCached) {
      LAMELLA_UNROLL
      for (int k = 0; k < kItems; ++k) {
        const std::int64_t i = Group::rank() + k * Group::kSize;
        if (i < length_) f(x_[k], i);
      }
    } else {
      for (std::int64_t i = Group::rank(); i < length_; i += Group::kSize) {
        C x = widen<C>(src_[i * stride_]);
        f(x, i);
      }
    }
  }

 private:
  const T* src_;
  std::int64_t length_;
  std::int64_t stride_;
  C x_[kCached ? kItems : 1];
};

/// f(row, src, dst) for all rows. A row is written by its group alone, after all of it has been read.
template <typename F, typename T, typename Group, int kItems>
LAMELLA_KERNEL(Group::kThreads)
rows_kernel(F f, const T* src, T* dst, RowShape shape) {
  for (std::int64_t row = block_x() * Group::kGroups + Group::index(); row < shape.rows; row += grid_x() * Group::kGroups) {
    const std::int64_t start = shape.start(row);
    Row<T, typename F::Compute, Group, kItems> items(src + start, shape);
    f.template run<Group>(items, src + start, dst + start, shape);
  }
}

template <typename Group, int kItems, typename F, typename T>
cudaError_t launch_rows_as(const F& f, const T* src, T* dst, const RowShape& shape, cudaStream_t stream) {
  const Launch how{.grid = dim3(blocks(tiles(shape.rows, Group::kGroups))),
                   .threads = Group::kThreads,
                   .shared = std::is_empty_v<typename Group::Shared> ? 0 : sizeof(typename Group::Shared),
                   .stream = stream};
  return launch(how, rows_kernel<F, T, Group, kItems>, f, src, dst, shape);
}

/// Short rows by a warp, longer ones by a block; in registers as long as they fit, if that is asked for.
template <bool kInRegisters, typename F, typename T>
cudaError_t launch_rows(const F& f, const T* src, T* dst, const RowShape& shape, cudaStream_t stream) {
  if (shape.rows == 0 || shape.length == 0) return cudaSuccess;
  if constexpr (kInRegisters) {
    if (shape.length <= std::int64_t{4} * kWarp) return launch_rows_as<WarpGroup, 4>(f, src, dst, shape, stream);
    if (shape.length <= std::int64_t{16} * kWarp) return launch_rows_as<WarpGroup, 16>(f, src, dst, shape, stream);
    if (shape.length <= std::int64_t{16} * 512) return launch_rows_as<BlockGroup<512>, 16>(f, src, dst, shape, stream);
    return launch_rows_as<BlockGroup<512>, 0>(f, src, dst, shape, stream);
  } else {
    if (shape.length <= std::int64_t{32} * kWarp) return launch_rows_as<WarpGroup, 0>(f, src, dst, shape, stream);
    return launch_rows_as<BlockGroup<256>, 0>(f, src, dst, shape, stream);
  }
}

}  // namespace lamella::kernels
