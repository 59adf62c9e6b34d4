// SPDX-License-Identifier: Apache-2.0
#include "cpu/dense/panels.hpp"

#include <algorithm>
#include <cstring>

#include "core/backend.hpp"
#include "core/math.hpp"
#include "cpu/simd.hpp"

namespace lamella::cpu {
namespace {

template <int kWidth>
struct VectorOf {
  typedef float type
      __attribute__((vector_size(kWidth * 4), aligned(4)));  // NOLINT(modernize-use-using): attributes need typedef
};

/// kRows x (kVectors * kWidth) results in registers.
template <int kWidth, int kVectors, int kRows>
LAMELLA_HD void tile(float* dst, std::int64_t dst_stride, const float* src, std::int64_t src_stride, const float* panel,
                     std::int64_t inputs, std::int64_t width) {
  using V = typename VectorOf<kWidth>::type;
  V sums[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sums[r][v] = V{};
  }
  for (std::int64_t k = 0; k < inputs; ++k) {
    V w[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) __builtin_memcpy(&w[v], panel + k * kPanel + v * kWidth, sizeof(V));
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const float x = src[r * src_stride + k];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sums[r][v] += w[v] * x;
    }
  }
  if (width == kVectors * kWidth) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) __builtin_memcpy(dst + r * dst_stride, sums[r], sizeof(sums[r]));
  } else {
    for (int r = 0; r < kRows; ++r)
      __builtin_memcpy(dst + r * dst_stride, sums[r], static_cast<std::size_t>(width) * sizeof(float));
  }
}

template <int kWidth, int kVectors, int kRows>
LAMELLA_HD void rows_of_tiles(float* dst, std::int64_t dst_stride, const float* src, std::int64_t src_stride, const float* panel,
                              std::int64_t rows, std::int64_t inputs, std::int64_t width) {
  std::int64_t r = 0;
  for (; r + kRows <= rows; r += kRows) {
    tile<kWidth, kVectors, kRows>(dst + r * dst_stride, dst_stride, src + r * src_stride, src_stride, panel, inputs, width);
  }
  for (; r < rows; ++r)
    tile<kWidth, kVectors, 1>(dst + r * dst_stride, dst_stride, src + r * src_stride, src_stride, panel, inputs, width);
}

/// kStep columns at a time; the last step has as few vectors as do.
template <int kWidth, int kVectors, int kRows>
LAMELLA_HD void panel_product(float* dst, std::int64_t dst_stride, const float* src, std::int64_t src_stride, const float* panel,
                              std::int64_t rows, std::int64_t inputs, std::int64_t width) {
  constexpr std::int64_t kStep = kWidth * kVectors;
  std::int64_t c = 0;
  for (; c + kStep <= width; c += kStep) {
    rows_of_tiles<kWidth, kVectors, kRows>(dst + c, dst_stride, src, src_stride, panel + c, rows, inputs, kStep);
  }
  for (; c < width; c += kWidth) {
    rows_of_tiles<kWidth, 1, kRows>(dst + c, dst_stride, src, src_stride, panel + c, rows, inputs,
                                    std::min<std::int64_t>(kWidth, width - c));
  }
}

void generic(float* dst, std::int64_t dst_stride, const float* src, std::int64_t src_stride, const float* panel,
             std::int64_t rows, std::int64_t inputs, std::int64_t width) {
  panel_product<4, 2, 4>(dst, dst_stride, src, src_stride, panel, rows, inputs, width);
}
LAMELLA_TARGET_AVX2 void avx2(float* dst, std::int64_t dst_stride, const float* src, std::int64_t src_stride, const float* panel,
                              std::int64_t rows, std::int64_t inputs, std::int64_t width) {
  if (rows == 1) {
    panel_product<8, 8, 1>(dst, dst_stride, src, src_stride, panel, rows, inputs, width);
  } else {
    panel_product<8, 2, 6>(dst, dst_stride, src, src_stride, panel, rows, inputs, width);
  }
}
LAMELLA_TARGET_AVX512 void avx512(float* dst, std::int64_t dst_stride, const float* src, std::int64_t src_stride,
                                  const float* panel, std::int64_t rows, std::int64_t inputs, std::int64_t width) {
  panel_product<16, 4, 6>(dst, dst_stride, src, src_stride, panel, rows, inputs, width);
}

}  // namespace

PanelFn panel_function() {
  switch (best_isa()) {
    case Isa::avx512:
      return &avx512;
    case Isa::avx2:
      return &avx2;
    case Isa::generic:
      break;
  }
  return &generic;
}

std::shared_ptr<const float> packed_panels(const ConstantsPtr& constants, DType dtype, std::int64_t inputs, std::int64_t units) {
  const auto make = [&]() -> std::shared_ptr<const void> {
    const std::int64_t panels = (units + kPanel - 1) / kPanel;
    const auto memory = core::allocate_host(static_cast<std::size_t>(panels * inputs * kPanel) * sizeof(float));
    const Tensor& kernel = (*constants)[0];
    visit_floating(dtype, [&](auto rounded) {
      visit_floating(kernel.dtype(), [&](auto stored) {
        const auto* from = static_cast<const decltype(stored)*>(kernel.data());
        auto* to = static_cast<float*>(memory.get());
        for (std::int64_t p = 0; p < panels; ++p) {
          const std::int64_t width = std::min(kPanel, units - p * kPanel);
          for (std::int64_t k = 0; k < inputs; ++k, to += kPanel) {
            for (std::int64_t c = 0; c < kPanel; ++c) {
              to[c] = c < width ? convert<float>(convert<decltype(rounded)>(from[k * units + p * kPanel + c])) : 0.0F;
            }
          }
        }
      });
    });
    return memory;
  };
  return std::static_pointer_cast<const float>(constants->derived(core::concat("panels ", name(dtype)), make));
}

}  // namespace lamella::cpu
