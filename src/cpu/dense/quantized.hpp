// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "cpu/dense/integer_panels.hpp"
#include "cpu/plans.hpp"
#include "ops/quantized_dense.hpp"

/// The engines for a quantized Dense layer on the CPU, and code that they share.
namespace lamella::cpu {

using QuantizedDenseEngine = ops::Engine<ops::QuantizedDenseDesc>;

const QuantizedDenseEngine& quantized_panels_engine();     ///< weights stay packed; not for float64
const QuantizedDenseEngine& quantized_reference_engine();  ///< plain loops, any floating dtype

/// Best first; the last refuses no floating dtype.
inline std::span<const QuantizedDenseEngine* const> quantized_dense_engines() {
  static const std::array<const QuantizedDenseEngine*, 2> engines{&quantized_panels_engine(), &quantized_reference_engine()};
  return engines;
}

/// Weights packed in panels: `group` inputs of kPanel columns together, [panel][steps][kPanel][group], padded with zeros. For
/// int4, byte i of such a group holds its elements i and i + kPanel * group / 2.
struct QuantizedPanels {
  std::shared_ptr<const std::uint8_t> weights;
  std::shared_ptr<const std::int32_t> start;  ///< -offset * (sum of a column), panel after panel
  std::int64_t steps = 0;
  std::int64_t step_bytes = 0;
};
/// Shared by all plans of the layer; `offset` must be the same for all with that group.
[[nodiscard]] QuantizedPanels quantized_panels(const ConstantsPtr& constants, const ops::QuantizedDenseDesc& desc, int group,
                                               int offset);
/// Floating constant `i`, rows of `units` numbers rounded to the layer's dtype, in panels: [panel][rows][kPanel], padded with
/// `fill`. Shared by all plans of the layer.
[[nodiscard]] std::shared_ptr<const float> numbers_in_panels(const ConstantsPtr& constants, std::size_t i,
                                                             const ops::QuantizedDenseDesc& desc, std::int64_t rows, float fill);

/// The element loops for this machine and one dtype.
struct QuantizedLoops {
  /// Writes the codes of one row of n numbers for an IntegerKernel, padded with zeros to `padded`; returns the row's factor.
  float (*quantize)(void* codes, const float* x, std::int64_t n, std::int64_t padded, const ops::QuantizedDenseDesc& desc,
                    const IntegerKernel& kernel);
  /// dst = bias + (what is in `sums`), kPanel of them; bias may be null.
  void (*from_integers)(float* dst, const std::int32_t* sums, const float* scale, float factor, const float* bias);
  /// Unpacks n bytes of int4 to 2 n integers, those of the lower halves first.
  void (*unpack)(std::int8_t* dst, const std::uint8_t* src, std::int64_t n);
  /// dst[kPanel] = the weights of one input; zero null: without scale and zero.
  void (*dequantize)(float* dst, const std::uint8_t* src, ops::WeightFormat format, const float* zero, const float* scale,
                     const float* input_scale);
  /// dst /= scale, kPanel of them
  void (*divide)(float* dst, const float* scale);
};
[[nodiscard]] QuantizedLoops quantized_loops(DType dtype);

}  // namespace lamella::cpu
