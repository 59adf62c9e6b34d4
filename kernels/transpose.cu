// SPDX-License-Identifier: Apache-2.0
#include "kernels/kernels.hpp"
#include "kernels/storage.hpp"
#include "kernels/strided.hpp"

namespace lamella::kernels {
namespace {

/// The axes of dst, and their strides in src.
struct Walk {
  Extents extents;
  std::int64_t strides[kMaxAxes] = {};

  void push(std::int64_t extent, std::int64_t stride) {
    if (extent == 1) return;
    const int before = extents.axes - 1;
    if (before >= 0 && strides[before] == stride * extent) {  // axes that are adjacent in src merge into one
      extents.at[before] *= extent;
      strides[before] = stride;
      return;
    }
    strides[extents.axes] = stride;
    extents.at[extents.axes++] = extent;
  }
};

Walk walk_of(const Transpose& args) {
  std::int64_t strides[kMaxAxes] = {};
  std::int64_t stride = 1;
  for (int axis = args.axes - 1; axis >= 0; --axis) {
    strides[axis] = stride;
    stride *= args.shape[axis];
  }
  Walk walk;
  for (int axis = 0; axis < args.axes; ++axis) walk.push(args.shape[args.permutation[axis]], strides[args.permutation[axis]]);
  if (walk.extents.axes == 0) {  // one element
    walk.strides[0] = 1;
    walk.extents.at[walk.extents.axes++] = 1;
  }
  return walk;
}

// ---- the last axis is the last of src: rows are copied ----

template <typename T>
LAMELLA_KERNEL(kStridedThreads)
copy_rows_kernel(const T* src, T* dst, Walk walk, std::int64_t rows, int columns_log2) {
  const std::int64_t length = walk.extents.last();
  each_pack(length, rows, columns_log2, [&](std::int64_t column, std::int64_t row) {
    dst[row * length + column] = src[row_offset(walk.extents, walk.strides, row) + column];
  });
}

template <typename T>
cudaError_t copy_rows(const void* src, void* dst, const Walk& walk, cudaStream_t stream) {
  const std::int64_t length = walk.extents.last();
  const std::int64_t rows = walk.extents.elements() / length;
  const int log2 = columns_log2_of(length);
  return launch({.grid = strided_grid(length, rows, log2), .threads = kStridedThreads, .stream = stream}, copy_rows_kernel<T>,
                static_cast<const T*>(src), static_cast<T*>(dst), walk, rows, log2);
}

/// Merges pairs of elements into one of twice the size while all extents and strides are even.
bool doubled(Walk& walk, const void* src, const void* dst, int bytes) {
  const int last = walk.extents.axes - 1;
  const auto odd = [&](const void* p) { return reinterpret_cast<std::uintptr_t>(p) % (2 * static_cast<unsigned>(bytes)) != 0; };
  if (walk.extents.at[last] % 2 != 0 || odd(src) || odd(dst)) return false;
  for (int axis = 0; axis < last; ++axis) {
    if (walk.strides[axis] % 2 != 0) return false;
  }
  walk.extents.at[last] /= 2;
  for (int axis = 0; axis < last; ++axis) walk.strides[axis] /= 2;
  return true;
}

cudaError_t copy_rows(const void* src, void* dst, Walk walk, int bytes, cudaStream_t stream) {
  while (bytes < 16 && doubled(walk, src, dst, bytes)) bytes *= 2;
  switch (bytes) {
    case 1:
      return copy_rows<std::uint8_t>(src, dst, walk, stream);
    case 2:
      return copy_rows<std::uint16_t>(src, dst, walk, stream);
    case 4:
      return copy_rows<std::uint32_t>(src, dst, walk, stream);
    case 8:
      return copy_rows<std::uint64_t>(src, dst, walk, stream);
    default:
      return copy_rows<Pack<std::uint64_t, 2>>(src, dst, walk, stream);
  }
}

// ---- another axis is the last of src: tiles of the two are turned in shared memory ----

constexpr int kTile = 32;
constexpr int kTileThreads = 256;
constexpr int kTileRows = kTileThreads / kTile;

/// `along` is src's last axis, and dst's last axis is the other one of the plane.
struct Planes {
  Walk walk;
  std::int64_t dst_strides[kMaxAxes] = {};
  int along = 0;
};

struct Tile {
  std::int64_t src = 0;  ///< where its plane starts
  std::int64_t dst = 0;
  std::int64_t along = 0;  ///< where it starts in the plane
  std::int64_t last = 0;
};

LAMELLA_DEVICE Tile tile_of(const Planes& planes, std::int64_t number) {
  const Extents& extents = planes.walk.extents;
  const int last = extents.axes - 1;
  auto rest = static_cast<std::uint64_t>(number);
  const auto next = [&](std::int64_t extent) {
    const std::uint64_t index = rest % static_cast<std::uint64_t>(extent);
    rest /= static_cast<std::uint64_t>(extent);
    return static_cast<std::int64_t>(index);
  };
  Tile tile;
  tile.along = next(tiles(extents.at[planes.along], kTile)) * kTile;
  tile.last = next(tiles(extents.at[last], kTile)) * kTile;
  for (int axis = last - 1; axis >= 0; --axis) {
    if (axis == planes.along) continue;
    const std::int64_t index = next(extents.at[axis]);
    tile.src += index * planes.walk.strides[axis];
    tile.dst += index * planes.dst_strides[axis];
  }
  return tile;
}

template <typename T>
struct TileShared {
  T at[kTile][kTile + 1];  // one extra column, so that columns lie in different banks
};

template <typename T>
LAMELLA_KERNEL(kTileThreads)
turn_tiles_kernel(const T* src, T* dst, Planes planes, std::int64_t count) {
  auto& shared = shared_memory<TileShared<T>>();
  const int last = planes.walk.extents.axes - 1;
  const int lane = static_cast<int>(thread_index()) % kTile;
  const int first = static_cast<int>(thread_index()) / kTile;
  for (std::int64_t number = block_x(); number < count; number += grid_x()) {
    const Tile tile = tile_of(planes, number);
    const std::int64_t along_left = planes.walk.extents.at[planes.along] - tile.along;
    const std::int64_t last_left = planes.walk.extents.at[last] - tile.last;
    for (int r = first; r < kTile; r += kTileRows) {
      if (lane < along_left && r < last_left) {
        shared.at[r][lane] = src[tile.src + (tile.last + r) * planes.walk.strides[last] + tile.along + lane];
      }
    }
    barrier();
    for (int r = first; r < kTile; r += kTileRows) {
      if (r < along_left && lane < last_left) {
        dst[tile.dst + (tile.along + r) * planes.dst_strides[planes.along] + tile.last + lane] = shared.at[lane][r];
      }
    }
    barrier();
  }
}

template <typename T>
cudaError_t turn_tiles(const void* src, void* dst, const Planes& planes, cudaStream_t stream) {
  const Extents& extents = planes.walk.extents;
  const int last = extents.axes - 1;
  std::int64_t count = tiles(extents.at[planes.along], kTile) * tiles(extents.at[last], kTile);
  for (int axis = 0; axis < last; ++axis) count *= axis == planes.along ? 1 : extents.at[axis];
  const Launch how{.grid = dim3(blocks(count)), .threads = kTileThreads, .shared = sizeof(TileShared<T>), .stream = stream};
  return launch(how, turn_tiles_kernel<T>, static_cast<const T*>(src), static_cast<T*>(dst), planes, count);
}

Planes planes_of(const Walk& walk) {
  Planes planes{.walk = walk};
  std::int64_t stride = 1;
  for (int axis = walk.extents.axes - 1; axis >= 0; --axis) {
    planes.dst_strides[axis] = stride;
    stride *= walk.extents.at[axis];
    if (walk.strides[axis] == 1) planes.along = axis;
  }
  return planes;
}

}  // namespace

cudaError_t transpose(const Transpose& args, cudaStream_t stream) {
  if (args.axes < 0 || args.axes > kMaxAxes) return cudaErrorInvalidValue;
  const Walk walk = walk_of(args);
  if (walk.extents.elements() == 0) return cudaSuccess;
  if (walk.strides[walk.extents.axes - 1] == 1) return copy_rows(args.src, args.dst, walk, args.element_bytes, stream);
  const Planes planes = planes_of(walk);
  switch (args.element_bytes) {
    case 1:
      return turn_tiles<std::uint8_t>(args.src, args.dst, planes, stream);
    case 2:
      return turn_tiles<std::uint16_t>(args.src, args.dst, planes, stream);
    case 4:
      return turn_tiles<std::uint32_t>(args.src, args.dst, planes, stream);
    case 8:
      return turn_tiles<std::uint64_t>(args.src, args.dst, planes, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace lamella::kernels
