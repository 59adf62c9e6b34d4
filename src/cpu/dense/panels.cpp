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
  // NOLINTBEGIN(modernize-use-using): attributes need typedef
  typedef float type __attribute__((vector_size(kWidth * 4)));
  typedef float unaligned __attribute__((vector_size(kWidth * 4), aligned(4), may_alias));
  // NOLINTEND(modernize-use-using)
};

/// State shared by the tiles of one panel.
struct Strip {
  float* dst;
  std::int64_t dst_stride;
  const float* src;
  std::int64_t src_stride;
  const float* panel;   ///< its first column, at the first input to add
  std::int64_t stride;  ///< floats from one strip to the next, where there are strips
  const float* bias;    ///< initial value of the sums
  std::int64_t inputs;
  bool resume;  ///< the sums continue from dst
  bool packed;  ///< PanelArgs::packed
};

/// One vector of columns, or the first `width` of them. Sums stay in registers only where no address of theirs is taken: whole
/// vectors are read and written as such, parts through a copy.
template <int kWidth, bool kWhole, typename V>
LAMELLA_HD void load(V& value, const float* from, std::int64_t width) {
  if constexpr (kWhole) {
    value = *reinterpret_cast<const typename VectorOf<kWidth>::unaligned*>(from);
  } else {
    V part{};
    __builtin_memcpy(&part, from, static_cast<std::size_t>(width) * sizeof(float));
    value = part;
  }
}
template <int kWidth, bool kWhole, typename V>
LAMELLA_HD void store(float* to, const V& value, std::int64_t width) {
  if constexpr (kWhole) {
    *reinterpret_cast<typename VectorOf<kWidth>::unaligned*>(to) = value;
  } else {
    const V part = value;
    __builtin_memcpy(to, &part, static_cast<std::size_t>(width) * sizeof(float));
  }
}

/// Row `row` to row + kRows, columns `column` to column + kVectors * kWidth, of which `width` exist unless kWhole: sums in
/// registers.
template <int kWidth, int kVectors, int kRows, bool kWhole, bool kStrips>
LAMELLA_HD void tile(const Strip& s, std::int64_t row, std::int64_t column, std::int64_t width) {
  using V = typename VectorOf<kWidth>::type;
  float* dst = s.dst + row * s.dst_stride + column;
  const float* x = s.src + row * (s.packed ? s.inputs : s.src_stride);
  const std::int64_t next_row = s.packed ? 1 : s.src_stride;
  const std::int64_t next_input = s.packed ? kRows : 1;
  const float* bias = s.bias + column;
  V sums[kRows][kVectors];
  if (s.resume) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) load<kWidth, kWhole>(sums[r][v], dst + r * s.dst_stride + v * kWidth, width);
    }
  } else {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) load<kWidth, true>(sums[r][v], bias + v * kWidth, width);
    }
  }
  const float* panel = kStrips ? s.panel + column / kStrip * s.stride + column % kStrip : s.panel + column;
  for (std::int64_t k = 0; k < s.inputs; ++k, x += next_input, panel += kStrips ? kStrip : kPanel) {
    V w[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const std::int64_t at = v * kWidth;
      load<kWidth, true>(w[v], kStrips ? panel + at / kStrip * s.stride + at % kStrip : panel + at, width);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const float value = x[r * next_row];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sums[r][v] += w[v] * value;
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) store<kWidth, kWhole>(dst + r * s.dst_stride + v * kWidth, sums[r][v], width);
  }
}

/// Rows in tiles of at most `most`, as equal as can be: a tile of few rows waits for its own sums.
struct Tiles {
  LAMELLA_HD Tiles(std::int64_t rows, std::int64_t most)
      : count((rows + most - 1) / most), least(rows / count), larger(rows % count) {}
  [[nodiscard]] LAMELLA_HD std::int64_t rows(std::int64_t tile) const { return least + (tile < larger ? 1 : 0); }

  std::int64_t count;
  std::int64_t least;
  std::int64_t larger;  ///< tiles of one row more, the first ones
};

