// SPDX-License-Identifier: Apache-2.0
#include "keras/hdf5/chunk.hpp"

#include <algorithm>
#include <cstring>

namespace lamella::keras::hdf5 {

namespace {

enum class Index { single = 1, implicit = 2, fixed_array = 3, extensible_array = 4, tree2 = 5, tree = 100 };
constexpr unsigned kEdgesUnfiltered = 1U;
constexpr unsigned kSingleFiltered = 2U;

struct ChunkLayout {
  Grid grid;
  Index index = Index::tree;
  unsigned flags = 0;
  std::uint64_t address = kUndefined;
  StoredChunk single;
};

Grid make_grid(const Space& space, const Type& type, const std::vector<std::uint64_t>& sizes, std::string_view place) {
  if (sizes.size() != space.extents.size() + 1 || space.extents.empty()) {
    fail(ErrorCode::hdf5, place, "chunks of rank {} for a dataset of rank {}", sizes.size() - 1, space.extents.size());
  }
  if (sizes.back() != type.size)
    fail(ErrorCode::hdf5, place, "chunks of elements of {} bytes, the type has {}", sizes.back(), type.size);
  Grid grid{.extents = space.extents,
            .chunk = {},
            .counts = {},
            .most = {},
            .chunks = 1,
            .slots = 1,
            .chunk_bytes = type.size,
            .element = type.size};
  for (std::size_t axis = 0; axis < space.extents.size(); ++axis) {
    const std::uint64_t size = sizes[axis];
    if (size == 0) fail(ErrorCode::hdf5, place, "chunks of 0 elements on axis {}", axis);
    grid.chunk.push_back(size);
    grid.counts.push_back(space.extents[axis] / size + (space.extents[axis] % size == 0 ? 0 : 1));
    grid.chunks *= grid.counts.back();  // at most the number of elements, which fits
    const std::uint64_t most = space.most.empty() ? space.extents[axis] : space.most[axis];
    if (most < space.extents[axis])
      fail(ErrorCode::hdf5, place, "{} elements on axis {}, whose maximum is {}", space.extents[axis], axis, most);
    grid.most.push_back(most / size + (most % size == 0 ? 0 : 1));
    // Datasets of unlimited size have no array of chunks, so their slots do not matter.
    grid.slots = core::checked_mul(grid.slots, grid.most.back()).value_or(kUndefined);
    const auto bytes = core::checked_mul(grid.chunk_bytes, size);
    if (!bytes) fail(ErrorCode::overflow, place, "the bytes of a chunk do not fit into 64 bits");
    grid.chunk_bytes = *bytes;
  }
  return grid;
}

ChunkLayout parse_layout(const Image& image, ByteReader& reader, int version, const Type& type, const Space& space,
                         std::string_view place) {
  ChunkLayout layout;
  if (version > 3) layout.flags = reader.u8();
  const std::size_t rank = reader.u8();
  if (rank == 0) fail(ErrorCode::hdf5, place, "chunks without extents");
  if (version == 3) layout.address = image.address(reader);
  const std::size_t width = version == 3 ? 4 : reader.u8();
  if (width == 0 || width > 8) fail(ErrorCode::hdf5, place, "chunk extents of {} bytes", width);
  std::vector<std::uint64_t> sizes;
  for (std::size_t i = 0; i < rank; ++i) sizes.push_back(reader.uint(width));
  layout.grid = make_grid(space, type, sizes, place);
  if (version == 3) return layout;

  const int index = reader.u8();
  layout.index = static_cast<Index>(index);
  switch (layout.index) {
    case Index::single:
      layout.single.size = layout.grid.chunk_bytes;
      if ((layout.flags & kSingleFiltered) == 0) break;
      layout.single.size = image.length(reader);
      layout.single.mask = reader.u32();
      break;
    case Index::implicit:
      break;
    case Index::fixed_array:
      reader.skip(1);
      break;
    case Index::extensible_array:
      fail(ErrorCode::unsupported, place, "chunks indexed by an extensible array (a resizable dataset)");
    case Index::tree2:
      fail(ErrorCode::unsupported, place, "chunks indexed by a version 2 B-tree (a resizable dataset)");
    default:
      fail(ErrorCode::hdf5, place, "chunk index {}, allowed 1 to 5", index);
  }
  layout.address = image.address(reader);
  return layout;
}

/// Copies chunks to their places in the dataset.
class Assembler {
 public:
  Assembler(const Image& image, const ChunkLayout& layout, std::vector<Filter> filters, std::uint64_t bytes,
            std::string_view place)
      : image_(image),
        layout_(layout),
        grid_(layout.grid),
        filters_(std::move(filters)),
        place_(place),
        out_(bytes),
        done_(grid_.chunks) {}

  void begin(const Object& object, std::uint64_t stored, std::uint64_t chunks) {
    check_missing(stored >= out_.size ? 0 : out_.size - stored, place_);
    if (chunks < grid_.chunks) fill(object, grid_.element, {out_.data, out_.size}, place_);
  }

