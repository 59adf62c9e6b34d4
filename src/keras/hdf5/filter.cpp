// SPDX-License-Identifier: Apache-2.0
#include "keras/hdf5/checksum.hpp"
#include "keras/hdf5/chunk.hpp"
#include "keras/zip/inflate.hpp"

namespace lamella::keras::hdf5 {

namespace {

constexpr std::uint16_t kDeflate = 1;
constexpr std::uint16_t kShuffle = 2;
constexpr std::uint16_t kFletcher = 3;
constexpr std::size_t kMaxFilters = 32;
constexpr std::size_t kSumSize = 4;

std::string_view name_of(std::uint16_t id) {
  switch (id) {
    case 4:
      return " (szip)";
    case 5:
      return " (nbit)";
    case 6:
      return " (scaleoffset)";
    case 32000:
      return " (lzf)";
    case 32001:
      return " (blosc)";
    case 32015:
      return " (zstd)";
    default:
      return "";
  }
}

/// The bytes of each element were stored apart, all first bytes together; a partial element is at the end.
OwnedBytes unshuffled(const OwnedBytes& in, std::size_t element) {
  const Buffer out(in.bytes.size());
  const std::size_t count = in.bytes.size() / element;
  for (std::size_t b = 0; b < element; ++b) {
    for (std::size_t i = 0; i < count; ++i) out.data[i * element + b] = in.bytes[b * count + i];
  }
  for (std::size_t i = count * element; i < in.bytes.size(); ++i) out.data[i] = in.bytes[i];
  return out.freeze();
}

OwnedBytes unsummed(const OwnedBytes& in, std::string_view place) {
  if (in.bytes.size() < kSumSize)
    fail(ErrorCode::hdf5, place, "a chunk of {} bytes has no room for its fletcher32 sum", in.bytes.size());
  const Bytes data = in.bytes.first(in.bytes.size() - kSumSize);
  ByteReader reader(in.bytes.last(kSumSize), ErrorCode::hdf5, place, "fletcher32 sum");
  if (reader.u32() != fletcher32(data))
    fail(ErrorCode::hdf5, place, "a chunk's fletcher32 sum does not match its bytes: the file is damaged");
  return {in.owner, data};
}

}  // namespace

std::vector<Filter> read_filters(const Object& object, std::string_view place) {
  if (object.find(kFilters) == nullptr) return {};
  ByteReader reader(object.need(kFilters, "filter pipeline", place).body, ErrorCode::hdf5, place, "filter pipeline message");
  const int version = reader.u8();
  if (version != 1 && version != 2) fail(ErrorCode::hdf5, place, "filter pipeline version {}, allowed 1 and 2", version);
  const std::size_t count = reader.u8();
  if (count > kMaxFilters) fail(ErrorCode::limit, place, "{} filters, allowed {}", count, kMaxFilters);
  if (version == 1) reader.skip(6);
  std::vector<Filter> filters;
  for (std::size_t i = 0; i < count; ++i) {
    Filter filter;
    filter.id = reader.u16();
    const std::uint16_t name_size = version == 1 || filter.id >= 256 ? reader.u16() : std::uint16_t{0};
    filter.optional = (reader.u16() & 1U) != 0;
    const std::uint16_t values = reader.u16();
    reader.skip(name_size);
    reader.skip(4U * values);
    if (version == 1 && values % 2 == 1) reader.skip(4);
    if (filter.id != kDeflate && filter.id != kShuffle && filter.id != kFletcher) {
      fail(ErrorCode::unsupported, place, "filter {}{}, allowed deflate, shuffle, fletcher32", filter.id, name_of(filter.id));
    }
    filters.push_back(filter);
  }
  return filters;
}

OwnedBytes unfiltered(const Image& image, Bytes stored, const std::vector<Filter>& filters, std::uint32_t mask,
                      std::uint64_t size, std::size_t element, std::string_view place) {
  OwnedBytes data{image.owner(), stored};
  for (std::size_t i = filters.size(); i-- > 0;) {
    if ((mask >> i & 1U) != 0) continue;
    if (filters[i].id == kFletcher) {
      data = unsummed(data, place);
    } else if (filters[i].id == kShuffle) {
      data = unshuffled(data, element);
    } else {
      const Buffer room(size + kSumSize * filters.size());
      const std::size_t got = inflate_into(data.bytes, {room.data, room.size}, Wrapping::zlib, ErrorCode::hdf5, place);
      data = {room.owner, Bytes{room.data, got}};
    }
  }
  if (data.bytes.size() != size) fail(ErrorCode::hdf5, place, "a chunk of {} bytes, expected {}", data.bytes.size(), size);
  return data;
}

}  // namespace lamella::keras::hdf5
