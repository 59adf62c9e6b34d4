// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "keras/bytes.hpp"
#include "keras/hdf5/hdf5.hpp"

namespace lamella::keras::hdf5 {

/// The value that HDF5 writes for an undefined address.
inline constexpr std::uint64_t kUndefined = ~std::uint64_t{0};

/// The file's bytes after its user block, and the widths of its addresses and lengths. Every read is bounded.
class Image {
 public:
  Image(OwnedBytes file, const std::string& where, std::uint64_t source_bytes);

  [[nodiscard]] std::uint64_t root() const noexcept { return root_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return bytes_.size(); }
  [[nodiscard]] std::uint64_t source_bytes() const noexcept { return source_bytes_; }
  [[nodiscard]] std::size_t offset_size() const noexcept { return offset_size_; }
  [[nodiscard]] const std::shared_ptr<void>& owner() const noexcept { return owner_; }

  [[nodiscard]] std::uint64_t address(ByteReader& reader) const;
  [[nodiscard]] std::uint64_t length(ByteReader& reader) const { return reader.uint(length_size_); }
  /// A reader from `address` to the end of the file. Throws if the address is outside.
  [[nodiscard]] ByteReader at(std::uint64_t address, std::string_view what, std::string_view place) const;
  [[nodiscard]] Bytes range(std::uint64_t address, std::uint64_t size, std::string_view what, std::string_view place) const;
  /// Like at(), after checking for a four-letter signature and skipping it.
  [[nodiscard]] ByteReader block(std::uint64_t address, std::string_view magic, std::string_view what,
                                 std::string_view place) const;
  /// Checks that the `size` bytes at `address` end with their own checksum.
  void check_sum(std::uint64_t address, std::uint64_t size, std::string_view what, std::string_view place) const;

  /// Counts bytes that are created or read again: parts of a file may refer to each other any number of times, and a small file
  /// must not cause much work. Throws limit past max(64 MiB, 20 x source).
  void charge(std::uint64_t bytes, std::string_view place) const;
  /// The objects of the global heap collection at `address`, by index. Read once.
  [[nodiscard]] const std::map<std::uint32_t, Bytes>& collection(std::uint64_t address, std::string_view place) const;

 private:
  void read_superblock(const std::string& where);
  void read_old_superblock(ByteReader& reader, int version, const std::string& where);

  OwnedBytes file_;
  std::shared_ptr<void> owner_;
  Bytes bytes_;
  std::uint64_t source_bytes_;  // size of the file as stored
  std::uint64_t start_ = 0;     // position of the superblock
  std::uint64_t root_ = 0;
  std::size_t offset_size_ = 8;
  std::size_t length_size_ = 8;
  mutable std::uint64_t charged_ = 0;
  mutable std::map<std::uint64_t, std::map<std::uint32_t, Bytes>> collections_;
};

/// The position of a superblock, if any.
[[nodiscard]] std::optional<std::size_t> find_superblock(Bytes bytes) noexcept;

enum MessageType : std::uint16_t {
  kNil = 0x00,
  kDataspace = 0x01,
  kLinkInfo = 0x02,
  kDatatype = 0x03,
  kOldFill = 0x04,
  kFill = 0x05,
  kLink = 0x06,
  kExternalFiles = 0x07,
  kLayout = 0x08,
  kGroupInfo = 0x0A,
  kFilters = 0x0B,
  kAttribute = 0x0C,
  kContinuation = 0x10,
  kSymbolTable = 0x11,
  kAttributeInfo = 0x15,
  kLastKnownMessage = 0x18,
};

struct Message {
  std::uint16_t type = 0;
  std::uint8_t flags = 0;
  Bytes body;
};

/// An object header, all its continuations read.
struct Object {
  std::uint64_t address = 0;
  std::vector<Message> messages;

  [[nodiscard]] const Message* find(MessageType type) const noexcept;
  /// Throws if there is none, or if it is stored elsewhere (a shared message).
  [[nodiscard]] const Message& need(MessageType type, std::string_view what, std::string_view place) const;
  [[nodiscard]] bool is_group() const noexcept {
    return find(kSymbolTable) != nullptr || find(kLinkInfo) != nullptr || find(kLink) != nullptr;
  }
  [[nodiscard]] bool is_dataset() const noexcept { return find(kLayout) != nullptr; }
};

[[nodiscard]] Object read_object(const Image& image, std::uint64_t address, std::string_view place);

/// Names and the addresses of their object headers.
using Links = std::map<std::string, std::uint64_t, std::less<>>;
[[nodiscard]] Links read_links(const Image& image, const Object& object, std::string_view place);

struct Attribute {
  Bytes type;
  Bytes space;
  Bytes data;
};
[[nodiscard]] std::optional<Attribute> find_attribute(const Image& image, const Object& object, std::string_view name,
                                                      std::string_view place);

class File {
 public:
  File(OwnedBytes file, Where where, std::uint64_t source_bytes)
      : where_(std::move(where)), image_(std::move(file), where_.text(), source_bytes) {}

  struct Node {
    Object object;
    std::optional<Links> links;
  };
  /// Nothing if there is no such object.
  [[nodiscard]] Node* find(std::string_view path);
  /// Throws missing.
  [[nodiscard]] Node& need(std::string_view path);
  [[nodiscard]] const Links& links_of(Node& node, std::string_view place);
  [[nodiscard]] const Where& where() const noexcept { return where_; }
  [[nodiscard]] std::string place_of(std::string_view path) const { return where_.object(path).text(); }
  [[nodiscard]] const Image& image() const noexcept { return image_; }

 private:
  Node& node_at(std::uint64_t address, std::string_view place);

  Where where_;
  Image image_;
  std::map<std::uint64_t, Node> nodes_;
  std::map<std::uint64_t, std::pair<std::uint64_t, std::string>> parents_;  // groups form a tree: each has one parent and name
};

}  // namespace lamella::keras::hdf5
