// SPDX-License-Identifier: Apache-2.0
#include "keras/zip/writer.hpp"

#include <zlib.h>

#include <algorithm>

#include "keras/zip/crc32.hpp"
#include "keras/zip/format.hpp"

namespace lamella::keras {
namespace {

constexpr std::uint64_t kNarrow = 0xFFFF'FFFF;  // placeholder for a number in a zip64 record
constexpr std::uint64_t kUtf8 = 1U << 11U;      // a flag: the name is not ASCII
constexpr std::uint64_t kPlain = 20;            // version 2.0 of the format
constexpr std::uint64_t kWide = 45;             // version 4.5, with zip64
constexpr std::uint64_t kReadable = 0100644U;   // a regular file
constexpr std::uint64_t kFirstDay = 0x21;       // 1980-01-01, the earliest there is
constexpr std::uint64_t kZip64 = 1;             // the extra field's number

/// Appends little-endian numbers.
class Record {
 public:
  Record& u16(std::uint64_t value) { return number(value, 2); }
  Record& u32(std::uint64_t value) { return number(value, 4); }
  Record& u64(std::uint64_t value) { return number(value, 8); }
  Record& text(std::string_view value) {
    bytes_ += value;
    return *this;
  }
  [[nodiscard]] const std::string& bytes() const noexcept { return bytes_; }

 private:
  Record& number(std::uint64_t value, int size) {
    for (int i = 0; i < size; ++i) bytes_ += static_cast<char>(value >> (8U * static_cast<unsigned>(i)) & 0xFFU);
    return *this;
  }
  std::string bytes_;
};

std::uint32_t crc_of(std::span<const Bytes> parts) {
  uLong crc = 0;
  for (const Bytes part : parts) crc = ::crc32_combine(crc, crc32(part), static_cast<z_off_t>(part.size()));
  return static_cast<std::uint32_t>(crc);
}

}  // namespace

void ArchiveWriter::write(const std::string& record) {
  file_.write(record.data(), record.size());
  at_ += record.size();
}

void ArchiveWriter::add(std::string_view name, std::span<const Bytes> parts) {
  if (++entries_ > zip::kMaxEntries)
    throw Error(ErrorCode::limit, core::format("an archive of more than {} members", zip::kMaxEntries));
  std::uint64_t size = 0;
  for (const Bytes part : parts) size += part.size();
  const bool wide = size >= kNarrow;
  const bool far = at_ >= kNarrow;
  const bool ascii = std::all_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  const std::uint64_t narrow = wide ? kNarrow : size;

  Record common;  // of the local header and of the directory's entry
  common.u16(wide || far ? kWide : kPlain).u16(ascii ? 0 : kUtf8).u16(zip::kStore).u16(0).u16(kFirstDay).u32(crc_of(parts));
  common.u32(narrow).u32(narrow).u16(name.size());
  Record sizes;
  if (wide) sizes.u64(size).u64(size);
  Record place = sizes;
  if (far) place.u64(at_);
  const auto extra = [](const Record& fields) {
    const std::size_t length = fields.bytes().size();
    return length == 0 ? "" : Record().u16(kZip64).u16(length).text(fields.bytes()).bytes();
  };
  const std::string local = extra(sizes);
  const std::string central = extra(place);
  directory_ += Record()
                    .u32(zip::kCentralMagic)
                    .u16((zip::kUnix << 8U) | (wide || far ? kWide : kPlain))
                    .text(common.bytes())
                    .u16(central.size())
                    .u16(0)  // comment
                    .u16(0)  // disk
                    .u16(0)  // internal attributes
                    .u32(kReadable << 16U)
                    .u32(far ? kNarrow : at_)
                    .text(name)
                    .text(central)
                    .bytes();
  write(Record().u32(zip::kLocalMagic).text(common.bytes()).u16(local.size()).text(name).text(local).bytes());
  for (const Bytes part : parts) {
    file_.write(part.data(), part.size());
    at_ += part.size();
  }
}

void ArchiveWriter::finish() {
  const std::uint64_t begin = at_;
  const std::uint64_t size = directory_.size();
  write(directory_);
  if (begin >= kNarrow || size >= kNarrow) {
    const std::uint64_t record = at_;
    write(Record()
              .u32(zip::kEnd64Magic)
              .u64(zip::kEnd64Size - 12)
              .u16((zip::kUnix << 8U) | kWide)
              .u16(kWide)
              .u32(0)
              .u32(0)
              .u64(entries_)
              .u64(entries_)
              .u64(size)
              .u64(begin)
              .bytes());
    write(Record().u32(zip::kLocator64Magic).u32(0).u64(record).u32(1).bytes());
  }
  Record end;
  end.u32(zip::kEndMagic).u16(0).u16(0).u16(entries_).u16(entries_);
  write(end.u32(std::min(size, kNarrow)).u32(std::min(begin, kNarrow)).u16(0).bytes());
  file_.finish();
}

}  // namespace lamella::keras
