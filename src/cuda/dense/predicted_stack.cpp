// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "cuda/dense/predicted.hpp"
#include "kernels/stack_cluster.hpp"

/// Several layers for few rows: docs/performance.md says how they are counted.
namespace lamella::cuda {
namespace {

double number(std::int64_t n) { return static_cast<double>(n); }
double us_of_cycles(double cycles, const Hardware& on) { return cycles / (on.gigahertz * 1e3); }

ops::DenseDesc alone(const ops::StackDesc& d, const ops::StackDesc::Layer& layer) {
  return {.batch = d.batch,
          .inputs = layer.inputs,
          .units = layer.units,
          .has_bias = layer.has_bias,
          .activation = layer.activation,
          .dtype = d.dtype,
          .math = d.math,
          .determinism = d.determinism};
}

/// The layers from `first` on that `stack` takes together.
std::size_t end_of_narrow(const ops::StackDesc& d, std::size_t first) {
  std::size_t end = first;
  if (d.layers[first].inputs > kernels::kMostStackInputs || !d.layers[first].is_dense) return first;
  while (end < d.layers.size() && d.layers[end].units <= kernels::kMostStackWidth) ++end;
  return end;
}

/// The time of these layers in one launch of `stack`.
double stack_us(std::span<const ops::StackDesc::Layer> layers, const Hardware& on) {
  constexpr double kCyclesOfChunk = 130;
  constexpr std::int64_t kInputsOfChunk = 8;
  double chunks = 0;
  for (const auto& layer : layers) chunks += layer.is_dense ? number((layer.inputs + kInputsOfChunk - 1) / kInputsOfChunk) : 0;
  return kLaunchUs + us_of_cycles(kCyclesOfChunk * chunks, on);
}

}  // namespace

std::optional<double> predicted_stack_us(const ops::StackDesc& d, const Hardware& on) {
  if (d.dtype != DType::float32 || d.batch > kernels::kMostClusterRows) return std::nullopt;
  return stack_us(d.layers, on);
}

double predicted_cluster_us(const ops::StackDesc& d, const Hardware& on) {
  constexpr double kTogether = 0.6;     // microseconds: its blocks have to begin at the same time
  constexpr double kBytesOfCycle = 64;  // that a multiprocessor reads from the second cache
  constexpr double kAround = 650;       // cycles: sums of lanes and warps, activation, stores to all blocks, barrier
  constexpr double kInstructions = 20;  // of a warp for 512 bytes of weights, besides 4.25 for each row
  constexpr double kWarpBytes = 512;
  double cycles = 0;
  for (const auto& layer : d.layers) {
    cycles += kAround;
    if (!layer.is_dense) continue;
    const double bytes = 4 * number(layer.inputs) * number(kernels::ClusterLayout::units_each({layer.inputs, layer.units, {}}));
    const double slots = bytes / kWarpBytes * (kInstructions + 4.25 * number(d.batch)) / 4;
    cycles += std::max(bytes / kBytesOfCycle, slots);
  }
  return kLaunchUs + kTogether + kStartUs + us_of_cycles(cycles, on);
}

double predicted_without_cluster_us(const ops::StackDesc& d, const Hardware& on, bool overlaps) {
  double sum = d.softmax ? kLaunchUs + kStartUs : 0;
  bool follows = false;  // a layer of few rows
  for (std::size_t n = 0; n < d.layers.size();) {
    const auto& layer = d.layers[n];
    if (const std::size_t end = end_of_narrow(d, n); end > n + 1) {
      sum += stack_us(std::span(d.layers).subspan(n, end - n), on);
      if (d.softmax && end == d.layers.size()) sum -= kLaunchUs + kStartUs;
      n = end;
      follows = false;
      continue;
    }
    if (layer.is_dense) {
      const ops::DenseDesc dense = alone(d, layer);
      const double few = predicted_small_batch_us(dense, on, false) - (follows && overlaps ? kOverlapSavesUs : 0);
      sum += std::min({few, predicted_library_us(dense, on, true), predicted_tiled_us(dense, on)});
    } else {
      sum += kLaunchUs;
    }
    if (layer.added != ops::StackDesc::kNothing) sum += kLaunchUs;
    follows = layer.is_dense && layer.added == ops::StackDesc::kNothing;
    ++n;
  }
  return sum;
}

}  // namespace lamella::cuda