/// What is needed soon and comes from beyond the second cache: a part of the next strip, and where the next tile's sums go.
template <int kRows>
LAMELLA_HD void fetch_ahead(const Strip& s, std::int64_t column, std::int64_t row, std::int64_t tile, std::int64_t tiles) {
  constexpr std::int64_t kLine = 16;  // floats
  static_assert(kStrip == kLine);
  const float* const next = s.panel + (column / kStrip + 1) * s.stride;
  for (std::int64_t k = s.inputs * tile / tiles; k < s.inputs * (tile + 1) / tiles; ++k) __builtin_prefetch(next + k * kLine);
  if (tile + 1 == tiles) return;
  float* const dst = s.dst + (row + kRows) * s.dst_stride + column;
  for (std::int64_t r = 0; r < kRows; ++r) __builtin_prefetch(dst + r * s.dst_stride, 1);
}

template <int kWidth, int kVectors, int kRows, bool kWhole, bool kStrips>
LAMELLA_HD void rows_of_tiles(const Strip& s, std::int64_t rows, std::int64_t column, std::int64_t width) {
  const Tiles tiles(rows, kRows);
  for (std::int64_t t = 0, row = 0; t < tiles.count; ++t) {
    const std::int64_t n = tiles.rows(t);
    if (kStrips && s.packed) fetch_ahead<kRows>(s, column, row, t, tiles.count);
    switch (n) {
      case 1:
        tile<kWidth, kVectors, 1, kWhole, kStrips>(s, row, column, width);
        break;
      case 2:
        if constexpr (kRows >= 2) tile<kWidth, kVectors, 2, kWhole, kStrips>(s, row, column, width);
        break;
      case 3:
        if constexpr (kRows >= 3) tile<kWidth, kVectors, 3, kWhole, kStrips>(s, row, column, width);
        break;
      case 4:
        if constexpr (kRows >= 4) tile<kWidth, kVectors, 4, kWhole, kStrips>(s, row, column, width);
        break;
      case 5:
        if constexpr (kRows >= 5) tile<kWidth, kVectors, 5, kWhole, kStrips>(s, row, column, width);
        break;
      default:
        if constexpr (kRows >= 6) tile<kWidth, kVectors, 6, kWhole, kStrips>(s, row, column, width);
        break;
    }
    row += n;
  }
}

/// kVectors vectors of columns at a time; the remainder one by one. With many rows the panel is processed in slices that fit into
/// the L1 cache; the order of summation is the same.
template <int kWidth, int kVectors, int kRows, int kSlice, bool kStrips = false>
LAMELLA_HD void panel_product(const PanelArgs& args) {
  constexpr std::int64_t kStep = kWidth * kVectors;
  const std::int64_t slice = args.rows > 2 * kRows ? kSlice : args.inputs;
  std::int64_t done = 0;
  do {
    const std::int64_t inputs = std::min(slice, args.inputs - done);
    const float* const panel = args.panel + done * (kStrips ? kStrip : kPanel);
    const Strip s{args.dst,   args.dst_stride, args.src + done, args.src_stride,         panel,
                  args.strip, args.bias,       inputs,          args.resume || done > 0, args.packed};
    std::int64_t c = 0;
    for (; c + kStep <= args.width; c += kStep) rows_of_tiles<kWidth, kVectors, kRows, true, kStrips>(s, args.rows, c, kStep);
    for (; c + kWidth <= args.width; c += kWidth) rows_of_tiles<kWidth, 1, kRows, true, kStrips>(s, args.rows, c, kWidth);
    if (c < args.width) rows_of_tiles<kWidth, 1, kRows, false, kStrips>(s, args.rows, c, args.width - c);
    done += inputs;
  } while (done < args.inputs);
}