  void take(const StoredChunk& chunk) {
    if (done_.at(chunk.number)) fail(ErrorCode::hdf5, place_, "chunk {} appears twice in the index", chunk.number);
    done_[chunk.number] = true;
    image_.charge(grid_.chunk_bytes, place_);
    const std::vector<std::uint64_t> start = start_of(chunk.number);
    const bool bare = (layout_.flags & kEdgesUnfiltered) != 0 && reaches_over(start);
    const Bytes stored = image_.range(chunk.address, bare ? grid_.chunk_bytes : chunk.size, "chunk", place_);
    image_.charge(stored.size(), place_);
    const std::uint32_t mask = bare ? ~std::uint32_t{0} : chunk.mask;
    const OwnedBytes data = unfiltered(image_, stored, filters_, mask, grid_.chunk_bytes, grid_.element, place_);
    scatter(start, data.bytes);
  }

  [[nodiscard]] OwnedBytes result() const { return out_.freeze(); }

 private:
  [[nodiscard]] std::vector<std::uint64_t> start_of(std::uint64_t number) const {
    std::vector<std::uint64_t> start(grid_.rank());
    for (std::size_t axis = grid_.rank(); axis-- > 0; number /= grid_.counts[axis]) {
      start[axis] = number % grid_.counts[axis] * grid_.chunk[axis];
    }
    return start;
  }

  [[nodiscard]] bool reaches_over(const std::vector<std::uint64_t>& start) const {
    for (std::size_t axis = 0; axis < grid_.rank(); ++axis) {
      if (grid_.chunk[axis] > grid_.extents[axis] - start[axis]) return true;
    }
    return false;
  }

  /// Copies the rows of a chunk that are inside the dataset.
  void scatter(const std::vector<std::uint64_t>& start, Bytes data) {
    const std::size_t last = grid_.rank() - 1;
    std::vector<std::uint64_t> count(grid_.rank());
    for (std::size_t axis = 0; axis <= last; ++axis) count[axis] = std::min(grid_.chunk[axis], grid_.extents[axis] - start[axis]);
    const std::size_t row = count[last] * grid_.element;
    std::vector<std::uint64_t> at(grid_.rank());
    while (true) {
      std::uint64_t from = 0;
      std::uint64_t to = 0;
      for (std::size_t axis = 0; axis <= last; ++axis) {
        from = from * grid_.chunk[axis] + at[axis];
        to = to * grid_.extents[axis] + start[axis] + at[axis];
      }
      std::memcpy(out_.data + to * grid_.element, data.data() + from * grid_.element, row);
      std::size_t axis = last;
      while (axis > 0 && ++at[axis - 1] == count[axis - 1]) at[--axis] = 0;
      if (axis == 0) return;
    }
  }

  const Image& image_;
  const ChunkLayout& layout_;
  const Grid& grid_;
  std::vector<Filter> filters_;
  std::string_view place_;
  Buffer out_;
  std::vector<bool> done_;
};

std::vector<StoredChunk> stored_chunks(const Image& image, const ChunkLayout& layout, bool filtered, std::string_view place) {
  std::vector<StoredChunk> chunks;
  if (layout.address == kUndefined) return chunks;
  const Grid& grid = layout.grid;
  const auto tell = [&](const StoredChunk& chunk) {
    if (chunks.size() == grid.chunks) fail(ErrorCode::hdf5, place, "more chunks than the {} of its shape", grid.chunks);
    chunks.push_back(chunk);
  };
  switch (layout.index) {
    case Index::tree:
      walk_tree(image, layout.address, grid, place, tell);
      break;
    case Index::fixed_array:
      walk_fixed_array(image, layout.address, grid, filtered, place, tell);
      break;
    case Index::single: {
      if (grid.chunks != 1) fail(ErrorCode::hdf5, place, "one chunk is stored, the shape needs {}", grid.chunks);
      StoredChunk chunk = layout.single;
      chunk.address = layout.address;
      tell(chunk);
      break;
    }
    default: {
      if (filtered) fail(ErrorCode::hdf5, place, "filtered chunks without an index");
      const auto all = core::checked_mul(grid.slots, grid.chunk_bytes);
      if (!all) fail(ErrorCode::overflow, place, "{} chunks of {} bytes", grid.slots, grid.chunk_bytes);
      static_cast<void>(image.range(layout.address, *all, "chunks", place));
      for (std::uint64_t i = 0; i < grid.slots; ++i) {
        const auto number = grid.number_of_slot(i);
        if (!number) continue;
        tell({.number = *number, .address = layout.address + i * grid.chunk_bytes, .size = grid.chunk_bytes, .mask = 0});
      }
    }
  }
  return chunks;
}

}  // namespace

OwnedBytes read_chunks(const Image& image, const Object& object, ByteReader reader, int version, const Type& type,
                       const Space& space, std::string_view place) {
  const ChunkLayout layout = parse_layout(image, reader, version, type, space, place);
  std::vector<Filter> filters = read_filters(object, place);
  const std::uint64_t bytes = space.elements * type.size;  // the caller has checked it
  if (bytes == 0) return {image.owner(), {}};
  const std::vector<StoredChunk> chunks = stored_chunks(image, layout, !filters.empty(), place);
  const auto covered = core::checked_mul<std::uint64_t>(chunks.size(), layout.grid.chunk_bytes);
  if (!covered || *covered < bytes) check_missing(bytes - covered.value_or(0), place);
  image.charge(bytes, place);
  Assembler assembler(image, layout, std::move(filters), bytes, place);
  assembler.begin(object, covered.value_or(0), chunks.size());
  for (const StoredChunk& chunk : chunks) assembler.take(chunk);
  return assembler.result();
}

}  // namespace lamella::keras::hdf5
