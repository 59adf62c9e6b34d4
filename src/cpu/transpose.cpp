// SPDX-License-Identifier: Apache-2.0
// Transpositions and slices: dst is written in order, src is read with strides.
#include <algorithm>
#include <array>

#include "cpu/plans.hpp"

namespace lamella::cpu {
namespace {

/// The axes of dst: extents, and their strides in src. Always at least two axes; the first may have extent
/// 1.
struct Walk {
  std::array<std::int64_t, Shape::kMaxRank + 2> extents{};
  std::array<std::int64_t, Shape::kMaxRank + 2> strides{};
  int rank = 0;
  std::int64_t start = 0;  ///< offset of the first element in src

  void push(std::int64_t extent, std::int64_t stride) {
    extents[static_cast<std::size_t>(rank)] = extent;
    strides[static_cast<std::size_t>(rank++)] = stride;
  }
};

Walk walk_of(const ops::TransposeDesc& desc) {
  Walk walk;
  walk.push(1, 0);
  walk.push(1, 0);
  for (const int axis : desc.permutation) walk.push(desc.src[axis], desc.src.elements(axis + 1, desc.src.rank()));
  return walk;
}

Walk walk_of(const ops::SliceDesc& desc) {
  Walk walk;
  walk.push(1, 0);
  walk.push(1, 0);
  for (int axis = 0; axis < desc.src.rank(); ++axis) {
    const std::int64_t stride = desc.src.elements(axis + 1, desc.src.rank());
    walk.push(desc.dst[axis], desc.steps[static_cast<std::size_t>(axis)] * stride);
    walk.start += desc.starts[static_cast<std::size_t>(axis)] * stride;
  }
  return walk;
}

/// The last two axes in tiles, so that neither reads nor writes are all strided.
template <typename T>
void plane(T* dst, const T* src, std::int64_t rows, std::int64_t columns, std::int64_t row_stride, std::int64_t column_stride) {
  constexpr std::int64_t kTile = 16;
  for (std::int64_t r0 = 0; r0 < rows; r0 += kTile) {
    for (std::int64_t c0 = 0; c0 < columns; c0 += kTile) {
      for (std::int64_t r = r0; r < std::min(rows, r0 + kTile); ++r) {
        for (std::int64_t c = c0; c < std::min(columns, c0 + kTile); ++c)
          dst[r * columns + c] = src[r * row_stride + c * column_stride];
      }
    }
  }
}

template <typename T>
void transpose(const Walk& walk, T* dst, const T* src) {
  const auto last = static_cast<std::size_t>(walk.rank - 1);
  src += walk.start;
  std::array<std::int64_t, Shape::kMaxRank + 2> index{};
  while (true) {
    plane(dst, src, walk.extents[last - 1], walk.extents[last], walk.strides[last - 1], walk.strides[last]);
    dst += walk.extents[last - 1] * walk.extents[last];
    std::size_t axis = last - 1;
    while (axis > 0) {
      --axis;
      src += walk.strides[axis];
      if (++index[axis] < walk.extents[axis]) break;
      src -= walk.strides[axis] * walk.extents[axis];
      index[axis] = 0;
      if (axis == 0) return;
    }
    if (last == 1) return;
  }
}

template <typename T>
PlanPtr plan_as(const Walk& walk) {
  return make_plan(
      [walk](const ops::Args& args) { transpose(walk, static_cast<T*>(args.dst), static_cast<const T*>(args.srcs[0])); });
}

PlanPtr plan_of(const Walk& walk, DType dtype) {
  switch (size_of(dtype)) {
    case 1:
      return plan_as<std::uint8_t>(walk);
    case 2:
      return plan_as<std::uint16_t>(walk);
    case 4:
      return plan_as<std::uint32_t>(walk);
    default:
      return plan_as<std::uint64_t>(walk);
  }
}

PlanPtr nothing() {
  return make_plan([](const ops::Args&) {});
}

}  // namespace

PlanPtr plan(const ops::TransposeDesc& desc, const ConstantsPtr&, const ops::PlanContext&) {
  return desc.src.elements() == 0 ? nothing() : plan_of(walk_of(desc), desc.dtype);
}

PlanPtr plan(const ops::SliceDesc& desc, const ConstantsPtr&, const ops::PlanContext&) {
  return desc.dst.elements() == 0 ? nothing() : plan_of(walk_of(desc), desc.dtype);
}

}  // namespace lamella::cpu
