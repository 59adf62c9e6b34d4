// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "keras/hdf5/type.hpp"

namespace lamella::keras::hdf5 {

namespace {

constexpr std::uint64_t kMaxMissing = std::uint64_t{1} << 20U;

/// What libhdf5 returns for elements that were never written. Throws missing if it returns nothing or uninitialised memory.
Bytes fill_value(const Object& object, std::string_view place) {
  const Message* message = object.find(kFill);
  if (message == nullptr) {
    message = object.find(kOldFill);
    if (message == nullptr) return {};
    ByteReader reader(message->body, ErrorCode::hdf5, place, "old fill value message");
    return reader.bytes(reader.u32());
  }
  ByteReader reader(message->body, ErrorCode::hdf5, place, "fill value message");
  const int version = reader.u8();
  if (version < 1 || version > 3) fail(ErrorCode::hdf5, place, "fill value version {}, allowed 1 to 3", version);
  constexpr unsigned kNever = 1;
  unsigned time = 0;
  bool undefined = false;
  bool given = false;
  if (version == 3) {
    const unsigned flags = reader.u8();
    time = flags >> 2U & 3U;
    undefined = (flags & 0x10U) != 0;
    given = (flags & 0x20U) != 0;
  } else {
    reader.skip(1);
    time = reader.u8();
    given = reader.u8() != 0 || version == 1;
    undefined = !given;
  }
  if (undefined || time == kNever) {
    fail(ErrorCode::missing, place, "elements were never written, and the file has no value for them ({})",
         undefined ? "its fill value is undefined" : "its fill time is never");
  }
  return given ? reader.bytes(reader.u32()) : Bytes{};
}

OwnedBytes made_up(const Image& image, const Object& object, const Type& type, std::uint64_t bytes, std::string_view place) {
  check_missing(bytes, place);
  image.charge(bytes, place);
  const Buffer out(bytes);
  fill(object, type.size, {out.data, out.size}, place);
  return out.freeze();
}

}  // namespace

void check_missing(std::uint64_t bytes, std::string_view place) {
  if (bytes > kMaxMissing)
    fail(ErrorCode::limit, place, "{} bytes of its shape are not stored in the file, allowed {}", bytes, kMaxMissing);
}

void fill(const Object& object, std::size_t element_size, std::span<std::byte> out, std::string_view place) {
  if (out.empty()) return;
  const Bytes value = fill_value(object, place);
  if (value.empty()) {
    std::memset(out.data(), 0, out.size());
    return;
  }
  if (value.size() != element_size)
    fail(ErrorCode::hdf5, place, "a fill value of {} bytes for elements of {}", value.size(), element_size);
  for (std::size_t at = 0; at < out.size(); at += element_size) std::memcpy(out.data() + at, value.data(), element_size);
}

OwnedBytes read_elements(const Image& image, const Object& object, const Type& type, const Space& space, std::string_view place) {
  if (object.find(kExternalFiles) != nullptr) fail(ErrorCode::unsafe, place, "its data is in other files (external storage)");
  const auto bytes = core::checked_mul(space.elements, type.size);
  if (!bytes) fail(ErrorCode::overflow, place, "{} elements of {} bytes", space.elements, type.size);
  ByteReader layout(object.need(kLayout, "layout", place).body, ErrorCode::hdf5, place, "layout message");
  const int version = layout.u8();
  if (version < 3 || version > 5) fail(ErrorCode::unsupported, place, "layout version {}, allowed 3 to 5", version);
  const int kind = layout.u8();
  if (kind == 3) fail(ErrorCode::unsafe, place, "its data is in other datasets (virtual layout)");
  if (kind == 2) return read_chunks(image, object, layout, version, type, space, place);
  if (kind == 0) {
    const Bytes data = layout.bytes(layout.u16());
    if (data.size() != *bytes) fail(ErrorCode::hdf5, place, "{} bytes stored, its shape and type need {}", data.size(), *bytes);
    return {image.owner(), data};
  }
  if (kind != 1) fail(ErrorCode::hdf5, place, "layout class {}, allowed 0 to 3", kind);
  const std::uint64_t address = image.address(layout);
  const std::uint64_t size = image.length(layout);
  if (*bytes == 0) return {image.owner(), {}};
  if (address == kUndefined) return made_up(image, object, type, *bytes, place);
  if (size != *bytes) fail(ErrorCode::hdf5, place, "{} bytes stored, its shape and type need {}", size, *bytes);
  return {image.owner(), image.range(address, size, "contiguous data", place)};
}

}  // namespace lamella::keras::hdf5
