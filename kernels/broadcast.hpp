// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/kernels.hpp"
#include "kernels/pointwise.hpp"

/// Functions of an element and N constants that broadcast over a sample:
///   f(x, c)   with c[N] the constants of the element
namespace lamella::kernels {

template <typename C, int N>
struct ConstantPointers {
  const C* at[N];
};

/// At most one axis: each constant has one number per column, or one for all.
template <typename C, int N, typename F>
struct ByColumns {
  using Compute = C;
  ConstantPointers<C, N> constants;
  bool varies[N];
  F f;

  template <int kWidth>
  struct Columns {
    Pack<C, kWidth> of[N];
  };
  [[nodiscard]] bool stays() const { return true; }
  template <int kWidth>
  LAMELLA_DEVICE Columns<kWidth> columns(std::int64_t column, std::int64_t left) const {
    Columns<kWidth> result;
    LAMELLA_UNROLL
    for (int n = 0; n < N; ++n) {
      if (varies[n]) {
        load(result.of[n], constants.at[n] + column, left);
      } else {
        LAMELLA_UNROLL
        for (int k = 0; k < kWidth; ++k) result.of[n].at[k] = *constants.at[n];
      }
    }
    return result;
  }
  LAMELLA_DEVICE Nothing row(std::int64_t) const { return {}; }
  template <typename Columns>
  LAMELLA_DEVICE C operator()(C x, const Columns& columns, int k, Nothing) const {
    C c[N];
    LAMELLA_UNROLL
    for (int n = 0; n < N; ++n) c[n] = columns.of[n].at[k];
    return f(x, c);
  }
};

/// Several axes; rows are runs along the last one.
template <typename C, int N>
struct RowsOfConstants {
  ConstantPointers<C, N> constants;
  int axes = 0;
  std::int64_t sample[kMaxAxes] = {};
  std::int64_t strides[N][kMaxAxes] = {};

  /// Where the constants of row r begin.
  LAMELLA_DEVICE ConstantPointers<C, N> row(std::int64_t r) const {
    ConstantPointers<C, N> result = constants;
    auto rest = static_cast<std::uint64_t>(r);
    for (int axis = axes - 2; axis >= 0; --axis) {
      const auto extent = static_cast<std::uint64_t>(sample[axis]);
      const auto digit = static_cast<std::int64_t>(rest % extent);
      rest /= extent;
      LAMELLA_UNROLL
      for (int n = 0; n < N; ++n) result.at[n] += digit * strides[n][axis];
    }
    return result;
  }
};

/// No constant varies along a row.
template <typename C, int N, typename F>
struct ByRows {
  using Compute = C;
  RowsOfConstants<C, N> rows;
  F f;

  [[nodiscard]] bool stays() const { return false; }
  template <int kWidth>
  LAMELLA_DEVICE Nothing columns(std::int64_t, std::int64_t) const {
    return {};
  }
  LAMELLA_DEVICE auto row(std::int64_t r) const {
    struct Row {
      C of[N];
    } result;
    const ConstantPointers<C, N> begin = rows.row(r);
    LAMELLA_UNROLL
    for (int n = 0; n < N; ++n) result.of[n] = *begin.at[n];
    return result;
  }
  template <typename Row>
  LAMELLA_DEVICE C operator()(C x, Nothing, int, const Row& row) const {
    return f(x, row.of);
  }
};

/// Some constants vary along rows and some do not; element by element.
template <typename C, int N, typename F>
struct ByElements {
  using Compute = C;
  RowsOfConstants<C, N> rows;
  F f;

  [[nodiscard]] bool stays() const { return false; }
  template <int kWidth>
  LAMELLA_DEVICE std::int64_t columns(std::int64_t column, std::int64_t) const {
    static_assert(kWidth == 1, "constants past the last element must not be read");
    return column;
  }
  LAMELLA_DEVICE ConstantPointers<C, N> row(std::int64_t r) const { return rows.row(r); }
  LAMELLA_DEVICE C operator()(C x, std::int64_t column, int, const ConstantPointers<C, N>& row) const {
    C c[N];
    LAMELLA_UNROLL
    for (int n = 0; n < N; ++n) c[n] = row.at[n][column * rows.strides[n][rows.axes - 1]];
    return f(x, c);
  }
};

/// dst = f(src, constants...), element by element.
template <typename C, typename T, int N, typename F>
cudaError_t with_constants(const F& f, const T* src, T* dst, const Sample& sample, const SampleConstant (&constants)[N],
                           cudaStream_t stream) {
  ConstantPointers<C, N> pointers;
  bool wide = true;
  for (int n = 0; n < N; ++n) {
    pointers.at[n] = static_cast<const C*>(constants[n].data);
    wide = wide && aligned(pointers.at[n]);
  }
  if (sample.axes == 0) {
    return pointwise(ByColumns<C, N, F>{pointers, {}, f}, src, dst, matrix_of<T, T>(sample.outer), true, stream);
  }
  const std::int64_t width = sample.extents[sample.axes - 1];
  if (sample.axes == 1) {
    ByColumns<C, N, F> by{pointers, {}, f};
    for (int n = 0; n < N; ++n) by.varies[n] = constants[n].strides[0] != 0;
    return pointwise(by, src, dst, Matrix{sample.outer, width, width, width, width}, wide, stream);
  }
  RowsOfConstants<C, N> rows{pointers, sample.axes, {}, {}};
  std::int64_t count = sample.outer;
  bool any = false;
  for (int axis = 0; axis < sample.axes; ++axis) {
    rows.sample[axis] = sample.extents[axis];
    if (axis + 1 < sample.axes) count *= sample.extents[axis];
    for (int n = 0; n < N; ++n) rows.strides[n][axis] = constants[n].strides[axis];
  }
  for (int n = 0; n < N; ++n) any = any || constants[n].strides[sample.axes - 1] != 0;
  const Matrix matrix{count, width, width, width, width};
  if (!any) return pointwise(ByRows<C, N, F>{rows, f}, src, dst, matrix, true, stream);
  if (count <= 0 || width <= 0) return cudaSuccess;
  return launch_pointwise<1>(ByElements<C, N, F>{rows, f}, src, dst, matrix, stream);
}

}  // namespace lamella::kernels
