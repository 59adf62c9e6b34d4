// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include <lamella/dtype.hpp>

#include "cpu/dense/panels.hpp"

/// Integer products, exact in 32 bits, using the processor's instructions for them.
namespace lamella::cpu {

/// dst[rows, kPanel] = start + codes[rows, inputs] . panel; sums wrap around as Keras' do.
struct IntegerPanelArgs {
  std::int32_t* dst;
  const void* codes;  ///< codes of the rows, in IntegerKernel's format, `stride` bytes apart
  std::int64_t stride;
  const std::int8_t* panel;   ///< [steps][kPanel][group]
  const std::int32_t* start;  ///< kPanel numbers
  std::int64_t steps;         ///< groups of inputs
  int rows;                   ///< 1..kIntegerRows
};
inline constexpr int kIntegerRows = 6;

struct IntegerKernel {
  int group;        ///< inputs that are stored together
  int code_bytes;   ///< bytes of one input in a row of codes: 1 or 2
  int code_offset;  ///< offset added to an integer to make a code; `start` compensates for it in each sum
  void (*multiply)(const IntegerPanelArgs& args);
};
enum class IntegerIsa { generic, avx2, vnni };
/// The best kernel for this machine.
[[nodiscard]] IntegerIsa best_integer_isa();
[[nodiscard]] const IntegerKernel& integer_kernel(IntegerIsa isa = best_integer_isa());

}  // namespace lamella::cpu
