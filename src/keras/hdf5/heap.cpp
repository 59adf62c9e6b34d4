// SPDX-License-Identifier: Apache-2.0
#include "keras/hdf5/heap.hpp"

#include <algorithm>
#include <bit>

namespace lamella::keras::hdf5 {

namespace {

constexpr std::uint64_t kMaxLevels = 32;
constexpr std::uint64_t kObjectCost = 64;  // cost of storing a heap object

std::size_t bytes_for(std::uint64_t value) {
  return (static_cast<std::size_t>(std::bit_width(std::max<std::uint64_t>(value, 1))) - 1) / 8 + 1;
}

}  // namespace

Bytes local_heap(const Image& image, std::uint64_t address, std::string_view place) {
  ByteReader reader = image.block(address, "HEAP", "local heap", place);
  if (const int version = reader.u8(); version != 0) fail(ErrorCode::hdf5, place, "local heap version {}, expected 0", version);
  reader.skip(3);
  const std::uint64_t size = image.length(reader);
  static_cast<void>(image.length(reader));
  return image.range(image.address(reader), size, "local heap", place);
}

const std::map<std::uint32_t, Bytes>& Image::collection(std::uint64_t address, std::string_view place) const {
  if (const auto known = collections_.find(address); known != collections_.end()) return known->second;
  ByteReader head = block(address, "GCOL", "global heap", place);
  if (const int version = head.u8(); version != 1) fail(ErrorCode::hdf5, place, "global heap version {}, expected 1", version);
  head.skip(3);
  const std::uint64_t size = length(head);
  ByteReader reader(range(address, size, "global heap", place), ErrorCode::hdf5, place, "global heap");
  const auto align = [&reader] { reader.skip(std::min<std::uint64_t>((8 - reader.at() % 8) % 8, reader.left())); };
  reader.seek(head.at());
  align();
  std::map<std::uint32_t, Bytes> objects;
  while (reader.left() >= 8 + length_size_) {  // less than an object's header is free space
    const std::uint32_t index = reader.u16();
    reader.skip(6);
    const std::uint64_t bytes = length(reader);
    align();
    if (index == 0) break;  // free space up to the end
    charge(kObjectCost, place);
    objects.emplace(index, reader.bytes(bytes));
    align();
  }
  return collections_.emplace(address, std::move(objects)).first->second;
}

Bytes global_heap_object(const Image& image, std::uint64_t address, std::uint32_t index, std::string_view place) {
  const auto& objects = image.collection(address, place);
  const auto found = objects.find(index);
  if (found == objects.end()) fail(ErrorCode::hdf5, place, "no object {} in the global heap at address {}", index, address);
  return found->second;
}

FractalHeap::FractalHeap(const Image& image, std::uint64_t address, std::string_view place) : image_(image), place_(place) {
  ByteReader reader = image.block(address, "FRHP", "fractal heap", place);
  if (const int version = reader.u8(); version != 0) fail(ErrorCode::hdf5, place, "fractal heap version {}, expected 0", version);
  id_size_ = reader.u16();
  const std::uint16_t filter_size = reader.u16();
  if (filter_size != 0) fail(ErrorCode::unsupported, place, "a fractal heap with filters");
  reader.skip(1);
  max_object_ = reader.u32();
  static_cast<void>(image.length(reader));   // next huge object
  static_cast<void>(image.address(reader));  // tree of huge objects
  static_cast<void>(image.length(reader));   // free space
  static_cast<void>(image.address(reader));
  for (int i = 0; i < 8; ++i) static_cast<void>(image.length(reader));  // statistics
  width_ = reader.u16();
  start_size_ = image.length(reader);
  max_direct_ = image.length(reader);
  const std::uint16_t offset_bits = reader.u16();
  reader.skip(2);
  root_ = image.address(reader);
  root_rows_ = reader.u16();
  image.check_sum(address, reader.at() + 4, "fractal heap", place);
  const bool sizes_fit = std::has_single_bit(width_) && std::has_single_bit(start_size_) && std::has_single_bit(max_direct_) &&
                         start_size_ <= max_direct_ && max_direct_ <= (std::uint64_t{1} << 32U) && offset_bits >= 8 &&
                         offset_bits <= 64;
  if (!sizes_fit) fail(ErrorCode::hdf5, place, "fractal heap at address {}: impossible block sizes", address);
  offset_bytes_ = (offset_bits + 7U) / 8U;
  length_bytes_ = bytes_for(std::min(max_direct_, max_object_));
}

Bytes FractalHeap::object(Bytes id) const {
  ByteReader reader(id, ErrorCode::hdf5, place_, "fractal heap ID");
  const unsigned flags = reader.u8();
  if (flags >> 6U != 0) fail(ErrorCode::hdf5, place_, "fractal heap ID version {}, expected 0", flags >> 6U);
  const unsigned kind = flags >> 4U & 3U;
  if (kind == 2) return reader.bytes(std::min<std::uint64_t>((flags & 0x0FU) + 1U, reader.left()));
  if (kind != 0) fail(ErrorCode::unsupported, place_, "a huge object in a fractal heap");
  const std::uint64_t offset = reader.uint(offset_bytes_);
  return managed(offset, reader.uint(length_bytes_));
}

/// Rows double in size, except the first two; rows up to the largest direct block hold blocks, later ones hold tables.
FractalHeap::Row FractalHeap::row(std::uint64_t index) const {
  const std::uint64_t shift = index == 0 ? 0 : index - 1;
  const auto start_bits = static_cast<std::uint64_t>(std::bit_width(start_size_)) - 1;
  if (shift + start_bits + static_cast<std::uint64_t>(std::bit_width(width_)) > 63)
    fail(ErrorCode::hdf5, place_, "fractal heap with {} rows", index);
  const std::uint64_t size = start_size_ << shift;
  return {size, size <= max_direct_};
}

Bytes FractalHeap::managed(std::uint64_t offset, std::uint64_t size) const {
  std::uint64_t block = root_;
  std::uint64_t rows = root_rows_;
  std::uint64_t block_size = start_size_;
  std::uint64_t inside = offset;  // from the beginning of the block
  for (std::uint64_t level = 0; rows != 0; ++level) {
    if (level == kMaxLevels) fail(ErrorCode::limit, place_, "fractal heap deeper than {} levels", kMaxLevels);
    ByteReader reader = image_.block(block, "FHIB", "fractal heap table", place_);
    reader.skip(1 + image_.offset_size() + offset_bytes_);
    std::uint64_t r = 0;
    while (r < rows && inside >= row(r).block_size * width_) inside -= row(r++).block_size * width_;
    if (r == rows) fail(ErrorCode::hdf5, place_, "fractal heap offset {} is outside the heap", offset);
    const Row found = row(r);
    reader.skip((r * width_ + inside / found.block_size) * image_.offset_size());
    inside %= found.block_size;
    block = image_.address(reader);
    block_size = found.block_size;
    // A table spans its rows: the first is as wide as the smallest blocks together.
    rows = found.direct ? 0
                        : static_cast<std::uint64_t>(std::bit_width(found.block_size)) -
                              static_cast<std::uint64_t>(std::bit_width(start_size_ * width_)) + 1;
    if (!found.direct && found.block_size < start_size_ * width_)
      fail(ErrorCode::hdf5, place_, "fractal heap table without rows");
  }
  static_cast<void>(image_.block(block, "FHDB", "fractal heap block", place_));
  if (size > block_size || inside > block_size - size)
    fail(ErrorCode::hdf5, place_, "fractal heap object of {} bytes reaches past its block", size);
  return image_.range(block, block_size, "fractal heap block", place_).subspan(inside, size);
}

namespace {

/// The header of a version 2 B-tree, and the node sizes derived from it.
struct Tree {
  std::uint64_t node_size = 0;
  std::uint64_t record_size = 0;
  std::uint64_t depth = 0;
  std::uint64_t root = 0;
  std::uint64_t root_records = 0;
  std::uint64_t total = 0;
  std::vector<std::uint64_t> most{};        ///< records of a node, by level
  std::vector<std::size_t> total_bytes{0};  ///< width of the count of all records below a node, by level
  std::size_t count_bytes = 0;              ///< width of the count of a node's own records
};

constexpr std::uint64_t kTreeOverhead = 10;  // of a node

Tree read_tree(const Image& image, std::uint64_t address, int type, std::string_view place) {
  ByteReader head = image.block(address, "BTHD", "version 2 B-tree", place);
  if (const int version = head.u8(); version != 0)
    fail(ErrorCode::hdf5, place, "version 2 B-tree: header version {}, expected 0", version);
  if (const int found = head.u8(); found != type)
    fail(ErrorCode::hdf5, place, "version 2 B-tree of type {}, expected {}", found, type);
  Tree tree;
  tree.node_size = head.u32();
  tree.record_size = head.u16();
  tree.depth = head.u16();
  head.skip(2);
  tree.root = image.address(head);
  tree.root_records = head.u16();
  tree.total = image.length(head);
  image.check_sum(address, head.at() + 4, "version 2 B-tree", place);
  constexpr std::uint64_t kMaxDepth = 8;
  if (tree.depth > kMaxDepth || tree.record_size == 0 || tree.node_size < kTreeOverhead + tree.record_size) {
    fail(ErrorCode::hdf5, place, "version 2 B-tree: depth {}, records of {} in nodes of {} bytes", tree.depth, tree.record_size,
         tree.node_size);
  }
  if (tree.total > image.size() / tree.record_size)
    fail(ErrorCode::hdf5, place, "version 2 B-tree: {} records do not fit into the file", tree.total);
  return tree;
}

void add_levels(Tree& tree, const Image& image, std::string_view place) {
  tree.most = {(tree.node_size - kTreeOverhead) / tree.record_size};
  tree.count_bytes = bytes_for(tree.most[0]);
  std::uint64_t below = tree.most[0];  // records under a node of the level and in it
  for (std::uint64_t level = 1; level <= tree.depth; ++level) {
    const std::uint64_t pointer = image.offset_size() + tree.count_bytes + tree.total_bytes.back();
    if (tree.node_size < kTreeOverhead + pointer)
      fail(ErrorCode::hdf5, place, "version 2 B-tree: nodes of {} bytes are too small", tree.node_size);
    tree.most.push_back((tree.node_size - kTreeOverhead - pointer) / (tree.record_size + pointer));
    const auto under = core::checked_mul(tree.most.back() + 1, below);
    if (!under || *under > kUndefined / 2) fail(ErrorCode::hdf5, place, "version 2 B-tree: too deep");
    below = *under + tree.most.back();
    tree.total_bytes.push_back(bytes_for(below));
  }
}

}  // namespace

std::vector<Bytes> tree_records(const Image& image, std::uint64_t address, int type, std::string_view place) {
  Tree tree = read_tree(image, address, type, place);
  add_levels(tree, image, place);
  struct Node {
    std::uint64_t address, records, level;
  };
  std::vector<Node> open;
  if (tree.root != kUndefined) open.push_back({tree.root, tree.root_records, tree.depth});
  std::vector<Bytes> records;
  std::set<std::uint64_t> seen;
  while (!open.empty()) {
    const Node node = open.back();
    open.pop_back();
    if (!seen.insert(node.address).second)
      fail(ErrorCode::hdf5, place, "version 2 B-tree: a node is reached twice, at address {}", node.address);
    ByteReader reader = image.block(node.address, node.level == 0 ? "BTLF" : "BTIN", "version 2 B-tree node", place);
    reader.skip(2);
    if (node.records > tree.most[node.level])
      fail(ErrorCode::hdf5, place, "version 2 B-tree: {} records in one node", node.records);
    image.charge(node.records * sizeof(Bytes), place);
    for (std::uint64_t i = 0; i < node.records; ++i) records.push_back(reader.bytes(tree.record_size));
    if (records.size() > tree.total)
      fail(ErrorCode::hdf5, place, "version 2 B-tree: more records than the {} it declares", tree.total);
    for (std::uint64_t i = 0; node.level > 0 && i <= node.records; ++i) {
      const std::uint64_t child = image.address(reader);
      const std::uint64_t count = reader.uint(tree.count_bytes);
      reader.skip(tree.total_bytes[node.level - 1]);
      open.push_back({child, count, node.level - 1});
    }
    image.check_sum(node.address, reader.at() + 4, "version 2 B-tree node", place);
  }
  if (records.size() != tree.total)
    fail(ErrorCode::hdf5, place, "version 2 B-tree: {} records, expected {}", records.size(), tree.total);
  return records;
}

}  // namespace lamella::keras::hdf5
