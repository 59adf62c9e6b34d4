// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/stack.hpp"

/// The layers of a stack divided by units among the blocks of one cluster.
namespace lamella::kernels {

inline constexpr int kClusterArchitecture = 90;  ///< the least `architecture` that has clusters
inline constexpr int kClusterBlocks = 8;         ///< the most that every device with clusters takes
inline constexpr std::int64_t kMostClusterWidth = 1024;
inline constexpr std::int64_t kMostClusterRows = 8;

/// The layout of weights and biases for stack_cluster(). Each block has its units of every layer, padded with zeros to packs of
/// four; in a layer they are the rows of a matrix of its own, and those of the next block follow. Layers that are not Dense have
/// no entry.
class ClusterLayout {
 public:
  explicit ClusterLayout(std::span<const StackLayer> layers, DType = DType::float32) : layers_(layers) {}

  /// The units of a block.
  [[nodiscard]] static std::int64_t units_each(const StackLayer& layer) {
    constexpr std::int64_t kPacks = 4 * kClusterBlocks;
    return (layer.units + kPacks - 1) / kPacks * 4;
  }
  /// Index of the first weight of a layer's kernel; of the end, if `layer` is the number of layers.
  [[nodiscard]] std::int64_t kernel(std::size_t layer) const {
    std::int64_t before = 0;
    for (std::size_t n = 0; n < layer; ++n)
      before += layers_[n].is_dense ? layers_[n].inputs * kClusterBlocks * units_each(layers_[n]) : 0;
    return before;
  }
  /// Offset of kernel[input, unit] from kernel(layer).
  [[nodiscard]] std::int64_t at(std::size_t layer, std::int64_t input, std::int64_t unit) const {
    const std::int64_t each = units_each(layers_[layer]);
    return (unit / each * layers_[layer].inputs + input) * each + unit % each;
  }
  [[nodiscard]] std::int64_t elements() const { return kernel(layers_.size()); }
  [[nodiscard]] std::int64_t bias(std::size_t layer) const {
    std::int64_t before = 0;
    for (std::size_t n = 0; n < layer; ++n) before += layers_[n].is_dense ? kClusterBlocks * units_each(layers_[n]) : 0;
    return before;
  }
  [[nodiscard]] std::int64_t bias_elements() const { return bias(layers_.size()); }

 private:
  std::span<const StackLayer> layers_;
};

/// The same as stack() in float32, for at most kMostClusterRows rows and layers of 1 to kMostClusterWidth units and inputs, by
/// one cluster. A sum's terms are divided among threads by the layer's shape alone and added in a fixed order, so a row's bits
/// depend on that row alone; they are not those of stack(). `weights` and `bias` have the layout of ClusterLayout, `workspace`
/// stack_cluster_workspace() bytes. Code for architectures below kClusterArchitecture traps.
[[nodiscard]] std::size_t stack_cluster_workspace(const Stack& args);
/// Bytes of shared memory that a block needs for `batch` rows, more than devices give by default.
[[nodiscard]] std::size_t stack_cluster_shared(std::int64_t batch);
[[nodiscard]] cudaError_t stack_cluster(const Stack& args, cudaStream_t stream);
/// How many clusters for `batch` rows the current device can run at a time. 0, or cudaErrorInvalidClusterSize, on a part of a GPU
/// or a small one, where fewer than kClusterBlocks multiprocessors are neighbours: there the kernel cannot be launched.
[[nodiscard]] cudaError_t stack_clusters_at_once(std::int64_t batch, int& clusters);

}  // namespace lamella::kernels
