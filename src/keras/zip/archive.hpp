// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "keras/bytes.hpp"
#include "keras/where.hpp"

namespace lamella::keras {

/// Why a member must not have this name; empty if it may.
struct BadName {
  ErrorCode code;
  std::string_view why;
};
[[nodiscard]] std::optional<BadName> bad_name(std::string_view name);

/// A zip archive, read strictly: anything that two readers could interpret differently is refused.
class Archive {
 public:
  /// Whether the bytes begin like a zip archive. The content decides, not the file's name.
  [[nodiscard]] static bool looks_like(Bytes bytes) noexcept;

  /// Checks the whole directory. Throws LoadError: archive, unsafe, unsupported, limit or overflow. `where` is the
  /// file.
  Archive(OwnedBytes file, Where where);

  [[nodiscard]] bool contains(std::string_view name) const { return entries_.contains(name); }
  /// A member's bytes, checked against size and CRC. A stored member shares the file's memory. Throws LoadError (missing,
  /// archive, limit).
  [[nodiscard]] OwnedBytes member(std::string_view name) const;
  /// In the order of the directory.
  [[nodiscard]] const std::vector<std::string>& names() const noexcept { return names_; }

 private:
  struct Entry {
    std::uint64_t header = 0;  // of the local header
    std::uint64_t data = 0;
    std::uint64_t end = 0;  // of the data and the descriptor after it
    std::uint64_t packed = 0;
    std::uint64_t size = 0;
    std::uint32_t crc = 0;
    std::uint16_t method = 0;
    std::uint16_t flags = 0;
  };
  struct Directory {
    std::uint64_t begin = 0;
    std::uint64_t size = 0;
    std::uint64_t entries = 0;
    std::uint64_t end = 0;  // start of the records at the end of the archive
  };

  [[nodiscard]] Directory find_directory() const;
  void read_zip64(Directory& directory, std::uint64_t end_record) const;
  void read_directory(const Directory& directory);
  [[nodiscard]] Entry read_entry(ByteReader& reader, std::string& name) const;
  void check_entry(const Where& place, const Entry& entry) const;
  void check_local(const std::string& name, Entry& entry, const Directory& directory) const;
  void check_coverage(const Directory& directory) const;

  OwnedBytes file_;
  Where where_;
  std::map<std::string, Entry, std::less<>> entries_;
  std::vector<std::string> names_;
};

}  // namespace lamella::keras
