// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "kernels/stack.hpp"
#include "tests/kernels/kernel_support.hpp"

/// Stacks for tests, of layers and numbers of any kind.
namespace lamella::test {

using kernels::StackLayer;
using kernels::StackLayout;
using kernels::StackTile;

inline constexpr std::array kTiles{StackTile::few_rows, StackTile::some_rows, StackTile::many_rows};

struct Case {
  StackTile tile = StackTile::automatic;
  std::int64_t batch = 0;
  std::vector<StackLayer> layers;
  bool softmax = false;
  DType dtype = DType::float32;
  bool packs = false;           ///< src and dst are aligned to 16 bytes, else to one element
  std::vector<bool> bias = {};  ///< whether each layer has one; empty: all do
  [[nodiscard]] bool has_bias(std::size_t layer) const { return bias.empty() || bias[layer]; }
};

/// Layers of these widths: first the input's, then each result's.
inline std::vector<StackLayer> layers_of(const std::vector<std::int64_t>& widths, ActivationSpec activation = {}) {
  std::vector<StackLayer> layers;
  for (std::size_t n = 1; n < widths.size(); ++n) layers.push_back({widths[n - 1], widths[n], activation});
  return layers;
}

struct Data {
  std::vector<double> x;
  std::vector<std::vector<double>> w, b;
};
inline Data random_data(const Case& c) {
  Data data{random_values(c.batch * c.layers.front().inputs, 1, c.dtype), {}, {}};
  unsigned seed = 2;
  for (const StackLayer& layer : c.layers) {
    const double width = 1 / std::sqrt(static_cast<double>(layer.inputs) + 1);
    data.w.push_back(random_values(layer.inputs * layer.units, seed++, c.dtype, width));
    data.b.push_back(random_values(layer.units, seed++, c.dtype));
  }
  return data;
}

/// Weights and biases in the order of a layout.
template <typename Layout>
std::pair<std::vector<double>, std::vector<double>> packed(const Case& c, const Data& data, const Layout& layout) {
  std::vector<double> weights(static_cast<std::size_t>(layout.elements()));
  std::vector<double> biases(static_cast<std::size_t>(layout.bias_elements()));
  for (std::size_t n = 0; n < c.layers.size(); ++n) {
    if (!c.layers[n].is_dense) continue;
    const std::int64_t inputs = c.layers[n].inputs;
    const std::int64_t units = c.layers[n].units;
    for (std::int64_t u = 0; u < units; ++u) {
      for (std::int64_t i = 0; i < inputs; ++i)
        weights.at(static_cast<std::size_t>(layout.kernel(n) + layout.at(n, i, u))) =
            data.w[n][static_cast<std::size_t>(i * units + u)];
      biases.at(static_cast<std::size_t>(layout.bias(n) + u)) = c.has_bias(n) ? data.b[n][static_cast<std::size_t>(u)] : -0.0;
    }
  }
  return {std::move(weights), std::move(biases)};
}

inline std::vector<double> run(const Case& c, const Data& data) {
  const StackLayout layout(c.layers, c.dtype);
  const auto [weights_packed, biases] = packed(c, data, layout);
  Buffer src(data.x, c.dtype, c.packs);
  Buffer weights(weights_packed, c.dtype, true);
  Buffer bias(biases, DType::float32);
  Buffer dst(c.batch * c.layers.back().units, c.dtype, c.packs);
  kernels::Stack args{.layers = c.layers,
                      .softmax = c.softmax,
                      .dtype = c.dtype,
                      .src = src.data(),
                      .weights = weights.data(),
                      .bias = static_cast<const float*>(bias.data()),
                      .dst = dst.data(),
                      .batch = c.batch,
                      .tile = c.tile};
  Buffer workspace(static_cast<std::int64_t>(kernels::stack_workspace(args) / size_of(c.dtype)), c.dtype, true);
  args.workspace = workspace.data();
  EXPECT_EQ(kernels::stack(args, nullptr), cudaSuccess);
  EXPECT_TRUE(dst.guarded() && workspace.guarded());
  return dst.values();
}

inline StackLayer plus(StackLayer layer, int added) {
  layer.added = added;
  return layer;
}
inline StackLayer without_product(std::int64_t units, ActivationKind activation = ActivationKind::Linear,
                                  int added = StackLayer::kNothing) {
  return {units, units, ActivationSpec{.kind = activation}, false, added};
}

/// A layer that takes two earlier values side by side.
inline StackLayer side_by_side(int first, int second, std::int64_t units, ActivationKind activation = ActivationKind::Linear) {
  return {units, units, ActivationSpec{.kind = activation}, false, StackLayer::kNothing, {first, second}};
}

/// Layers whose places in the workspace are free again, at once or a layer later, while other threads may still read them.
inline std::vector<StackLayer> layers_that_reuse_places(const ActivationSpec& activation) {
  constexpr auto kRelu = ActivationKind::Relu;
  return {{9, 6, {}},
          {6, 6, activation},
          side_by_side(1, 2, 12),
          without_product(12, kRelu),
          without_product(12, kRelu, 3),
          side_by_side(4, 5, 24),
          {24, 2, {}}};
}

/// What a layer takes of the values before it.
template <typename T>
std::vector<T> taken(const Case& c, std::size_t n, const std::vector<std::vector<T>>& values) {
  const StackLayer& layer = c.layers[n];
  if (!layer.joins()) return values.back();
  std::vector<T> both;
  for (std::int64_t row = 0; row < c.batch; ++row) {
    for (const int value : layer.joined) {
      const std::vector<T>& all = values[static_cast<std::size_t>(value)];
      const std::int64_t width = static_cast<std::int64_t>(all.size()) / c.batch;
      both.insert(both.end(), all.begin() + row * width, all.begin() + (row + 1) * width);
    }
  }
  return both;
}

/// Layers of any widths and kinds, with sums of any two values that are alike, and any two side by side.
inline Case random_case(std::mt19937& random, bool many_inputs, std::int64_t most_units = kernels::kMostStackWidth) {
  const auto draw = [&](std::int64_t from, std::int64_t to) {
    return std::uniform_int_distribution<std::int64_t>(from, to)(random);
  };
  Case c{.tile = kTiles[static_cast<std::size_t>(draw(0, 2))], .batch = draw(1, 41), .layers = {}};
  std::vector<std::int64_t> widths{draw(1, many_inputs ? kernels::kMostStackInputs : 40)};
  const auto count = static_cast<std::size_t>(draw(1, 9));
  while (c.layers.size() < count) {
    const bool is_dense = c.layers.empty() || draw(0, 3) != 0;
    const std::int64_t inputs = widths.back();
    const std::int64_t units = std::min(draw(0, 1) == 0 ? widths[widths.size() / 2] : draw(1, most_units), most_units);
    StackLayer layer{inputs, is_dense ? units : inputs, {}, is_dense};
    const auto any = [&] { return draw(0, static_cast<std::int64_t>(widths.size()) - 1); };
    const std::int64_t first = any();
    const std::int64_t second = any();
    const std::int64_t both = widths[static_cast<std::size_t>(first)] + widths[static_cast<std::size_t>(second)];
    if (!is_dense && both <= most_units) layer = side_by_side(static_cast<int>(first), static_cast<int>(second), both);
    if (draw(0, 1) == 0) layer.activation.kind = ActivationKind::Relu;
    const auto added = static_cast<std::size_t>(any());
    if (draw(0, 1) == 0 && widths[added] == layer.units) layer.added = static_cast<int>(added);
    c.bias.push_back(draw(0, 3) != 0);
    widths.push_back(layer.units);
    c.layers.push_back(layer);
  }
  return c;
}

/// Every part of a batch has the bits that `wanted` has for its rows, in every tile.
inline void expect_bits_of_parts(const Case& all, const Data& data, const std::vector<double>& wanted,
                                 std::span<const StackTile> tiles, std::initializer_list<std::int64_t> batches) {
  const std::int64_t inputs = all.layers.front().inputs;
  const std::int64_t units = all.layers.back().units;
  for (const StackTile tile : tiles) {
    for (const std::int64_t first : {0, 5, 139}) {
      for (const std::int64_t batch : batches) {
        if (first + batch > all.batch) continue;
        Case part = all;
        part.tile = tile;
        part.batch = batch;
        const auto x = data.x.begin() + first * inputs;
        const std::vector<double> y = run(part, {{x, x + batch * inputs}, data.w, data.b});
        ASSERT_TRUE(std::equal(y.begin(), y.end(), wanted.begin() + first * units)) << batch << " rows from " << first;
      }
    }
  }
}

}  // namespace lamella::test
