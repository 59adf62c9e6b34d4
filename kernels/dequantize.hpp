// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/quantize.hpp"
#include "kernels/activation.hpp"
#include "kernels/quantized.hpp"

/// Weights of quantized layers as floats, in the registers of the lanes that multiply them.
namespace lamella::kernels {

inline constexpr int kLaneInputs = static_cast<int>(kRunInputs);  ///< of a chunk
inline constexpr int kLaneAtOnce = 8;                             ///< of these
inline constexpr int kLaneUnits = 2;                              ///< of a tile: 8 apart

/// A quantized layer that does not quantize its rows, as its kernels take it.
template <typename T>
struct Dequantized {
  using C = ComputeOf<T>;
  const T* src;
  const std::uint8_t* weights;
  const C* scale;
  const C* zero;
  const std::int32_t* runs;   ///< the group of each run, or -1
  const std::int32_t* group;  ///< of each input
  const C* input_scale;
  const C* bias;
  T* dst;
  std::int64_t batch, units, groups;
  std::int64_t row_blocks, chunk_bytes;  ///< blocks below each other, and bytes of a chunk of weights
  int inputs, chunks;
  ActivationKind activation;
  Parameters<C> parameters;
};

template <typename T>
Dequantized<T> dequantized(const QuantizedDense& a, const QuantizedLayout& weights, std::int64_t rows_of_block) {
  using C = ComputeOf<T>;
  const auto* const runs = static_cast<const std::int32_t*>(a.group);
  return {static_cast<const T*>(a.src),
          static_cast<const std::uint8_t*>(a.weights),
          static_cast<const C*>(a.scale),
          static_cast<const C*>(a.zero),
          runs,
          runs != nullptr ? runs + tiles(a.inputs, kRunInputs) : nullptr,
          static_cast<const C*>(a.input_scale),
          static_cast<const C*>(a.bias),
          static_cast<T*>(a.dst),
          a.batch,
          a.units,
          a.groups,
          tiles(a.batch, rows_of_block),
          weights.tiles() * weights.tile_bytes(),
          static_cast<int>(a.inputs),
          static_cast<int>(weights.chunks()),
          a.activation.kind,
          Parameters<C>(a.activation)};
}

/// The group of a lane's inputs of a chunk, or -1 if they are of several; and the group's numbers for the lane's units.
template <typename C>
struct OfRun {
  int group = 0;
  C zero[kLaneUnits];
  C scale[kLaneUnits];
};

/// The same for every kApart-th chunk, read before they are needed.
template <typename T, int kApart>
class Runs {
 public:
  using C = ComputeOf<T>;
  LAMELLA_DEVICE void start(const Dequantized<T>& g, std::int64_t unit, int chunk) {
    unit_ = unit;
    run_ = chunk * 4 + static_cast<int>(thread_index()) % 4;
    if (g.groups == 0) return;
    group_ = group_of_next(g);
    next(g);
  }
  LAMELLA_DEVICE OfRun<C> next(const Dequantized<T>& g) {
    const OfRun<C> now = next_;
    if (g.groups == 0) return now;
    next_.group = group_;
    LAMELLA_UNROLL
    for (int h = 0; h < kLaneUnits; ++h) {
      if (group_ < 0 || unit_ + 8 * h >= g.units) continue;
      next_.zero[h] = g.zero[group_ * g.units + unit_ + 8 * h];
      next_.scale[h] = g.scale[group_ * g.units + unit_ + 8 * h];
    }
    group_ = group_of_next(g);
    return now;
  }

 private:
  LAMELLA_DEVICE int group_of_next(const Dequantized<T>& g) {
    const int run = run_;
    run_ += kApart * 4;
    return run * std::int64_t{kLaneInputs} < g.inputs ? g.runs[run] : 0;
  }

  std::int64_t unit_ = 0;
  int run_ = 0;
  int group_ = 0;
  OfRun<C> next_{};
};

/// Weights of a lane: of neighbouring inputs.
template <typename T>
struct LaneWeights {
  using C = ComputeOf<T>;
  C at[kLaneUnits][kLaneAtOnce];

  /// f(q, h, j) for each integer q, of the lane's unit h and input j.
  template <typename F>
  LAMELLA_DEVICE void fill(const uint4& words, const F& f) {
    LAMELLA_UNROLL
    for (int k = 0; k < 4; ++k) {
      const auto byte = [&](unsigned word) { return static_cast<int>(static_cast<std::int8_t>(word >> (8 * k))); };
      at[0][k] = f(byte(words.x), 0, k);
      at[1][k] = f(byte(words.y), 1, k);
      at[0][4 + k] = f(byte(words.z), 0, 4 + k);
      at[1][4 + k] = f(byte(words.w), 1, 4 + k);
    }
  }

  /// The weights of `unit` and `unit` + 8, and of inputs from `input` on, 0 after the last one.
  LAMELLA_DEVICE void dequantize(const Dequantized<T>& g, const uint4& words, const OfRun<C>& run, int input, std::int64_t unit) {
    const RoundToStored<T> round;
    if (g.groups == 0) {
      fill(words, [](int q, int, int) { return static_cast<C>(q); });
    } else if (run.group >= 0) {
      fill(words, [&](int q, int h, int) { return core::dequantized(q, run.zero[h], run.scale[h], round); });
    } else {
      fill(words, [&](int q, int h, int j) {
        if (input + j >= g.inputs || unit + 8 * h >= g.units) return C(0);
        const std::int64_t number = g.group[input + j] * g.units + unit + 8 * h;
        return core::dequantized(q, g.zero[number], g.scale[number], round);
      });
    }
    if (g.input_scale != nullptr) {
      LAMELLA_UNROLL
      for (int j = 0; j < kLaneAtOnce; ++j) {
        const C scale = input + j < g.inputs ? g.input_scale[input + j] : C(1);
        LAMELLA_UNROLL
        for (int h = 0; h < kLaneUnits; ++h) at[h][j] = round(at[h][j] / scale);
      }
    }
    if (input + kLaneAtOnce <= g.inputs) return;
    LAMELLA_UNROLL
    for (int j = 0; j < kLaneAtOnce; ++j) {  // the padding's numbers may be infinite
      LAMELLA_UNROLL
      for (int h = 0; h < kLaneUnits; ++h) at[h][j] = input + j < g.inputs ? at[h][j] : C(0);
    }
  }
};

}  // namespace lamella::kernels
