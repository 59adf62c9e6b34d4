// SPDX-License-Identifier: Apache-2.0
#include "cpu/activation/epilogue.hpp"

#include <algorithm>
#include <cstring>

#include "core/activation_math.hpp"
#include "cpu/convert.hpp"
#include "cpu/simd.hpp"

namespace lamella::cpu {
namespace {

constexpr std::int64_t kEpilogueBlock = 64;

/// The iterations of the loop that follows do not depend on each other.
#if defined(__clang__)
#define LAMELLA_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define LAMELLA_INDEPENDENT _Pragma("GCC ivdep")
#endif

/// One block of fixed length, which the compiler vectorises, so that every element takes the same path. src is dst or does not
/// overlap it, so elements do not depend on each other.
template <typename Op, bool kBias>
LAMELLA_HD void block(float* dst, const float* src, const float* bias, float p0, float p1, float p2) {
  LAMELLA_INDEPENDENT
  for (std::int64_t i = 0; i < kEpilogueBlock; ++i) dst[i] = Op::apply(kBias ? src[i] + bias[i] : src[i], p0, p1, p2);
}

template <typename Op, bool kBias>
LAMELLA_HD void loop(float* dst, const float* src, const float* bias, std::int64_t n, const float* p) {
  std::int64_t i = 0;
  for (; i + kEpilogueBlock <= n; i += kEpilogueBlock)
    block<Op, kBias>(dst + i, src + i, kBias ? bias + i : nullptr, p[0], p[1], p[2]);
  if (i == n) return;
  float tail[kEpilogueBlock] = {};
  float tail_bias[kEpilogueBlock] = {};
  const auto bytes = static_cast<std::size_t>(n - i) * sizeof(float);
  __builtin_memcpy(tail, src + i, bytes);
  if (kBias) __builtin_memcpy(tail_bias, bias + i, bytes);
  block<Op, kBias>(tail, tail, tail_bias, p[0], p[1], p[2]);
  __builtin_memcpy(dst + i, tail, bytes);
}

template <typename Op>
struct Generic {
  static void run(float* dst, const float* src, const float* bias, std::int64_t n, const float* p) {
    bias != nullptr ? loop<Op, true>(dst, src, bias, n, p) : loop<Op, false>(dst, src, bias, n, p);
  }
};
template <typename Op>
struct Avx2 {
  LAMELLA_TARGET_AVX2 static void run(float* dst, const float* src, const float* bias, std::int64_t n, const float* p) {
    bias != nullptr ? loop<Op, true>(dst, src, bias, n, p) : loop<Op, false>(dst, src, bias, n, p);
  }
};
template <typename Op>
struct Avx512 {
  LAMELLA_TARGET_AVX512 static void run(float* dst, const float* src, const float* bias, std::int64_t n, const float* p) {
    bias != nullptr ? loop<Op, true>(dst, src, bias, n, p) : loop<Op, false>(dst, src, bias, n, p);
  }
};

}  // namespace

EpilogueFn epilogue_of(ActivationKind kind) {
  EpilogueFn function = nullptr;
  core::visit_elementwise(kind, [&](auto op) {
    using Op = decltype(op);
    switch (best_isa()) {
      case Isa::avx512:
        function = &Avx512<Op>::run;
        break;
      case Isa::avx2:
        function = &Avx2<Op>::run;
        break;
      case Isa::generic:
        function = &Generic<Op>::run;
        break;
    }
  });
  return function;
}

Float64Activation::Float64Activation(const ActivationSpec& spec)
    : parameters{spec.parameters[0], spec.parameters[1], spec.parameters[2]} {
  core::visit_elementwise(spec.kind, [&](auto op) {
    function = [](double* dst, const double* src, std::int64_t n, const double* p) {
      for (std::int64_t i = 0; i < n; ++i) dst[i] = decltype(op)::apply(src[i], p[0], p[1], p[2]);
    };
  });
}

ActivatedSums::ActivatedSums(const ActivationSpec& spec, DType dtype) : dtype_(dtype), epilogue_(spec), float64_(spec) {}

void ActivatedSums::operator()(void* dst, const double* sums, std::int64_t n) const {
  if (dtype_ == DType::float64) return float64_(static_cast<double*>(dst), sums, n);
  for (std::int64_t i = 0; i < n; i += kEpilogueBlock) {
    float block[kEpilogueBlock];
    const std::int64_t count = std::min(kEpilogueBlock, n - i);
    for (std::int64_t j = 0; j < count; ++j) block[j] = static_cast<float>(sums[i + j]);
    epilogue_(block, block, nullptr, count);
    narrow(static_cast<std::byte*>(dst) + static_cast<std::size_t>(i) * size_of(dtype_), block, dtype_, count);
  }
}

}  // namespace lamella::cpu
