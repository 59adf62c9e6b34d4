// SPDX-License-Identifier: Apache-2.0
#include "keras/hdf5/heap.hpp"

namespace lamella::keras::hdf5 {

namespace {

constexpr int kTreeOfLinks = 5;
constexpr int kTreeOfAttributes = 8;
constexpr std::size_t kHashSize = 4;
constexpr std::uint32_t kSoftEntry = 2;
constexpr std::size_t kMaxNodes = 1'000'000;
constexpr std::size_t kMaxPath = 32;
constexpr std::uint64_t kLinkCost = 96;       // cost of storing one, in addition to its name
constexpr std::uint64_t kAttributeCost = 64;  // cost of examining one

class GroupReader {
 public:
  GroupReader(const Image& image, std::string_view place) : image_(image), place_(place) {}

  Links read(const Object& object) {
    for (const Message& message : object.messages) {
      if (message.type == kLink) add_link(message.body);
      if (message.type == kLinkInfo) read_dense(message.body);
      if (message.type == kSymbolTable) read_table(message.body);
    }
    return std::move(links_);
  }

 private:
  void add(std::string_view name, std::uint64_t address) {
    if (name.empty() || name == "." || name.find_first_of(std::string_view("/\0", 2)) != std::string_view::npos) {
      fail(ErrorCode::hdf5, place_, "a member with the name '{}'", core::escaped(name));
    }
    image_.charge(kLinkCost + name.size(), place_);
    if (!links_.emplace(name, address).second)
      fail(ErrorCode::hdf5, place_, "two members with the name '{}'", core::escaped(name));
  }

  [[noreturn]] void refuse(std::string_view name, std::string_view kind) const {
    fail(ErrorCode::unsafe, place_, "member '{}' is {}, allowed hard links", core::escaped(name), kind);
  }

  void add_link(Bytes body) {
    ByteReader reader(body, ErrorCode::hdf5, place_, "link message");
    if (const int version = reader.u8(); version != 1)
      fail(ErrorCode::hdf5, place_, "link message version {}, expected 1", version);
    const unsigned flags = reader.u8();
    const unsigned type = (flags & 8U) != 0 ? reader.u8() : 0;
    if ((flags & 4U) != 0) reader.skip(8);   // creation order
    if ((flags & 16U) != 0) reader.skip(1);  // character set
    const std::string_view name = reader.text(reader.uint(std::size_t{1} << (flags & 3U)));
    if (type != 0) refuse(name, type == 1 ? "a soft link" : type == 64 ? "an external link" : "a user-defined link");
    add(name, image_.address(reader));
  }

  void read_dense(Bytes body) {
    ByteReader reader(body, ErrorCode::hdf5, place_, "link info message");
    if (const int version = reader.u8(); version != 0) fail(ErrorCode::hdf5, place_, "link info version {}, expected 0", version);
    if ((reader.u8() & 1U) != 0) reader.skip(8);
    const std::uint64_t heap_address = image_.address(reader);
    const std::uint64_t tree = image_.address(reader);
    if (heap_address == kUndefined) return;
    const FractalHeap heap(image_, heap_address, place_);
    for (const Bytes record : tree_records(image_, tree, kTreeOfLinks, place_)) {
      ByteReader entry(record, ErrorCode::hdf5, place_, "link record");
      entry.skip(kHashSize);
      add_link(heap.object(entry.bytes(heap.id_size())));
    }
  }

  void read_table(Bytes body) {
    ByteReader reader(body, ErrorCode::hdf5, place_, "symbol table message");
    const std::uint64_t root = image_.address(reader);
    const Bytes names = local_heap(image_, image_.address(reader), place_);
    std::vector<std::uint64_t> open{root};
    std::set<std::uint64_t> seen;
    while (!open.empty()) {
      const std::uint64_t address = open.back();
      open.pop_back();
      if (!seen.insert(address).second) fail(ErrorCode::hdf5, place_, "B-tree: a node is reached twice, at address {}", address);
      if (seen.size() > kMaxNodes) fail(ErrorCode::limit, place_, "B-tree of more than {} nodes", kMaxNodes);
      ByteReader node = image_.at(address, "B-tree node", place_);
      const std::string_view magic = node.text(4);
      if (magic == "SNOD") {
        read_symbols(node, names);
      } else if (magic == "TREE") {
        read_children(node, open);
      } else {
        fail(ErrorCode::hdf5, place_, "no B-tree node at address {}", address);
      }
    }
  }

  void read_children(ByteReader& node, std::vector<std::uint64_t>& open) const {
    if (node.u8() != 0) fail(ErrorCode::hdf5, place_, "B-tree: a node of chunks in the tree of a group");
    node.skip(1);
    const std::uint16_t used = node.u16();
    node.skip(2 * image_.offset_size());
    for (int i = 0; i < used; ++i) {
      static_cast<void>(image_.length(node));  // key: a name in the heap
      open.push_back(image_.address(node));
    }
  }

