// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "cuda/dense/predicted.hpp"
#include "cuda/plans.hpp"
#include "kernels/kernels.hpp"
#include "kernels/stack_cluster.hpp"

/// Several layers: docs/performance.md says how they are counted.
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

/// What the kernels of `stack` take, by what ptxas makes of them for sm_90.
struct StackCosts {
  std::int64_t inputs_of_chunk;
  double start_us;             ///< before the first chunk; in float32 it is a part of each chunk's cycles
  double cycles_of_chunk;      ///< from one chunk of weights to the next where other warps do not hide a warp's waits
  double few, some, many;      ///< a warp's instructions for a chunk, by tile
  double simple, exponential;  ///< a thread's for a result, by the kind of activation: with bias, rounding and store
};
constexpr StackCosts kFloat32{8, 0, 130, 60, 92, 308, 8, 45};
constexpr StackCosts k16BitsNarrow{32, kStartUs, 240, 66, 66, 66, 12, 28};
constexpr StackCosts k16BitsWide{32, kStartUs, 240, 102, 102, 102, 12, 28};

}  // namespace

double predicted_stack_us(const ops::StackDesc& d, const Hardware& on) {
  constexpr double kLanes = 32;
  constexpr double kIssued = 4;  // warp instructions of a multiprocessor in a cycle
  constexpr int kSimpleUlp = 2;  // formulas with exponentials err by more
  const auto is_wide = [](const ops::StackDesc::Layer& layer) { return layer.units > kernels::StackLayout::kNarrow; };
  const bool wide = std::any_of(d.layers.begin(), d.layers.end(), is_wide);
  const std::int64_t width = wide ? kernels::kMostStackWidth : kernels::StackLayout::kNarrow;
  const kernels::StackTile tile = kernels::stack_tile(d.dtype, width, d.batch);
  const std::int64_t rows = kernels::stack_rows(d.dtype, width, tile);
  const StackCosts& costs = !is_narrow(d.dtype) ? kFloat32 : wide ? k16BitsWide : k16BitsNarrow;
  const double of_chunk = tile == kernels::StackTile::many_rows   ? costs.many
                          : tile == kernels::StackTile::some_rows ? costs.some
                                                                  : costs.few;
  const double warps = is_narrow(d.dtype) ? number(rows) / 16 : 8;
  const double products = number(rows * width * costs.inputs_of_chunk) / stack_rate(d.dtype, on);
  double waits = 0;  // cycles of a block that has a multiprocessor to itself
  double busy = 0;   // cycles of a multiprocessor for a block
  for (const auto& layer : d.layers) {
    const double chunks = layer.is_dense ? number((layer.inputs + costs.inputs_of_chunk - 1) / costs.inputs_of_chunk) : 0;
    const double of_result = ulp_bound(layer.activation.kind) > kSimpleUlp ? costs.exponential : costs.simple;
    waits += costs.cycles_of_chunk * chunks;
    busy += std::max(products, warps * of_chunk / kIssued) * chunks;
    busy += number(rows * layer.units) / kLanes * of_result / kIssued;
  }
  const double blocks = std::ceil(std::ceil(number(d.batch) / number(rows)) / on.multiprocessors);  // of a multiprocessor
  const double bytes = number(size_of(d.dtype)) * number(d.batch * (d.layers.front().inputs + d.layers.back().units));
  return kLaunchUs + costs.start_us +
         std::max(us_of_cycles(std::max(waits, blocks * busy), on), bytes / (900 * on.gigabytes_per_second));
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

double predicted_apart_us(const ops::StackDesc& d, const Hardware& on, bool overlaps) {
  double sum = d.softmax ? kLaunchUs + kStartUs : 0;
  bool follows = false;  // a layer of few rows
  const bool mma = is_narrow(d.dtype) && on.architecture >= kernels::kMmaArchitecture;
  for (const auto& layer : d.layers) {
    if (layer.is_dense) {
      const ops::DenseDesc dense = alone(d, layer);
      const double least = predicted_alone_us(dense, on);
      sum += follows && overlaps ? std::min(least, predicted_small_batch_us(dense, on, mma) - kOverlapSavesUs) : least;
    } else {
      sum += kLaunchUs;
    }
    if (layer.added != ops::StackDesc::kNothing) sum += kLaunchUs;
    follows = layer.is_dense && layer.added == ops::StackDesc::kNothing && d.batch <= kernels::small_batch_most(d.dtype);
  }
  return sum;
}

}  // namespace lamella::cuda
