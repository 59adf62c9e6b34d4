// SPDX-License-Identifier: Apache-2.0
#include "cpu/dense/integer_panels.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "cpu/simd.hpp"

namespace lamella::cpu {
namespace {

/// Two inputs at a time, codes of 16 bits.
void integer_generic(const IntegerPanelArgs& a) {
  for (int r = 0; r < a.rows; ++r) {
    const auto* codes = reinterpret_cast<const std::int16_t*>(static_cast<const std::byte*>(a.codes) + r * a.stride);
    std::int32_t* const dst = a.dst + r * kPanel;
    std::uint32_t sums[kPanel];
    for (std::int64_t c = 0; c < kPanel; ++c) sums[c] = static_cast<std::uint32_t>(a.start[c]);
    for (std::int64_t s = 0; s < a.steps; ++s) {
      const std::int8_t* const w = a.panel + s * kPanel * 2;
      for (std::int64_t c = 0; c < kPanel; ++c)
        sums[c] += static_cast<std::uint32_t>(codes[2 * s] * w[2 * c] + codes[2 * s + 1] * w[2 * c + 1]);
    }
    for (std::int64_t c = 0; c < kPanel; ++c) dst[c] = static_cast<std::int32_t>(sums[c]);
  }
}

#if defined(__x86_64__)

/// The same with pairs of products added by one instruction: 16 columns of kRows rows in registers.
template <int kRows>
__attribute__((target("avx2"))) void pairs(const IntegerPanelArgs& a) {
  for (std::int64_t c = 0; c < kPanel; c += 16) {
    __m256i sums[kRows][2];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      sums[r][0] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a.start + c));
      sums[r][1] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a.start + c + 8));
    }
    for (std::int64_t s = 0; s < a.steps; ++s) {
      const auto* w = reinterpret_cast<const __m128i*>(a.panel + (s * kPanel + c) * 2);
      const __m256i w0 = _mm256_cvtepi8_epi16(_mm_loadu_si128(w));
      const __m256i w1 = _mm256_cvtepi8_epi16(_mm_loadu_si128(w + 1));
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        int pair;
        __builtin_memcpy(&pair, static_cast<const std::byte*>(a.codes) + r * a.stride + s * 4, sizeof pair);
        const __m256i x = _mm256_set1_epi32(pair);
        sums[r][0] = _mm256_add_epi32(sums[r][0], _mm256_madd_epi16(w0, x));
        sums[r][1] = _mm256_add_epi32(sums[r][1], _mm256_madd_epi16(w1, x));
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(a.dst + r * kPanel + c), sums[r][0]);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(a.dst + r * kPanel + c + 8), sums[r][1]);
    }
  }
}

/// Four products added to a sum by one instruction, which needs unsigned codes: 64 columns of kRows rows in registers.
template <int kRows>
__attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni"))) void fours(const IntegerPanelArgs& a) {
  __m512i sums[kRows][4];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) sums[r][v] = _mm512_loadu_si512(a.start + 16 * v);
  }
  for (std::int64_t s = 0; s < a.steps; ++s) {
    __m512i w[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) w[v] = _mm512_loadu_si512(a.panel + s * kPanel * 4 + 64 * v);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      int four;
      __builtin_memcpy(&four, static_cast<const std::byte*>(a.codes) + r * a.stride + s * 4, sizeof four);
      const __m512i x = _mm512_set1_epi32(four);
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) sums[r][v] = _mm512_dpbusd_epi32(sums[r][v], x, w[v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) _mm512_storeu_si512(a.dst + r * kPanel + 16 * v, sums[r][v]);
  }
}

using Multiply = void (*)(const IntegerPanelArgs&);
constexpr Multiply kPairs[kIntegerRows] = {pairs<1>, pairs<2>, pairs<3>, pairs<4>, pairs<5>, pairs<6>};
constexpr Multiply kFours[kIntegerRows] = {fours<1>, fours<2>, fours<3>, fours<4>, fours<5>, fours<6>};

void integer_avx2(const IntegerPanelArgs& args) { kPairs[args.rows - 1](args); }
void integer_vnni(const IntegerPanelArgs& args) { kFours[args.rows - 1](args); }

#endif

}  // namespace

IntegerIsa best_integer_isa() {
#if defined(__x86_64__)
  static const IntegerIsa isa = [] {
    if (best_isa() == Isa::avx512 && __builtin_cpu_supports("avx512vnni")) return IntegerIsa::vnni;
    return best_isa() == Isa::generic ? IntegerIsa::generic : IntegerIsa::avx2;
  }();
  return isa;
#else
  return IntegerIsa::generic;
#endif
}

const IntegerKernel& integer_kernel(IntegerIsa isa) {
#if defined(__x86_64__)
  static constexpr IntegerKernel kVnni{4, 1, 128, integer_vnni};
  static constexpr IntegerKernel kAvx2{2, 2, 0, integer_avx2};
  if (isa == IntegerIsa::vnni) return kVnni;
  if (isa == IntegerIsa::avx2) return kAvx2;
#endif
  static constexpr IntegerKernel kGeneric{2, 2, 0, integer_generic};
  static_cast<void>(isa);
  return kGeneric;
}

}  // namespace lamella::cpu
