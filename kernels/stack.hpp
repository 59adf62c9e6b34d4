// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <cuda_runtime_api.h>

#include <lamella/activation.hpp>
#include <lamella/dtype.hpp>

/// Several layers in one launch; kernels/kernels.hpp says what holds for all kernels.
namespace lamella::kernels {

/// One layer of a stack: y = activation(x . kernel + bias) + addend, where x is the preceding layer's y. Values are called by
/// number: 0 is the stack's input, n the result of the nth layer.
struct StackLayer {
  static constexpr int kNothing = -1;
  std::int64_t inputs = 0;  ///< the units of the preceding layer, or of both values that are joined
  std::int64_t units = 0;
  ActivationSpec activation;  ///< element-wise
  bool is_dense = true;       ///< false: y = activation(x) + addend; not for the first layer; units == inputs
  int added = kNothing;       ///< the addend, an earlier value as wide as y
  /// If not nothing, x is these two earlier values side by side, and the layer is not Dense.
  std::array<int, 2> joined{kNothing, kNothing};
  [[nodiscard]] bool joins() const { return joined[0] != kNothing; }
};
inline constexpr std::int64_t kMostStackWidth = 128;  ///< most units of a layer
/// Most inputs of the first layer. With few rows a block spends about 1/32 of a launch on the weights of 8 inputs.
inline constexpr std::int64_t kMostStackInputs = 256;
inline constexpr std::size_t kMostStackLayers = 32;

/// The layout of weights and biases for stack(). Kernels follow one another, each padded with zeros to width() units and to
/// whole chunks of inputs. In float32 their rows are stored as they are. In 16 bits they are in the order of the tensor cores'
/// fragments: blocks of 32 inputs by 8 units, in which the 8 consecutive inputs of a lane are contiguous. Units are permuted so
/// that the lane that holds the results 8t to 8t + 7 of 32 needs just these as inputs of the next layer. Biases are rows of
/// width() floats, padded with zeros; -0 if a layer has no bias. Layers that are not Dense have no entry.
class StackLayout {
 public:
  static constexpr std::int64_t kNarrow = 64;  ///< the smaller of the two widths
  /// Inputs whose weights are copied to shared memory together.
  static constexpr std::int64_t inputs_of_chunk(DType dtype) { return dtype == DType::float32 ? 8 : 32; }

  StackLayout(std::span<const StackLayer> layers, DType dtype) : layers_(layers), dtype_(dtype) {}

  /// The units to which all layers are padded.
  [[nodiscard]] std::int64_t width() const {
    const auto fits = [](const StackLayer& layer) { return layer.units <= kNarrow; };
    return std::all_of(layers_.begin(), layers_.end(), fits) ? kNarrow : kMostStackWidth;
  }
  /// Chunks of a layer's kernel.
  [[nodiscard]] std::int64_t chunks(const StackLayer& layer) const {
    const std::int64_t inputs = inputs_of_chunk(dtype_);
    return layer.is_dense ? (layer.inputs + inputs - 1) / inputs : 0;
  }
  /// Index of the first weight of a layer's kernel; of the end, if `layer` is the number of layers.
  [[nodiscard]] std::int64_t kernel(std::size_t layer) const {
    std::int64_t before = 0;
    for (std::size_t n = 0; n < layer; ++n) before += chunks(layers_[n]);
    return before * inputs_of_chunk(dtype_) * width();
  }
  /// Offset of kernel[input, unit] from kernel(layer): the same in all layers.
  [[nodiscard]] std::int64_t at(std::size_t, std::int64_t input, std::int64_t unit) const {
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

/// Assigns places in the workspace to the results that later layers add or join. A place is reused after its last use: by the
/// very layer that adds it, since a thread reads an addend only where it then writes, but not by one that joins it.
class StackPlaces {
 public:
  explicit StackPlaces(std::span<const StackLayer> layers) : last_(layers.size(), 0), of_(layers.size(), StackLayer::kNothing) {
    for (std::size_t n = 0; n < layers.size(); ++n) {
      for (const int value : {layers[n].added, layers[n].joined[0], layers[n].joined[1]}) {
        if (value > 0) last_[static_cast<std::size_t>(value) - 1] = n;
      }
    }
    for (std::size_t n = 0; n < layers.size(); ++n) {
      if (!layers[n].joins()) release(layers[n].added, n);
      if (last_[n] != 0) of_[n] = take();
      if (!layers[n].joins()) continue;
      for (const int value : {layers[n].added, layers[n].joined[0], layers[n].joined[1]}) release(value, n);
    }
  }
  [[nodiscard]] std::int64_t count() const { return static_cast<std::int64_t>(used_.size()); }
  /// The place of a layer's result; kNothing if no layer reads it from there.
  [[nodiscard]] int of(std::size_t layer) const { return of_[layer]; }

 private:
  int take() {
    const auto free = std::find(used_.begin(), used_.end(), false);
    const auto place = free - used_.begin();
    if (free == used_.end()) used_.push_back(false);
    used_[static_cast<std::size_t>(place)] = true;
    return static_cast<int>(place);
  }
  void release(int value, std::size_t layer) {
    const auto of = static_cast<std::size_t>(value) - 1;
    if (value > 0 && last_[of] == layer) used_[static_cast<std::size_t>(of_[of])] = false;
  }

  std::vector<std::size_t> last_;  ///< the last layer that reads a result
  std::vector<int> of_;
  std::vector<bool> used_;
};

enum class StackTile { automatic, few_rows, some_rows, many_rows };
/// The rows of a block. In 16 bits `some_rows` is `few_rows`.
[[nodiscard]] constexpr std::int64_t stack_rows(DType dtype, std::int64_t width, StackTile tile) {
  if (dtype != DType::float32) return tile == StackTile::many_rows ? 128 : 32;
  return (tile == StackTile::many_rows ? 8192 : tile == StackTile::some_rows ? 1024 : 256) / width;
}
/// What `automatic` is. Large blocks share the weights that a block reads; fewer of them than this would leave a part of a large
/// GPU idle.
[[nodiscard]] constexpr StackTile stack_tile(DType dtype, std::int64_t width, std::int64_t batch) {
  const std::int64_t least = dtype == DType::float32 ? 64 : 128;
  for (const StackTile tile : {StackTile::many_rows, StackTile::some_rows}) {
    const std::int64_t rows = stack_rows(dtype, width, tile);
    if ((batch + rows - 1) / rows >= least) return tile;
  }
  return StackTile::few_rows;
}
/// Consecutive layers, and optionally a softmax of the last one's rows, in one launch. Sums are in float32, and each result is
/// rounded to `dtype`. In float32 products are added in the order of the inputs; in 16 bits tensor cores add them as in
/// mma_gemm(). The bias is added last. A row's bits depend on that row alone, for every batch and tile. `weights` (aligned to 16
/// bytes) and `bias` have the layout of StackLayout. `workspace`: stack_workspace() bytes, aligned to 16. In 16 bits, code for
/// architectures below kMmaArchitecture traps.
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
  void* workspace = nullptr;  ///< for results that later layers add or join
};
[[nodiscard]] std::size_t stack_workspace(const Stack& args);
[[nodiscard]] cudaError_t stack(const Stack& args, cudaStream_t stream);
/// The part of stack() for float16 and bfloat16.
[[nodiscard]] cudaError_t stack_16_bits(const Stack& args, cudaStream_t stream);

}  // namespace lamella::kernels
