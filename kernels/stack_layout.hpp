// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/kernels.hpp"

namespace lamella::kernels {

/// How the weights of a stack lie in memory for stack(): the rows of all kernels, one layer behind the other, each filled up with
/// zeros to width() units, and each layer's to a multiple of kInputs rows. The biases are rows of width() too, one a layer, with
/// zeros behind them; -0 where a layer has no bias.
class StackLayout {
 public:
  static constexpr std::int64_t kInputs = 8;   ///< that are brought to shared memory together
  static constexpr std::int64_t kNarrow = 64;  ///< the lesser of the two widths

  explicit StackLayout(std::span<const StackLayer> layers) : layers_(layers) {}

  /// The width to which all layers are padded.
  [[nodiscard]] std::int64_t width() const {
    const auto fits = [](const StackLayer& layer) { return layer.inputs <= kNarrow && layer.units <= kNarrow; };
    return std::all_of(layers_.begin(), layers_.end(), fits) ? kNarrow : kMostStackWidth;
  }
  /// Rows of a layer's kernel, in multiples of kInputs.
  [[nodiscard]] static std::int64_t chunks(const StackLayer& layer) { return (layer.inputs + kInputs - 1) / kInputs; }
  /// The place of the first row of a layer's kernel, or the end for as many layers as there are.
  [[nodiscard]] std::int64_t kernel(std::size_t layer) const {
    std::int64_t before = 0;
    for (std::size_t n = 0; n < layer; ++n) before += chunks(layers_[n]);
    return before * kInputs * width();
  }
  [[nodiscard]] std::int64_t elements() const { return kernel(layers_.size()); }
  [[nodiscard]] std::int64_t bias(std::size_t layer) const { return static_cast<std::int64_t>(layer) * width(); }
  [[nodiscard]] std::int64_t bias_elements() const { return bias(layers_.size()); }

 private:
  std::span<const StackLayer> layers_;
};

}  // namespace lamella::kernels
