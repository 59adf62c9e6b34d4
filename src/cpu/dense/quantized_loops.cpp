// SPDX-License-Identifier: Apache-2.0
#include "core/quantize.hpp"
#include "cpu/dense/quantized.hpp"
#include "cpu/rounding.hpp"
#include "cpu/simd.hpp"

namespace lamella::cpu {
namespace {

using core::math::abs;

/// The largest |x|, or NaN if there is one: as integers, the bits of magnitudes are ordered like the magnitudes, and NaN is above
/// infinity.
LAMELLA_HD float largest_magnitude(const float* x, std::int64_t n) {
  std::int32_t most = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int32_t bits = __builtin_bit_cast(std::int32_t, x[i]) & 0x7FFF'FFFF;
    most = bits > most ? bits : most;
  }
  return __builtin_bit_cast(float, most);
}

template <typename Code, typename Round>
LAMELLA_HD float quantize_row(Code* codes, const float* x, std::int64_t n, std::int64_t padded, const ops::QuantizedDenseDesc& d,
                              int offset, const Round& round) {
  const float factor = core::row_factor(largest_magnitude(x, n), d.high, static_cast<float>(d.epsilon), round);
  for (std::int64_t i = 0; i < n; ++i)
    codes[i] = static_cast<Code>(core::to_integer(x[i], factor, d.low, d.high, round) + offset);
  for (std::int64_t i = n; i < padded; ++i) codes[i] = static_cast<Code>(offset);
  return factor;
}

/// The loops compiled for one instruction set; everything they call is inlined.
template <typename T>
struct Loops {
  LAMELLA_HD static float quantize_any(void* codes, const float* x, std::int64_t n, std::int64_t padded,
                                       const ops::QuantizedDenseDesc& d, const IntegerKernel& kernel) {
    const RoundTo<T> round;
    if (kernel.code_bytes == 1)
      return quantize_row(static_cast<std::uint8_t*>(codes), x, n, padded, d, kernel.code_offset, round);
    return quantize_row(static_cast<std::int16_t*>(codes), x, n, padded, d, kernel.code_offset, round);
  }
  LAMELLA_HD static void from_integers(float* dst, const std::int32_t* sums, const float* scale, float factor,
                                       const float* bias) {
    const RoundTo<T> round;
    for (std::int64_t c = 0; c < kPanel; ++c) dst[c] = core::from_integer(sums[c], scale[c], factor, round);
    if (bias == nullptr) return;
    for (std::int64_t c = 0; c < kPanel; ++c) dst[c] = round(dst[c] + bias[c]);
  }
  LAMELLA_HD static void unpack(std::int8_t* dst, const std::uint8_t* src, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) dst[i] = static_cast<std::int8_t>(core::low_nibble(src[i]));
    for (std::int64_t i = 0; i < n; ++i) dst[n + i] = static_cast<std::int8_t>(core::high_nibble(src[i]));
  }
  LAMELLA_HD static void dequantize(float* dst, const std::uint8_t* src, ops::WeightFormat format, const float* zero,
                                    const float* scale, const float* input_scale) {
    std::int8_t q[kPanel];
    if (format == ops::WeightFormat::int4) {
      unpack(q, src, kPanel / 2);
    } else {
      __builtin_memcpy(q, src, sizeof q);
    }
    const RoundTo<T> round;
    if (zero == nullptr) {
      for (std::int64_t c = 0; c < kPanel; ++c) dst[c] = static_cast<float>(q[c]);
      return;
    }
    for (std::int64_t c = 0; c < kPanel; ++c) dst[c] = core::dequantized(q[c], zero[c], scale[c], round);
    if (input_scale == nullptr) return;
    for (std::int64_t c = 0; c < kPanel; ++c) dst[c] = round(dst[c] / *input_scale);
  }
  LAMELLA_HD static void divide(float* dst, const float* scale) {
    for (std::int64_t c = 0; c < kPanel; ++c) dst[c] /= scale[c];
  }
};

#define LAMELLA_LOOPS(Name, target)                                                                                  \
  template <typename T>                                                                                              \
  struct Name {                                                                                                      \
    using L = Loops<T>;                                                                                              \
    target static float quantize(void* codes, const float* x, std::int64_t n, std::int64_t padded,                   \
                                 const ops::QuantizedDenseDesc& d, const IntegerKernel& kernel) {                    \
      return L::quantize_any(codes, x, n, padded, d, kernel);                                                        \
    }                                                                                                                \
    target static void from_integers(float* dst, const std::int32_t* sums, const float* scale, float factor,         \
                                     const float* bias) {                                                            \
      L::from_integers(dst, sums, scale, factor, bias);                                                              \
    }                                                                                                                \
    target static void unpack(std::int8_t* dst, const std::uint8_t* src, std::int64_t n) { L::unpack(dst, src, n); } \
    target static void dequantize(float* dst, const std::uint8_t* src, ops::WeightFormat format, const float* zero,  \
                                  const float* scale, const float* input_scale) {                                    \
      L::dequantize(dst, src, format, zero, scale, input_scale);                                                     \
    }                                                                                                                \
    target static void divide(float* dst, const float* scale) { L::divide(dst, scale); }                             \
    static QuantizedLoops all() { return {quantize, from_integers, unpack, dequantize, divide}; }                    \
  };
LAMELLA_LOOPS(QuantizedGeneric, )
LAMELLA_LOOPS(QuantizedAvx2, LAMELLA_TARGET_AVX2)
LAMELLA_LOOPS(QuantizedAvx512, LAMELLA_TARGET_AVX512)
#undef LAMELLA_LOOPS

template <typename T>
QuantizedLoops loops_of() {
  switch (best_isa()) {
    case Isa::avx512:
      return QuantizedAvx512<T>::all();
    case Isa::avx2:
      return QuantizedAvx2<T>::all();
    case Isa::generic:
      break;
  }
  return QuantizedGeneric<T>::all();
}

}  // namespace

QuantizedLoops quantized_loops(DType dtype) {
  if (dtype == DType::bfloat16) return loops_of<bfloat16>();
  if (dtype == DType::float16) return loops_of<float16>();
  return loops_of<float>();
}

}  // namespace lamella::cpu