  void read_symbols(ByteReader& node, Bytes names) {
    if (const int version = node.u8(); version != 1)
      fail(ErrorCode::hdf5, place_, "symbol table node version {}, expected 1", version);
    node.skip(1);
    const std::uint16_t count = node.u16();
    for (int i = 0; i < count; ++i) {
      const std::uint64_t offset = image_.address(node);
      const std::uint64_t address = image_.address(node);
      const std::uint32_t kind = node.u32();
      node.skip(20);
      if (offset >= names.size()) fail(ErrorCode::hdf5, place_, "a name at byte {} of a local heap of {}", offset, names.size());
      std::string_view name = as_text(names.subspan(offset));
      const std::size_t end = name.find('\0');
      if (end == std::string_view::npos) fail(ErrorCode::hdf5, place_, "a name in the local heap has no end");
      name = name.substr(0, end);
      if (kind == kSoftEntry) refuse(name, "a soft link");
      add(name, address);
    }
  }

  const Image& image_;
  std::string_view place_;
  Links links_;
};

/// The attribute if it has the requested name.
std::optional<Attribute> parse_attribute(Bytes body, std::string_view wanted, std::string_view place) {
  ByteReader reader(body, ErrorCode::hdf5, place, "attribute message");
  const int version = reader.u8();
  if (version < 1 || version > 3) fail(ErrorCode::hdf5, place, "attribute message version {}, allowed 1 to 3", version);
  const unsigned flags = reader.u8();
  const std::uint16_t name_size = reader.u16();
  const std::uint16_t type_size = reader.u16();
  const std::uint16_t space_size = reader.u16();
  if (version == 3) reader.skip(1);
  const auto part = [&](std::uint16_t size) {
    const Bytes bytes = reader.bytes(size);
    if (version == 1) reader.skip((8 - size % 8) % 8);
    return bytes;
  };
  std::string_view name = as_text(part(name_size));
  name = name.substr(0, name.find('\0'));
  if (name != wanted) return std::nullopt;
  if (version > 1 && (flags & 3U) != 0)
    fail(ErrorCode::unsupported, place, "attribute '{}' with a shared type or dataspace", core::escaped(name));
  Attribute attribute;
  attribute.type = part(type_size);
  attribute.space = part(space_size);
  attribute.data = reader.bytes(reader.left());
  return attribute;
}

}  // namespace

Links read_links(const Image& image, const Object& object, std::string_view place) {
  return GroupReader(image, place).read(object);
}

std::optional<Attribute> find_attribute(const Image& image, const Object& object, std::string_view name, std::string_view place) {
  for (const Message& message : object.messages) {
    if (message.type != kAttribute) continue;
    image.charge(kAttributeCost, place);
    if ((message.flags & 2U) != 0) fail(ErrorCode::unsupported, place, "a shared attribute");
    if (auto found = parse_attribute(message.body, name, place)) return found;
  }
  const Message* info = object.find(kAttributeInfo);
  if (info == nullptr) return std::nullopt;
  ByteReader reader(info->body, ErrorCode::hdf5, place, "attribute info message");
  if (const int version = reader.u8(); version != 0)
    fail(ErrorCode::hdf5, place, "attribute info version {}, expected 0", version);
  if ((reader.u8() & 1U) != 0) reader.skip(2);
  const std::uint64_t heap_address = image.address(reader);
  const std::uint64_t tree = image.address(reader);
  if (heap_address == kUndefined) return std::nullopt;
  const FractalHeap heap(image, heap_address, place);
  for (const Bytes record : tree_records(image, tree, kTreeOfAttributes, place)) {
    ByteReader entry(record, ErrorCode::hdf5, place, "attribute record");
    const Bytes id = entry.bytes(8);
    if ((entry.u8() & 2U) != 0) fail(ErrorCode::unsupported, place, "a shared attribute");
    if (auto found = parse_attribute(heap.object(id), name, place)) return found;
  }
  return std::nullopt;
}

File::Node& File::node_at(std::uint64_t address, std::string_view place) {
  const auto found = nodes_.find(address);
  if (found != nodes_.end()) return found->second;
  return nodes_.emplace(address, Node{read_object(image_, address, place), {}}).first->second;
}

const Links& File::links_of(Node& node, std::string_view place) {
  if (!node.links) node.links = read_links(image_, node.object, place);
  return *node.links;
}

File::Node* File::find(std::string_view path) {
  const std::string place = place_of(path);
  Node* node = &node_at(image_.root(), place);
  std::size_t depth = 0;
  for (std::size_t begin = 0; begin < path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view name = path.substr(begin, end - begin);
    begin = end + 1;
    if (name.empty()) continue;
    if (++depth > kMaxPath) fail(ErrorCode::limit, place, "more than {} groups deep", kMaxPath);
    if (!node->object.is_group()) return nullptr;
    const Links& links = links_of(*node, place);
    const auto link = links.find(name);
    if (link == links.end()) return nullptr;
    Node& child = node_at(link->second, place);
    if (child.object.is_group()) {
      const auto parent = std::pair(node->object.address, std::string(name));
      const bool only = parents_.emplace(link->second, parent).first->second == parent;
      if (!only || link->second == image_.root())
        fail(ErrorCode::hdf5, place, "this group has a second name elsewhere: groups must form a tree");
    }
    node = &child;
  }
  return node;
}

File::Node& File::need(std::string_view path) {
  Node* node = find(path);
  if (node == nullptr) fail(ErrorCode::missing, place_of(path), "not in the file");
  return *node;
}

}  // namespace lamella::keras::hdf5
