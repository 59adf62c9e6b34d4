// SPDX-License-Identifier: Apache-2.0
#include "keras/zip/archive.hpp"

#include <algorithm>
#include <optional>
#include <set>

#include "keras/zip/crc32.hpp"
#include "keras/zip/format.hpp"
#include "keras/zip/inflate.hpp"

namespace lamella::keras {

namespace {

constexpr std::uint64_t kMaxComment = 0xFFFF;

constexpr std::uint16_t kEncrypted = 1U << 0U;
constexpr std::uint16_t kStreamed = 1U << 3U;  // sizes follow the data
constexpr std::uint16_t kPatched = 1U << 5U;
constexpr std::uint16_t kStrongEncryption = 1U << 6U;
constexpr std::uint16_t kMaskedHeaders = 1U << 13U;

constexpr std::uint32_t kFileType = 0170000;  // of the Unix mode, which is in the upper half
constexpr std::uint32_t kSymbolicLink = 0120000;

constexpr std::uint64_t kMaxName = 1024;
constexpr std::uint64_t kAlwaysAllowed = std::uint64_t{64} << 20U;  // unpacked bytes allowed at any ratio
constexpr std::uint64_t kMaxRatio = 20;
constexpr std::uint64_t kMaxSize = std::uint64_t{1} << 62U;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

bool climbs(std::string_view name) {
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find('/', begin), name.size());
    if (name.substr(begin, end - begin) == "..") return true;
    begin = end + 1;
  }
  return false;
}

void check_name(std::string_view name, const Where& where) {
  if (const auto bad = bad_name(name)) where.fail(bad->code, "member '{}': the name {}", core::escaped(name), bad->why);
}

std::uint64_t unpacked_limit(std::uint64_t packed) {
  return std::max(kAlwaysAllowed, core::checked_mul(packed, kMaxRatio).value_or(kMaxSize));
}

}  // namespace

std::optional<BadName> bad_name(std::string_view name) {
  if (name.size() > kMaxName) return BadName{ErrorCode::limit, "is longer than 1024 bytes"};
  if (name.empty()) return BadName{ErrorCode::archive, "is empty"};
  if (name.find('\0') != std::string_view::npos) return BadName{ErrorCode::unsafe, "holds a NUL byte"};
  if (name.find('\\') != std::string_view::npos) return BadName{ErrorCode::unsafe, "holds a backslash"};
  if (name.front() == '/' || (name.size() > 1 && name[1] == ':')) return BadName{ErrorCode::unsafe, "is absolute"};
  if (climbs(name)) return BadName{ErrorCode::unsafe, "leaves the archive through '..'"};
  return std::nullopt;
}

bool Archive::looks_like(Bytes bytes) noexcept {
  const std::string_view head = as_text(bytes.first(std::min<std::size_t>(bytes.size(), 4)));
  return head == std::string_view("PK\x03\x04", 4) || head == std::string_view("PK\x05\x06", 4);
}

Archive::Archive(OwnedBytes file, Where where) : file_(std::move(file)), where_(std::move(where)) {
  const Directory directory = find_directory();
  read_directory(directory);
  check_coverage(directory);
}

Archive::Directory Archive::find_directory() const {
  const Bytes bytes = file_.bytes;
  if (bytes.size() < zip::kEndSize) where_.fail(ErrorCode::archive, "not a zip archive: {} bytes are too few", bytes.size());
  std::optional<std::uint64_t> found;
  const std::uint64_t last = bytes.size() - zip::kEndSize;
  for (std::uint64_t at = last + 1; at-- > (last > kMaxComment ? last - kMaxComment : 0);) {
    if (bytes[at] != std::byte{'P'}) continue;
    ByteReader reader(bytes.subspan(at), ErrorCode::archive, where_.text(), "end record");
    if (reader.u32() != zip::kEndMagic) continue;
    reader.skip(zip::kEndSize - 6);
    if (reader.u16() != last - at) continue;  // the comment must reach the end of the file
    if (found) where_.fail(ErrorCode::archive, "two end records, at bytes {} and {}", at, *found);
    found = at;
  }
  if (!found) where_.fail(ErrorCode::archive, "no end record: the archive is truncated, or not a zip archive");

  ByteReader reader(bytes.subspan(*found), ErrorCode::archive, where_.text(), "end record");
  reader.skip(4);
  const std::uint16_t disk = reader.u16();
  const std::uint16_t first_disk = reader.u16();
  const std::uint16_t entries_here = reader.u16();
  Directory directory;
  directory.entries = reader.u16();
  directory.size = reader.u32();
  directory.begin = reader.u32();
  directory.end = *found;
  if (disk != 0 || first_disk != 0 || entries_here != directory.entries)
    where_.fail(ErrorCode::archive, "spread over several disks");
  read_zip64(directory, *found);
  if (directory.entries > zip::kMaxEntries) {
    where_.fail(ErrorCode::limit, "{} members, allowed {}", directory.entries, zip::kMaxEntries);
  }
  const auto end = core::checked_add(directory.begin, directory.size);
  if (!end) where_.fail(ErrorCode::overflow, "directory of {} bytes at byte {}", directory.size, directory.begin);
  if (*end != directory.end) {
    where_.fail(ErrorCode::archive, "the directory ends at byte {}, the end record begins at {}", *end, directory.end);
  }
  return directory;
}

