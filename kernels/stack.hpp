// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <cuda_runtime_api.h>

#include <lamella/activation.hpp>
#include <lamella/dtype.hpp>

/// Several layers in one launch; kernels/kernels.hpp says what holds for all kernels.
namespace lamella::kernels {

/// One layer of a stack: y = activation(x . kernel + bias) + the value that is added, where x is the preceding layer's y.
struct StackLayer {
  static constexpr int kNothing = -1;
  std::int64_t inputs = 0;  ///< the units of the preceding layer
  std::int64_t units = 0;
  ActivationSpec activation;  ///< element-wise
  bool is_dense = true;       ///< else x instead of the product, and not the first layer; units are its inputs
  int added = kNothing;       ///< or 0: the stack's input, n: the result of the nth layer, which is before this one; as wide as y
};
inline constexpr std::int64_t kMostStackWidth = 128;         ///< units of a layer
inline constexpr std::int64_t kMostStackWidthOf16Bits = 64;  ///< more results would not fit into registers
/// Of the first layer. With few rows the weights of 8 inputs take a block about as long as 1/32 of another launch.
inline constexpr std::int64_t kMostStackInputs = 256;
inline constexpr std::size_t kMostStackLayers = 32;

/// How the weights of a stack lie in memory for stack(): one layer behind the other, each padded with zeros to width() units and
/// to whole chunks of inputs. In float32 they are the rows of the kernels. In 16 bits they are in the order in which tensor cores
/// take them: each 32 inputs of 8 units follow one another, the 8 consecutive inputs of a lane together, and units are dealt so
/// that the lane that has the results 8t to 8t + 7 of 32 takes them as the inputs of the next layer. The biases are rows of
/// width() floats, one a layer, with zeros behind them; -0 where a layer has no bias. Layers that are not Dense have neither.
class StackLayout {
 public:
  static constexpr std::int64_t kNarrow = 64;  ///< the lesser of the two widths
  /// That are brought to shared memory together.
  static constexpr std::int64_t inputs_of_chunk(DType dtype) { return dtype == DType::float32 ? 8 : 32; }

  StackLayout(std::span<const StackLayer> layers, DType dtype) : layers_(layers), dtype_(dtype) {}

  /// The units to which all layers are padded.
  [[nodiscard]] std::int64_t width() const {
    const auto fits = [](const StackLayer& layer) { return layer.units <= kNarrow; };
    return std::all_of(layers_.begin(), layers_.end(), fits) ? kNarrow : kMostStackWidth;
  }
  /// Of a layer's kernel.
  [[nodiscard]] std::int64_t chunks(const StackLayer& layer) const {
    const std::int64_t inputs = inputs_of_chunk(dtype_);
    return layer.is_dense ? (layer.inputs + inputs - 1) / inputs : 0;
  }
  /// The place of the first weight of a layer's kernel, or the end for as many layers as there are.
  [[nodiscard]] std::int64_t kernel(std::size_t layer) const {
    std::int64_t before = 0;
    for (std::size_t n = 0; n < layer; ++n) before += chunks(layers_[n]);
    return before * inputs_of_chunk(dtype_) * width();
  }
  /// The place of kernel[input, unit] behind kernel(layer).
  [[nodiscard]] std::int64_t at(std::int64_t input, std::int64_t unit) const {
    if (dtype_ == DType::float32) return input * width() + unit;
    const std::int64_t group = unit / 32 * 4 + unit % 8 / 2;
    const std::int64_t lane = (unit % 32 / 8 * 2 + unit % 2) * 4 + input % 32 / 8;
    return input / 32 * 32 * width() + (group * 32 + lane) * 8 + input % 8;
  }
  [[nodiscard]] std::int64_t elements() const { return kernel(layers_.size()); }
  [[nodiscard]] std::int64_t bias(std::size_t layer) const {
    return std::count_if(layers_.begin(), layers_.begin() + static_cast<std::ptrdiff_t>(layer),
                         [](const StackLayer& one) { return one.is_dense; }) *
           width();
  }
  [[nodiscard]] std::int64_t bias_elements() const { return bias(layers_.size()); }

 private:
  std::span<const StackLayer> layers_;
  DType dtype_;
};

/// The places in which a stack keeps the results that are added later. One that is not needed any more is used again.
class StackPlaces {
 public:
  explicit StackPlaces(std::span<const StackLayer> layers) : of_(layers.size(), StackLayer::kNothing) {
    std::vector<std::size_t> last(layers.size(), 0);  // the layer to which a result is added last
    for (std::size_t n = 0; n < layers.size(); ++n) {
      if (layers[n].added > 0) last[static_cast<std::size_t>(layers[n].added) - 1] = n;
    }
    std::vector<bool> used;
    for (std::size_t n = 0; n < layers.size(); ++n) {
      const auto added = static_cast<std::size_t>(layers[n].added) - 1;
      if (layers[n].added > 0 && last[added] == n) used[static_cast<std::size_t>(of_[added])] = false;
      if (last[n] == 0) continue;
      const auto free = std::find(used.begin(), used.end(), false);
      of_[n] = static_cast<int>(free - used.begin());
      if (free == used.end()) used.push_back(true);
      used[static_cast<std::size_t>(of_[n])] = true;
    }
    count_ = static_cast<std::int64_t>(used.size());
  }
  [[nodiscard]] std::int64_t count() const { return count_; }
  /// Of a layer's result; kNothing if it is not added to another.
  [[nodiscard]] int of(std::size_t layer) const { return of_[layer]; }

 private:
  std::vector<int> of_;
  std::int64_t count_ = 0;
};

enum class StackTile { automatic, few_rows, some_rows, many_rows };
/// Consecutive layers, and optionally a softmax of the last one's rows, in one launch. Each result is rounded to `dtype`; sums
/// are in float32. In float32 they run over the inputs in order; in 16 bits tensor cores add them as they do in mma_gemm(). Then
/// the bias is added. A row's bits depend on that row alone, for every batch and tile. `weights` and `bias` are in the order of
/// StackLayout, weights aligned to 16 bytes. `workspace`: stack_workspace() bytes, aligned to 16. Code for less than
/// kMmaArchitecture traps in 16 bits.
struct Stack {
  std::span<const StackLayer> layers;  ///< at least one; only read before the call returns
  bool softmax = false;
  DType dtype = DType::float32;  ///< or float16, bfloat16
  const void* src = nullptr;     ///< (batch, inputs of the first layer)
  const void* weights = nullptr;
  const float* bias = nullptr;
  void* dst = nullptr;  ///< (batch, units of the last layer)
  std::int64_t batch = 0;
  StackTile tile = StackTile::automatic;
  void* workspace = nullptr;  ///< for results that are added later
};
[[nodiscard]] std::size_t stack_workspace(const Stack& args);
[[nodiscard]] cudaError_t stack(const Stack& args, cudaStream_t stream);
/// The part of stack() for float16 and bfloat16.
[[nodiscard]] cudaError_t stack_16_bits(const Stack& args, cudaStream_t stream);

}  // namespace lamella::kernels
