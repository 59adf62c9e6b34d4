// SPDX-License-Identifier: Apache-2.0
#include "keras/zip/crc32.hpp"

#include <zlib.h>

#include <algorithm>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace lamella::keras {

namespace {

/// zlib's, for sizes beyond a uInt. `crc` is the CRC of the preceding bytes.
std::uint32_t plain(std::uint32_t crc, Bytes bytes) noexcept {
  while (!bytes.empty()) {
    const std::size_t n = std::min(bytes.size(), std::size_t{1} << 30U);
    crc = static_cast<std::uint32_t>(::crc32(crc, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(n)));
    bytes = bytes.subspan(n);
  }
  return crc;
}

#if defined(__x86_64__)

constexpr std::size_t kStep = 64;

__attribute__((target("pclmul,sse4.1"))) __m128i load(const std::byte* p) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}

/// The residue `x` shifted by the distance whose two powers are in `powers`, plus the bytes at that place.
__attribute__((target("pclmul,sse4.1"))) __m128i fold(__m128i x, __m128i powers, __m128i next) {
  const __m128i low = _mm_clmulepi64_si128(x, powers, 0x00);
  const __m128i high = _mm_clmulepi64_si128(x, powers, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

/// Polynomial residues of four 16-byte lanes, folded 64 bytes at a time and finally into one lane, which zlib finishes together
/// with the tail. The powers are x^(n+32) and x^(n-32) mod P, bit-reflected, for n of 512 and of 128 bits.
__attribute__((target("pclmul,sse4.1"))) std::uint32_t folded(Bytes bytes) noexcept {
  const __m128i by_512 = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4);
  const __m128i by_128 = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0);
  const std::byte* p = bytes.data();
  const std::byte* const last = p + bytes.size() / kStep * kStep;
  __m128i a = _mm_xor_si128(load(p), _mm_cvtsi32_si128(-1));  // a CRC begins with all ones
  __m128i b = load(p + 16);
  __m128i c = load(p + 32);
  __m128i d = load(p + 48);
  for (p += kStep; p != last; p += kStep) {
    a = fold(a, by_512, load(p));
    b = fold(b, by_512, load(p + 16));
    c = fold(c, by_512, load(p + 32));
    d = fold(d, by_512, load(p + 48));
  }
  a = fold(fold(fold(a, by_128, b), by_128, c), by_128, d);
  std::byte rest[16];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(rest), a);
  return plain(plain(0xFFFF'FFFFU, rest), bytes.subspan(bytes.size() / kStep * kStep));
}

#endif

}  // namespace

std::uint32_t crc32(Bytes bytes) noexcept {
#if defined(__x86_64__)
  static const bool has_products = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
  if (has_products && bytes.size() >= 2 * kStep) return folded(bytes);
#endif
  return plain(0, bytes);
}

}  // namespace lamella::keras
