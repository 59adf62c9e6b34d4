// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/math.hpp"

/// Bins of numbers by hashes of their decimal text, on both devices: those of TensorFlow's to_hash_bucket_fast (FarmHash's
/// Fingerprint64) and to_hash_bucket_strong (SipHash-2-4).
namespace lamella::ops {

struct HashRule {
  std::int64_t bins = 1;   ///< 1 or more
  std::int64_t first = 0;  ///< the number of the first bin
  bool masks = false;
  std::int64_t mask = 0;     ///< where `masks`: this number is in bin 0
  bool is_unsigned = false;  ///< the numbers are the bits of uint64
  bool keyed = false;        ///< SipHash, with these
  std::uint64_t key0 = 0;
  std::uint64_t key1 = 0;
  friend bool operator==(const HashRule&, const HashRule&) = default;
};

/// At most 20 characters. The first is the lowest byte of `words[0]`; bytes after the last are 0.
struct DecimalText {
  std::uint64_t word0 = 0;
  std::uint64_t word1 = 0;
  std::uint64_t word2 = 0;
  unsigned length = 0;

  LAMELLA_HD void put_before(unsigned character) {
    word2 = word2 << 8U | word1 >> 56U;
    word1 = word1 << 8U | word0 >> 56U;
    word0 = word0 << 8U | character;
    ++length;
  }
  /// Eight characters starting at index `at`, which is at most 15.
  [[nodiscard]] LAMELLA_HD std::uint64_t eight(unsigned at) const {
    const std::uint64_t low = at < 8 ? word0 : word1;
    const std::uint64_t high = at < 8 ? word1 : word2;
    const unsigned shift = at % 8 * 8;
    return shift == 0 ? low : low >> shift | high << (64U - shift);
  }
  [[nodiscard]] LAMELLA_HD std::uint64_t four(unsigned at) const { return eight(at) & 0xffffffffU; }
  [[nodiscard]] LAMELLA_HD std::uint64_t one(unsigned at) const { return eight(at) & 0xffU; }
};

LAMELLA_HD DecimalText decimal_text(std::int64_t number, bool is_unsigned) {
  const bool minus = !is_unsigned && number < 0;
  auto rest = static_cast<std::uint64_t>(number);
  if (minus) rest = 0 - rest;
  DecimalText text;
  do {
    text.put_before('0' + static_cast<unsigned>(rest % 10));
    rest /= 10;
  } while (rest != 0);
  if (minus) text.put_before('-');
  return text;
}

LAMELLA_HD std::uint64_t turned_right(std::uint64_t bits, unsigned by) { return bits >> by | bits << (64U - by); }
LAMELLA_HD std::uint64_t turned_left(std::uint64_t bits, unsigned by) { return turned_right(bits, 64U - by); }

/// Mixes two numbers into one.
LAMELLA_HD std::uint64_t farm_mixed(std::uint64_t a, std::uint64_t b, std::uint64_t factor) {
  std::uint64_t c = (a ^ b) * factor;
  c ^= c >> 47U;
  std::uint64_t d = (b ^ c) * factor;
  d ^= d >> 47U;
  return d * factor;
}

LAMELLA_HD std::uint64_t farm_hash(const DecimalText& text) {
  constexpr std::uint64_t kFirst = 0xc3a5c85c97cb3127U;
  constexpr std::uint64_t kSecond = 0xb492b66fbe98f273U;
  constexpr std::uint64_t kThird = 0x9ae16a3b2f90404fU;
  const unsigned n = text.length;
  const std::uint64_t factor = kThird + 2 * std::uint64_t{n};
  if (n > 16) {
    const std::uint64_t a = text.eight(0) * kSecond;
    const std::uint64_t b = text.eight(8);
    const std::uint64_t c = text.eight(n - 8) * factor;
    const std::uint64_t d = text.eight(n - 16) * kThird;
    return farm_mixed(turned_right(a + b, 43) + turned_right(c, 30) + d, a + turned_right(b + kThird, 18) + c, factor);
  }
  if (n >= 8) {
    const std::uint64_t a = text.eight(0) + kThird;
    const std::uint64_t b = text.eight(n - 8);
    return farm_mixed(turned_right(b, 37) * factor + a, (turned_right(a, 25) + b) * factor, factor);
  }
  if (n >= 4) return farm_mixed(n + (text.four(0) << 3U), text.four(n - 4), factor);
  const std::uint64_t a = text.one(0) + (text.one(n / 2) << 8U);
  const std::uint64_t b = n + (text.one(n - 1) << 2U);
  std::uint64_t mixed = (a * kThird) ^ (b * kFirst);
  mixed ^= mixed >> 47U;
  return mixed * kThird;
}

struct SipState {
  std::uint64_t a, b, c, d;

  LAMELLA_HD void rounds(int count) {
    for (int i = 0; i < count; ++i) {
      a += b;
      c += d;
      b = turned_left(b, 13) ^ a;
      d = turned_left(d, 16) ^ c;
      a = turned_left(a, 32);
      c += b;
      a += d;
      b = turned_left(b, 17) ^ c;
      d = turned_left(d, 21) ^ a;
      c = turned_left(c, 32);
    }
  }
  LAMELLA_HD void take(std::uint64_t word) {
    d ^= word;
    rounds(2);
    a ^= word;
  }
};

LAMELLA_HD std::uint64_t sip_hash(const DecimalText& text, std::uint64_t key0, std::uint64_t key1) {
  SipState state{key0 ^ 0x736f6d6570736575U, key1 ^ 0x646f72616e646f6dU, key0 ^ 0x6c7967656e657261U, key1 ^ 0x7465646279746573U};
  if (text.length >= 8) state.take(text.word0);
  if (text.length >= 16) state.take(text.word1);
  const std::uint64_t rest = text.length >= 16 ? text.word2 : text.length >= 8 ? text.word1 : text.word0;
  state.take(rest | std::uint64_t{text.length} << 56U);
  state.c ^= 0xffU;
  state.rounds(4);
  return state.a ^ state.b ^ state.c ^ state.d;
}

LAMELLA_HD std::int64_t bin_of(std::int64_t number, const HashRule& rule) {
  if (rule.masks && number == rule.mask) return 0;
  const DecimalText text = decimal_text(number, rule.is_unsigned);
  const std::uint64_t hash = rule.keyed ? sip_hash(text, rule.key0, rule.key1) : farm_hash(text);
  return rule.first + static_cast<std::int64_t>(hash % static_cast<std::uint64_t>(rule.bins));
}

}  // namespace lamella::ops
