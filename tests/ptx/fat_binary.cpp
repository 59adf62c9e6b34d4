// SPDX-License-Identifier: Apache-2.0
#include "tests/ptx/fat_binary.hpp"

#include <cstdint>
#include <cstring>

#include "tests/ptx/ptx.hpp"

namespace ptx {
namespace {

struct Wrapper {
  std::uint32_t magic;  // 0x466243b1
  std::uint32_t version;
  const unsigned char* data;
  const void* more;
};
struct Header {
  std::uint32_t magic;  // 0xba55ed50
  std::uint16_t version;
  std::uint16_t header_bytes;
  std::uint64_t bytes;  // of the entries
};
/// The start of an entry's header, as far as needed; `header_bytes` is the size of all of it.
struct Entry {
  std::uint16_t kind;  // 1: PTX
  std::uint16_t version;
  std::uint32_t header_bytes;
  std::uint64_t bytes;
};
constexpr std::uint16_t kPtx = 1;

template <typename T>
T read(const unsigned char* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

}  // namespace

std::vector<std::string> texts_of_fat_binary(const void* wrapper) {
  const auto outer = read<Wrapper>(static_cast<const unsigned char*>(wrapper));
  const auto header = read<Header>(outer.data);
  if (outer.magic != 0x466243B1U || header.magic != 0xBA55ED50U) throw ParseError("no fat binary");
  std::vector<std::string> texts;
  const unsigned char* at = outer.data + header.header_bytes;
  for (const unsigned char* const end = at + header.bytes; at < end;) {
    const auto entry = read<Entry>(at);
    const char* const payload = reinterpret_cast<const char*>(at + entry.header_bytes);
    if (entry.kind == kPtx) {
      std::string text(payload, entry.bytes);
      text.resize(std::strlen(text.c_str()));  // padded with zeros
      if (text.find(".version") == std::string::npos)
        throw ParseError("PTX that is compressed; nvcc --no-compress leaves it as it is");
      texts.push_back(std::move(text));
    }
    at += entry.header_bytes + entry.bytes;
  }
  return texts;
}

}  // namespace ptx