void Archive::read_zip64(Directory& directory, std::uint64_t end_record) const {
  const bool needed = directory.entries == 0xFFFF || directory.size == 0xFFFF'FFFF || directory.begin == 0xFFFF'FFFF;
  if (end_record < zip::kLocator64Size + zip::kEnd64Size) {
    if (needed) where_.fail(ErrorCode::archive, "the end record requires a zip64 record, which is missing");
    return;
  }
  ByteReader locator(file_.bytes.subspan(end_record - zip::kLocator64Size, zip::kLocator64Size), ErrorCode::archive,
                     where_.text(), "zip64 locator");
  if (locator.u32() != zip::kLocator64Magic) {
    if (directory.size == 0xFFFF'FFFF || directory.begin == 0xFFFF'FFFF) {
      where_.fail(ErrorCode::archive, "the end record requires a zip64 record, which is missing");
    }
    return;  // exactly 65535 members need none
  }
  const std::uint32_t disk = locator.u32();
  const std::uint64_t at = locator.u64();
  if (disk != 0 || locator.u32() > 1) where_.fail(ErrorCode::archive, "spread over several disks");
  if (at != end_record - zip::kLocator64Size - zip::kEnd64Size) {
    where_.fail(at > file_.bytes.size() ? ErrorCode::overflow : ErrorCode::archive,
                "the zip64 end record should begin at byte {}, expected right before its locator", at);
  }
  ByteReader record(file_.bytes.subspan(at, zip::kEnd64Size), ErrorCode::archive, where_.text(), "zip64 end record");
  if (record.u32() != zip::kEnd64Magic) where_.fail(ErrorCode::archive, "no zip64 end record at byte {}", at);
  if (record.u64() != zip::kEnd64Size - 12)
    where_.fail(ErrorCode::archive, "the zip64 end record has another size than 56 bytes");
  record.skip(4);
  const bool one_disk = record.u32() == 0 && record.u32() == 0;
  Directory wide = directory;
  const std::uint64_t entries_here = record.u64();
  wide.entries = record.u64();
  wide.size = record.u64();
  wide.begin = record.u64();
  wide.end = at;
  if (!one_disk || entries_here != wide.entries) where_.fail(ErrorCode::archive, "spread over several disks");
  if (wide.size >= kMaxSize || wide.begin >= kMaxSize) {
    where_.fail(ErrorCode::overflow, "zip64 directory of {} bytes at byte {}", wide.size, wide.begin);
  }
  const auto agrees = [](std::uint64_t narrow, std::uint64_t value, std::uint64_t full) {
    return narrow == full || narrow == value;
  };
  if (!agrees(directory.entries, wide.entries, 0xFFFF) || !agrees(directory.size, wide.size, 0xFFFF'FFFF) ||
      !agrees(directory.begin, wide.begin, 0xFFFF'FFFF)) {
    where_.fail(ErrorCode::archive, "the end record and the zip64 end record disagree");
  }
  directory = wide;
}

Archive::Entry Archive::read_entry(ByteReader& reader, std::string& name) const {
  Entry entry;
  const std::uint16_t made_by = reader.u16();
  reader.skip(2);
  entry.flags = reader.u16();
  entry.method = reader.u16();
  reader.skip(4);
  entry.crc = reader.u32();
  entry.packed = reader.u32();
  entry.size = reader.u32();
  const std::uint16_t name_size = reader.u16();
  const std::uint16_t extra_size = reader.u16();
  const std::uint16_t comment_size = reader.u16();
  std::uint32_t disk = reader.u16();
  reader.skip(2);
  const std::uint32_t attributes = reader.u32();
  entry.header = reader.u32();
  name = reader.text(name_size);
  check_name(name, where_);
  const Where place = where_.member(name);

  ByteReader extra(reader.bytes(extra_size), ErrorCode::archive, place.text(), "extra field");
  while (extra.left() >= 4) {
    const std::uint16_t id = extra.u16();
    ByteReader field(extra.bytes(extra.u16()), ErrorCode::archive, place.text(), "zip64 field");
    if (id != 1) continue;
    if (entry.size == 0xFFFF'FFFF) entry.size = field.u64();
    if (entry.packed == 0xFFFF'FFFF) entry.packed = field.u64();
    if (entry.header == 0xFFFF'FFFF) entry.header = field.u64();
    if (disk == 0xFFFF) disk = field.u32();
  }
  reader.skip(comment_size);
  if (disk != 0) place.fail(ErrorCode::archive, "is on another disk");
  if (((attributes >> 16U) & kFileType) == kSymbolicLink && (made_by >> 8U) == zip::kUnix)
    place.fail(ErrorCode::unsafe, "is a symbolic link");
  return entry;
}

void Archive::check_entry(const Where& place, const Entry& entry) const {
  if (entry.size >= kMaxSize || entry.packed >= kMaxSize || entry.header >= kMaxSize) {
    place.fail(ErrorCode::overflow, "size {}, packed {}, at byte {}", entry.size, entry.packed, entry.header);
  }
  if ((entry.flags & (kEncrypted | kStrongEncryption | kMaskedHeaders)) != 0) place.fail(ErrorCode::unsupported, "is encrypted");
  if ((entry.flags & kPatched) != 0) place.fail(ErrorCode::unsupported, "holds patch data");
  if (entry.method != zip::kStore && entry.method != zip::kDeflate) {
    place.fail(ErrorCode::unsupported, "compression method {}, allowed 0 (stored) and 8 (deflate)", entry.method);
  }
  if (entry.method == zip::kStore && entry.packed != entry.size) {
    place.fail(ErrorCode::archive, "stored, yet its sizes {} and {} differ", entry.packed, entry.size);
  }
  if (entry.packed > file_.bytes.size()) place.fail(ErrorCode::archive, "{} bytes are more than the file has", entry.packed);
  if (entry.size > unpacked_limit(entry.packed)) {
    place.fail(ErrorCode::limit, "{} bytes that unpack to {}, allowed {}", entry.packed, entry.size,
               unpacked_limit(entry.packed));
  }
}

void Archive::read_directory(const Directory& directory) {
  if (directory.entries > directory.size / zip::kCentralSize) {
    where_.fail(ErrorCode::archive, "{} members do not fit into a directory of {} bytes", directory.entries, directory.size);
  }
  ByteReader reader(file_.bytes.subspan(directory.begin, directory.size), ErrorCode::archive, where_.text(), "directory");
  std::set<std::string> seen;
  std::uint64_t unpacked = 0;
  const std::uint64_t allowed = 4 * unpacked_limit(file_.bytes.size());
  for (std::uint64_t i = 0; i < directory.entries; ++i) {
    if (reader.u32() != zip::kCentralMagic)
      where_.fail(ErrorCode::archive, "no directory entry for member {} of {}", i, directory.entries);
    std::string name;
    Entry entry = read_entry(reader, name);
    check_entry(where_.member(name), entry);
    if (!seen.insert(lower(name)).second) where_.member(name).fail(ErrorCode::archive, "appears twice in the archive");
    unpacked += entry.size;
    if (unpacked > allowed)
      where_.fail(ErrorCode::limit, "its members unpack to {} bytes or more, allowed {}", unpacked, allowed);
    check_local(name, entry, directory);
    names_.push_back(name);
    entries_.emplace(std::move(name), entry);
  }
  if (reader.left() != 0) where_.fail(ErrorCode::archive, "{} bytes of the directory belong to no member", reader.left());
}

/// A reader that walks from header to header must see what the directory says.
void Archive::check_local(const std::string& name, Entry& entry, const Directory& directory) const {
  const Where place = where_.member(name);
  if (entry.header > directory.begin)
    place.fail(ErrorCode::archive, "begins at byte {}, after the end of the members", entry.header);
  ByteReader reader(file_.bytes.first(directory.begin).subspan(entry.header), ErrorCode::archive, place.text(), "local header");
  if (reader.u32() != zip::kLocalMagic) place.fail(ErrorCode::archive, "no local header at byte {}", entry.header);
  reader.skip(2);
  const std::uint16_t flags = reader.u16();
  const std::uint16_t method = reader.u16();
  reader.skip(4);
  const std::uint32_t crc = reader.u32();
  std::uint64_t packed = reader.u32();
  std::uint64_t size = reader.u32();
  const std::uint16_t name_size = reader.u16();
  const std::uint16_t extra_size = reader.u16();
  if (reader.text(name_size) != name) place.fail(ErrorCode::archive, "has another name in its local header");
  ByteReader extra(reader.bytes(extra_size), ErrorCode::archive, place.text(), "local extra field");
  bool wide = false;
  while (extra.left() >= 4) {
    const std::uint16_t id = extra.u16();
    ByteReader field(extra.bytes(extra.u16()), ErrorCode::archive, place.text(), "local zip64 field");
    if (id != 1) continue;
    wide = true;
    if (size == 0xFFFF'FFFF) size = field.u64();
    if (packed == 0xFFFF'FFFF) packed = field.u64();
  }
  const auto differs = [&](std::string_view what) {
    place.fail(ErrorCode::archive, "local header and directory disagree about {}", what);
  };
  if (method != entry.method) differs("the method");
  if (((flags ^ entry.flags) & (kEncrypted | kStreamed | kPatched | kStrongEncryption | kMaskedHeaders)) != 0)
    differs("the flags");
  const bool later = (entry.flags & kStreamed) != 0;
  if (crc != entry.crc && !(later && crc == 0)) differs("the CRC");
  if (packed != entry.packed && !(later && packed == 0)) differs("the packed size");
  if (size != entry.size && !(later && size == 0)) differs("the size");

  entry.data = entry.header + reader.at();
  reader.skip(entry.packed);
  entry.end = entry.header + reader.at();
  if (!later) return;
  const auto number = [&] { return wide ? reader.u64() : std::uint64_t{reader.u32()}; };
  std::uint32_t first = reader.u32();
  if (first == zip::kDescriptorMagic) first = reader.u32();
  if (first != entry.crc) differs("the CRC after the data");
  if (number() != entry.packed || number() != entry.size) differs("the sizes after the data");
  entry.end = entry.header + reader.at();
}

/// Members fill the file from its first byte to the directory: no prefix, no overlap, no gap.
void Archive::check_coverage(const Directory& directory) const {
  std::map<std::uint64_t, std::pair<const std::string*, std::uint64_t>> by_header;
  for (const auto& [name, entry] : entries_) {
    if (!by_header.try_emplace(entry.header, &name, entry.end).second)
      where_.member(name).fail(ErrorCode::archive, "overlaps another member");
  }
  std::uint64_t end = 0;
  for (const auto& [header, member] : by_header) {
    if (header != end) {
      where_.member(*member.first)
          .fail(ErrorCode::archive, "begins at byte {}, expected {}: members may neither overlap nor leave gaps", header, end);
    }
    end = member.second;
  }
  if (end != directory.begin) {
    where_.fail(ErrorCode::archive, "the directory begins at byte {}, the members end at byte {}", directory.begin, end);
  }
}

OwnedBytes Archive::member(std::string_view name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) where_.fail(ErrorCode::missing, "no member '{}'", core::escaped(name));
  const Entry& entry = found->second;
  const Where place = where_.member(name);
  OwnedBytes result{file_.owner, file_.bytes.subspan(entry.data, entry.packed)};
  if (entry.method == zip::kDeflate) {
    const Buffer unpacked(entry.size);
    const std::size_t got =
        inflate_into(result.bytes, {unpacked.data, unpacked.size}, Wrapping::none, ErrorCode::archive, place.text());
    if (got != entry.size) place.fail(ErrorCode::archive, "unpacks to {} bytes, the directory says {}", got, entry.size);
    result = unpacked.freeze();
  }
  if (crc32(result.bytes) != entry.crc) place.fail(ErrorCode::archive, "its CRC does not match its bytes: the file is damaged");
  return result;
}

}  // namespace lamella::keras
