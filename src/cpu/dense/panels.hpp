// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "cpu/plans.hpp"

namespace lamella::cpu {

/// Columns of a panel. A packed kernel is panel after panel, the last one padded with zeros.
inline constexpr std::int64_t kPanel = 64;
/// Columns of a strip. If loops process one strip at a time, a panel is [kPanel / kStrip][inputs][kStrip], so that their reads
/// are contiguous; else it is [inputs][kPanel].
inline constexpr std::int64_t kStrip = 16;

/// The kernel of a Dense layer in panels of float, rounded to `dtype` first. Shared by all plans of the layer.
[[nodiscard]] std::shared_ptr<const float> packed_panels(const ConstantsPtr& constants, DType dtype, std::int64_t inputs,
                                                         std::int64_t units);

/// The bias in panels of float, padded with zeros; all zeros if the layer has none. Shared by all plans of the layer.
[[nodiscard]] std::shared_ptr<const float> packed_bias(const ConstantsPtr& constants, bool has_bias, DType dtype,
                                                       std::int64_t units);

/// dst[rows, width] = bias + src[rows, inputs] . panel; consecutive rows are src_stride and dst_stride apart; width <= kPanel.
struct PanelArgs {
  float* dst;
  std::int64_t dst_stride;
  const float* src;
  std::int64_t src_stride;
  const float* panel;
  const float* bias;  ///< kPanel values, padded like the panel
  std::int64_t rows;  ///< at least 1
  std::int64_t inputs;
  std::int64_t width;
  std::int64_t strip = 0;  ///< floats from one strip to the next; 0: the panel is [inputs][kPanel]
  bool resume = false;     ///< sums continue from dst, and `bias` is not read
  bool packed = false;  ///< only in strips: src is what pack_rows() wrote, and kernels are fetched ahead from beyond the caches
};
/// Each result is one chain of multiply-adds, starting with the bias, in the order of the inputs: it depends only on its row and
/// column.
using PanelFn = void (*)(const PanelArgs& args);

/// Rows of a tile, at most, and inputs that a packed block of rows has, at most: a tile and a strip stay in the first cache.
inline constexpr std::int64_t kTileRows = 6;
inline constexpr std::int64_t kPackedInputs = 256;

/// src[rows, inputs] tile after tile of kTileRows rows, a tile as [inputs][rows of the tile]: rows of a large matrix lie on pages
/// of their own and share cache sets.
void pack_rows(float* to, const float* src, std::int64_t src_stride, std::int64_t rows, std::int64_t inputs);

/// Floats from one strip to the next in packed_panels(): PanelArgs::strip.
[[nodiscard]] std::int64_t strip_stride(std::int64_t inputs);

/// The function for this machine.
[[nodiscard]] PanelFn panel_function();

}  // namespace lamella::cpu