void generic(const PanelArgs& args) { panel_product<4, 2, 4, 128>(args); }
template <bool kStrips>
LAMELLA_TARGET_AVX2 void avx2_as(const PanelArgs& args) {
  if (args.rows == 1) {
    panel_product<8, 8, 1, 256, kStrips>(args);
  } else if (args.rows <= 3) {
    panel_product<8, 4, 3, 256, kStrips>(args);
  } else {
    panel_product<8, 2, kTileRows, kPackedInputs, kStrips>(args);
  }
}
void avx2(const PanelArgs& args) { args.strip == 0 ? avx2_as<false>(args) : avx2_as<true>(args); }
LAMELLA_TARGET_AVX512 void avx512(const PanelArgs& args) { panel_product<16, 4, 6, 128>(args); }

}  // namespace

std::int64_t strip_stride(std::int64_t inputs) { return best_isa() == Isa::avx2 ? inputs * kStrip : 0; }

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

void pack_rows(float* to, const float* src, std::int64_t src_stride, std::int64_t rows, std::int64_t inputs) {
  const Tiles tiles(rows, kTileRows);
  for (std::int64_t t = 0; t < tiles.count; ++t) {
    const std::int64_t n = tiles.rows(t);
    for (std::int64_t k = 0; k < inputs; ++k, to += n) {
      for (std::int64_t r = 0; r < n; ++r) to[r] = src[r * src_stride + k];
    }
    src += n * src_stride;
  }
}

std::shared_ptr<const float> packed_panels(const ConstantsPtr& constants, DType dtype, std::int64_t inputs, std::int64_t units) {
  const std::int64_t panels = (units + kPanel - 1) / kPanel;
  const auto fill = [dtype, inputs, units, panels](const ops::Constants& of, void* memory) {
    const Tensor& kernel = of[0];
    const std::int64_t together = strip_stride(inputs) == 0 ? kPanel : kStrip;
    visit_floating(dtype, [&](auto rounded) {
      visit_floating(kernel.dtype(), [&](auto stored) {
        const auto* from = static_cast<const decltype(stored)*>(kernel.data());
        auto* to = static_cast<float*>(memory);
        for (std::int64_t first = 0; first < panels * kPanel; first += together) {
          for (std::int64_t k = 0; k < inputs; ++k, to += together) {
            for (std::int64_t c = 0; c < together; ++c) {
              const std::int64_t u = first + c;
              to[c] = u < units ? convert<float>(convert<decltype(rounded)>(from[k * units + u])) : 0.0F;
            }
          }
        }
      });
    });
  };
  const auto bytes = static_cast<std::size_t>(panels * inputs * kPanel) * sizeof(float);
  const auto make = [&] { return packed_on_host(*constants, bytes, fill); };
  const ops::Form form{.layout = ops::Form::Layout::panels, .rounded_to = dtype};
  return std::static_pointer_cast<const float>(constants->derived(form, make));
}

std::shared_ptr<const float> packed_bias(const ConstantsPtr& constants, bool has_bias, DType dtype, std::int64_t units) {
  const std::int64_t padded = (units + kPanel - 1) / kPanel * kPanel;
  const auto fill = [has_bias, dtype, units, padded](const ops::Constants& of, void* memory) {
    auto* to = static_cast<float*>(memory);
    std::fill_n(to, padded, 0.0F);
    if (!has_bias) return;
    const Tensor& bias = of[1];
    visit_floating(dtype, [&](auto rounded) {
      visit_floating(bias.dtype(), [&](auto stored) {
        const auto* from = static_cast<const decltype(stored)*>(bias.data());
        for (std::int64_t i = 0; i < units; ++i) to[i] = convert<float>(convert<decltype(rounded)>(from[i]));
      });
    });
  };
  const auto make = [&] { return packed_on_host(*constants, static_cast<std::size_t>(padded) * sizeof(float), fill); };
  const auto layout = has_bias ? ops::Form::Layout::panels : ops::Form::Layout::zero_panels;
  const ops::Form form{.layout = layout, .constant = 1, .rounded_to = dtype};
  return std::static_pointer_cast<const float>(constants->derived(form, make));
}

}  // namespace lamella::cpu
