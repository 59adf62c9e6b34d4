// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "keras/hdf5/chunk.hpp"

namespace lamella::keras::hdf5 {

namespace {

/// The chunk's number from its origin, which must be a corner of the grid.
std::uint64_t number_at(const Grid& grid, ByteReader& key, std::string_view place) {
  std::uint64_t number = 0;
  for (std::size_t axis = 0; axis < grid.rank(); ++axis) {
    const std::uint64_t start = key.u64();
    if (start % grid.chunk[axis] != 0 || start >= grid.extents[axis]) {
      fail(ErrorCode::hdf5, place, "a chunk begins at {} on axis {}, outside the grid of chunks", start, axis);
    }
    number = number * grid.counts[axis] + start / grid.chunk[axis];
  }
  if (key.u64() != 0) fail(ErrorCode::hdf5, place, "a chunk that begins inside an element");
  return number;
}

struct ArrayEntries {
  const Grid& grid;
  bool filtered;
  std::size_t size_bytes;  // of a filtered chunk's size
  std::uint64_t chunk_bytes;
};

void tell_entries(const Image& image, ByteReader& reader, const ArrayEntries& form, std::uint64_t first, std::uint64_t count,
                  const TellChunk& tell) {
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto number = form.grid.number_of_slot(first + i);
    StoredChunk chunk{.number = number.value_or(0), .address = image.address(reader), .size = form.chunk_bytes};
    if (form.filtered) {
      chunk.size = reader.uint(form.size_bytes);
      chunk.mask = reader.u32();
    }
    if (chunk.address != kUndefined && number) tell(chunk);
  }
}

}  // namespace

void walk_tree(const Image& image, std::uint64_t address, const Grid& grid, std::string_view place, const TellChunk& tell) {
  std::vector<std::uint64_t> open{address};
  std::set<std::uint64_t> seen;
  while (!open.empty()) {
    const std::uint64_t at = open.back();
    open.pop_back();
    if (!seen.insert(at).second) fail(ErrorCode::hdf5, place, "chunk B-tree: a node is reached twice, at address {}", at);
    ByteReader node = image.block(at, "TREE", "chunk B-tree node", place);
    if (node.u8() != 1) fail(ErrorCode::hdf5, place, "chunk B-tree: a node of a group in the tree of chunks");
    const int level = node.u8();
    const std::uint16_t used = node.u16();
    node.skip(2 * image.offset_size());
    for (int i = 0; i < used; ++i) {
      StoredChunk chunk;
      chunk.size = node.u32();
      chunk.mask = node.u32();
      if (level > 0) {
        node.skip(8 * (grid.rank() + 1));
        open.push_back(image.address(node));
        continue;
      }
      chunk.number = number_at(grid, node, place);
      chunk.address = image.address(node);
      tell(chunk);
    }
  }
}

void walk_fixed_array(const Image& image, std::uint64_t address, const Grid& grid, bool filtered, std::string_view place,
                      const TellChunk& tell) {
  ByteReader head = image.block(address, "FAHD", "fixed array", place);
  if (const int version = head.u8(); version != 0) fail(ErrorCode::hdf5, place, "fixed array version {}, expected 0", version);
  if (head.u8() != (filtered ? 1 : 0)) fail(ErrorCode::hdf5, place, "fixed array: its entries do not match the filters");
  const std::size_t entry = head.u8();
  const unsigned page_bits = head.u8();
  const std::uint64_t entries = image.length(head);
  const std::uint64_t data = image.address(head);
  image.check_sum(address, head.at() + 4, "fixed array", place);
  const std::size_t least = image.offset_size() + (filtered ? 5 : 0);
  if (entry < least || entry > least + 7 || (!filtered && entry != least) || page_bits > 32) {
    fail(ErrorCode::hdf5, place, "fixed array: entries of {} bytes, pages of 2^{}", entry, page_bits);
  }
  if (entries != grid.slots) fail(ErrorCode::hdf5, place, "fixed array of {} chunks, the shape needs {}", entries, grid.slots);
  if (data == kUndefined) return;
  const ArrayEntries form{grid, filtered, entry - least + 1, grid.chunk_bytes};

  ByteReader block = image.block(data, "FADB", "fixed array block", place);
  block.skip(2 + image.offset_size());
  const std::uint64_t page = std::uint64_t{1} << page_bits;
  if (entries <= page) {
    tell_entries(image, block, form, 0, entries, tell);
    return image.check_sum(data, block.at() + 4, "fixed array block", place);
  }
  const std::uint64_t pages = (entries + page - 1) / page;
  const Bytes written = block.bytes((pages + 7) / 8);
  image.check_sum(data, block.at() + 4, "fixed array block", place);
  block.skip(4);
  for (std::uint64_t i = 0; i < pages; ++i) {
    const std::uint64_t count = std::min(page, entries - i * page);
    const auto bits = std::to_integer<unsigned>(written[i / 8]);
    if ((bits & (0x80U >> (i % 8))) == 0) {
      block.skip(page * entry + 4);
      continue;
    }
    const std::size_t begin = block.at();
    tell_entries(image, block, form, i * page, count, tell);
    image.check_sum(data + begin, block.at() - begin + 4, "fixed array page", place);
    block.skip(4);
  }
}

}  // namespace lamella::keras::hdf5
