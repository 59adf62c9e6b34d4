// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <bit>

#include "keras/hdf5/checksum.hpp"
#include "keras/hdf5/file.hpp"

namespace lamella::keras::hdf5 {

namespace {

constexpr std::string_view kSignature("\x89HDF\r\n\x1a\n", 8);
constexpr std::uint64_t kFirstUserBlock = 512;
constexpr std::uint64_t kAlwaysAllowed = std::uint64_t{64} << 20U;
constexpr std::uint64_t kMaxRatio = 20;

bool signature_at(Bytes bytes, std::size_t at) noexcept {
  return at <= bytes.size() && bytes.size() - at >= kSignature.size() &&
         as_text(bytes.subspan(at, kSignature.size())) == kSignature;
}

}  // namespace

std::optional<std::size_t> find_superblock(Bytes bytes) noexcept {
  if (signature_at(bytes, 0)) return 0;
  for (std::size_t at = kFirstUserBlock; at < bytes.size(); at *= 2) {
    if (signature_at(bytes, at)) return at;
  }
  return std::nullopt;
}

Image::Image(OwnedBytes file, const std::string& where, std::uint64_t source_bytes)
    : file_(std::move(file)), owner_(file_.owner), source_bytes_(source_bytes != 0 ? source_bytes : file_.bytes.size()) {
  read_superblock(where);
}

void Image::read_superblock(const std::string& where) {
  const auto start = find_superblock(file_.bytes);
  if (!start) fail(ErrorCode::hdf5, where, "no HDF5 signature");
  start_ = *start;
  bytes_ = file_.bytes.subspan(*start);
  ByteReader reader(bytes_, ErrorCode::hdf5, where, "superblock");
  reader.skip(kSignature.size());
  const int version = reader.u8();
  if (version > 3) fail(ErrorCode::hdf5, where, "superblock version {}, allowed 0 to 3", version);
  if (version < 2) {
    if (reader.u8() != 0 || reader.u8() != 0)
      fail(ErrorCode::hdf5, where, "superblock: unknown free space or root group version");
    reader.skip(1);
    if (reader.u8() != 0) fail(ErrorCode::hdf5, where, "superblock: unknown shared message version");
  }
  offset_size_ = reader.u8();
  length_size_ = reader.u8();
  const auto known = [](std::size_t size) { return size == 2 || size == 4 || size == 8; };
  if (!known(offset_size_) || !known(length_size_)) {
    fail(ErrorCode::hdf5, where, "superblock: offsets of {} and lengths of {} bytes, allowed 2, 4, 8", offset_size_,
         length_size_);
  }
  if (version < 2) return read_old_superblock(reader, version, where);
  reader.skip(1);
  const std::uint64_t base = address(reader);
  static_cast<void>(address(reader));  // the extension holds hints about drivers and free space
  const std::uint64_t end = address(reader);
  root_ = address(reader);
  check_sum(0, reader.at() + 4, "superblock", where);
  if (base != start_) fail(ErrorCode::hdf5, where, "superblock: base address {}, but it is at byte {}", base, start_);
  if (end > file_.bytes.size()) {
    fail(ErrorCode::hdf5, where, "truncated: the superblock says {} bytes, the file has {}", end, file_.bytes.size());
  }
}

void Image::read_old_superblock(ByteReader& reader, int version, const std::string& where) {
  reader.skip(version == 1 ? 13 : 9);  // sizes of B-tree nodes, and flags
  const std::uint64_t base = address(reader);
  static_cast<void>(address(reader));
  const std::uint64_t end = address(reader);
  const std::uint64_t driver = address(reader);
  static_cast<void>(address(reader));  // the root has no name
  root_ = address(reader);
  if (base != start_) fail(ErrorCode::hdf5, where, "superblock: base address {}, but it is at byte {}", base, start_);
  if (driver != kUndefined) fail(ErrorCode::unsafe, where, "superblock: a driver block (data split over several files)");
  if (end > file_.bytes.size()) {
    fail(ErrorCode::hdf5, where, "truncated: the superblock says {} bytes, the file has {}", end, file_.bytes.size());
  }
}

std::uint64_t Image::address(ByteReader& reader) const {
  const std::uint64_t value = reader.uint(offset_size_);
  const std::uint64_t undefined = offset_size_ == 8 ? kUndefined : (std::uint64_t{1} << (8 * offset_size_)) - 1;
  return value == undefined ? kUndefined : value;
}

ByteReader Image::at(std::uint64_t address, std::string_view what, std::string_view place) const {
  if (address >= bytes_.size())
    fail(ErrorCode::hdf5, place, "{} at address {} is outside the file of {} bytes", what, address, bytes_.size());
  return {bytes_.subspan(static_cast<std::size_t>(address)), ErrorCode::hdf5, place, what};
}

Bytes Image::range(std::uint64_t address, std::uint64_t size, std::string_view what, std::string_view place) const {
  if (size > bytes_.size() || address > bytes_.size() - size) {
    fail(ErrorCode::hdf5, place, "{}: {} bytes at address {} reach outside the file of {} bytes", what, size, address,
         bytes_.size());
  }
  return bytes_.subspan(static_cast<std::size_t>(address), static_cast<std::size_t>(size));
}

ByteReader Image::block(std::uint64_t address, std::string_view magic, std::string_view what, std::string_view place) const {
  ByteReader reader = at(address, what, place);
  if (reader.text(magic.size()) != magic) fail(ErrorCode::hdf5, place, "no {} at address {}", what, address);
  return reader;
}

void Image::check_sum(std::uint64_t address, std::uint64_t size, std::string_view what, std::string_view place) const {
  const Bytes all = range(address, size, what, place);
  if (all.size() < 4) fail(ErrorCode::hdf5, place, "{} is too short for its checksum", what);
  ByteReader stored(all.last(4), ErrorCode::hdf5, place, what);
  if (stored.u32() != lookup3(all.first(all.size() - 4))) {
    fail(ErrorCode::hdf5, place, "{} at address {}: its checksum does not match, the file is damaged", what, address);
  }
}

void Image::charge(std::uint64_t bytes, std::string_view place) const {
  const std::uint64_t allowed =
      std::max(kAlwaysAllowed, core::checked_mul<std::uint64_t>(source_bytes_, kMaxRatio).value_or(kUndefined));
  if (bytes > allowed || charged_ > allowed - bytes) {
    fail(ErrorCode::limit, place, "needs {} bytes after {} already used, allowed {} for this file", bytes, charged_, allowed);
  }
  charged_ += bytes;
}

}  // namespace lamella::keras::hdf5
