// SPDX-License-Identifier: Apache-2.0
#include "kernels/kernels.hpp"
#include "kernels/strided.hpp"

namespace lamella::kernels {
namespace {

/// The kernel's only parameter, as in transpose.cu: two structs by value would be copied to local memory.
struct StridedWalk {
  Extents extents;
  std::int64_t strides[kMaxAxes] = {};
};

template <typename T>
LAMELLA_KERNEL(kStridedThreads)
strided_copy_kernel(const T* src, T* dst, StridedWalk walk, std::int64_t rows, int columns_log2) {
  const std::int64_t length = walk.extents.last();
  const std::int64_t stride = walk.extents.axes == 0 ? 0 : walk.strides[walk.extents.axes - 1];
  each_pack(length, rows, columns_log2, [&](std::int64_t column, std::int64_t row) {
    dst[row * length + column] = src[row_offset(walk.extents, walk.strides, row) + column * stride];
  });
}

template <typename T>
cudaError_t copy_as(const StridedCopy& args, const Extents& extents, cudaStream_t stream) {
  StridedWalk walk{extents};
  for (int axis = 0; axis < args.axes; ++axis) walk.strides[axis] = args.strides[axis];
  const std::int64_t rows = extents.elements() / extents.last();
  const int log2 = columns_log2_of(extents.last());
  return launch({.grid = strided_grid(extents.last(), rows, log2), .threads = kStridedThreads, .stream = stream},
                strided_copy_kernel<T>, static_cast<const T*>(args.src), static_cast<T*>(args.dst), walk, rows, log2);
}

}  // namespace

cudaError_t strided_copy(const StridedCopy& args, cudaStream_t stream) {
  if (args.axes < 0 || args.axes > kMaxAxes) return cudaErrorInvalidValue;
  Extents extents{.axes = args.axes};
  for (int axis = 0; axis < args.axes; ++axis) extents.at[axis] = args.shape[axis];
  if (extents.elements() == 0) return cudaSuccess;
  switch (args.element_bytes) {
    case 1:
      return copy_as<std::uint8_t>(args, extents, stream);
    case 2:
      return copy_as<std::uint16_t>(args, extents, stream);
    case 4:
      return copy_as<std::uint32_t>(args, extents, stream);
    case 8:
      return copy_as<std::uint64_t>(args, extents, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace lamella::kernels
