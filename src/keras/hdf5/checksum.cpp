// SPDX-License-Identifier: Apache-2.0
#include "keras/hdf5/checksum.hpp"

#include <algorithm>
#include <bit>

namespace lamella::keras::hdf5 {

namespace {

struct State {
  std::uint32_t a, b, c;

  void mix() noexcept {
    a -= c, a ^= std::rotl(c, 4), c += b;
    b -= a, b ^= std::rotl(a, 6), a += c;
    c -= b, c ^= std::rotl(b, 8), b += a;
    a -= c, a ^= std::rotl(c, 16), c += b;
    b -= a, b ^= std::rotl(a, 19), a += c;
    c -= b, c ^= std::rotl(b, 4), b += a;
  }
  void finish() noexcept {
    c ^= b, c -= std::rotl(b, 14);
    a ^= c, a -= std::rotl(c, 11);
    b ^= a, b -= std::rotl(a, 25);
    c ^= b, c -= std::rotl(b, 16);
    a ^= c, a -= std::rotl(c, 4);
    b ^= a, b -= std::rotl(a, 14);
    c ^= b, c -= std::rotl(b, 24);
  }
};

/// Up to four bytes as a little-endian word, padded with zeros.
std::uint32_t word(Bytes bytes, std::size_t at) noexcept {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4 && at + i < bytes.size(); ++i) value |= std::to_integer<std::uint32_t>(bytes[at + i]) << (8 * i);
  return value;
}

}  // namespace

std::uint32_t lookup3(Bytes bytes) noexcept {
  const std::uint32_t start = 0xdeadbeefU + static_cast<std::uint32_t>(bytes.size());
  State state{start, start, start};
  if (bytes.empty()) return state.c;
  for (; bytes.size() > 12; bytes = bytes.subspan(12)) {
    state.a += word(bytes, 0), state.b += word(bytes, 4), state.c += word(bytes, 8);
    state.mix();
  }
  state.a += word(bytes, 0), state.b += word(bytes, 4), state.c += word(bytes, 8);
  state.finish();
  return state.c;
}

std::uint32_t fletcher32(Bytes bytes) noexcept {
  std::uint64_t first = 0;
  std::uint64_t second = 0;
  const auto fold = [](std::uint64_t sum) { return (sum & 0xFFFFU) + (sum >> 16U); };
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t end = std::min(bytes.size(), at + 720);  // 360 words cannot overflow the sums
    for (; at < end; at += 2) {
      const auto high = std::to_integer<std::uint64_t>(bytes[at]);
      const auto low = at + 1 < bytes.size() ? std::to_integer<std::uint64_t>(bytes[at + 1]) : 0;
      first += high << 8U | low;
      second += first;
    }
    first = fold(first);
    second = fold(second);
  }
  first = fold(first);
  second = fold(second);
  return static_cast<std::uint32_t>(second << 16U | first);
}

}  // namespace lamella::keras::hdf5
