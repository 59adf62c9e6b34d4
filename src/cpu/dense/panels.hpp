// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "cpu/plans.hpp"

namespace lamella::cpu {

/// Columns side by side in one panel. A packed kernel is panel after panel, each [inputs][kPanel], the last one padded with
/// zeros.
inline constexpr std::int64_t kPanel = 64;

/// The kernel of a Dense layer in panels of float, rounded to `dtype` first. Shared by all plans of the layer.
[[nodiscard]] std::shared_ptr<const float> packed_panels(const ConstantsPtr& constants, DType dtype, std::int64_t inputs,
                                                         std::int64_t units);

/// dst[rows, width] = src[rows, inputs] . panel; neighbouring rows lie src_stride and dst_stride apart; width <= kPanel.
/// Each result is one chain of multiply-adds in the order of the inputs: it depends on nothing but its row and its column.
using PanelFn = void (*)(float* dst, std::int64_t dst_stride, const float* src, std::int64_t src_stride, const float* panel,
                         std::int64_t rows, std::int64_t inputs, std::int64_t width);

/// The function for this machine.
[[nodiscard]] PanelFn panel_function();

}  // namespace lamella::cpu
