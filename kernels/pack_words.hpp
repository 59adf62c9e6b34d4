// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/storage.hpp"

/// Packs whose loads can be in flight together.
namespace lamella::kernels {

/// A pack as loaded words: unpacking it early would wait for its load before the next load starts.
template <typename E, int kWidth>
struct alignas(kWidth * sizeof(E) < 16 ? kWidth * sizeof(E) : 16) PackWords {
  template <std::size_t kBytes>
  using Bits = std::conditional_t<
      kBytes == 8, std::uint64_t,
      std::conditional_t<kBytes == 4, std::uint32_t, std::conditional_t<kBytes == 2, std::uint16_t, std::uint8_t>>>;
  using Element = Bits<sizeof(E)>;
  using Word = std::conditional_t<kWidth * sizeof(E) % 4 == 0, std::uint32_t, Element>;
  static constexpr int kCount = static_cast<int>(kWidth * sizeof(E) / sizeof(Word));
  static constexpr int kPerWord = sizeof(E) < sizeof(Word) ? static_cast<int>(sizeof(Word) / sizeof(E)) : 1;
  Word at[kCount];

  [[nodiscard]] LAMELLA_DEVICE E element(int k) const {
    if constexpr (sizeof(E) > sizeof(Word)) {
      return __builtin_bit_cast(E, static_cast<Element>(at[2 * k + 1]) << 32U | at[2 * k]);
    } else {
      return __builtin_bit_cast(E, static_cast<Element>(at[k / kPerWord] >> k % kPerWord * 8 * sizeof(E)));
    }
  }
  /// In order of k.
  LAMELLA_DEVICE void put(int k, E x) {
    const auto bits = __builtin_bit_cast(Element, x);
    if constexpr (sizeof(E) > sizeof(Word)) {
      at[2 * k] = static_cast<Word>(bits);
      at[2 * k + 1] = static_cast<Word>(bits >> 32U);
    } else {
      const Word placed = static_cast<Word>(bits) << k % kPerWord * 8 * sizeof(E);
      at[k / kPerWord] = k % kPerWord == 0 ? placed : static_cast<Word>(at[k / kPerWord] | placed);
    }
  }
};

/// A pack of numbers, each rounded to T.
template <typename T, int kWidth, typename C>
LAMELLA_DEVICE PackWords<T, kWidth> narrow(const Pack<C, kWidth>& x) {
  PackWords<T, kWidth> result;
  LAMELLA_UNROLL
  for (int k = 0; k < kWidth; ++k) result.put(k, narrow<T>(x.at[k]));
  return result;
}

}  // namespace lamella::kernels
