// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/activation.hpp"
#include "kernels/stack.hpp"

/// The arguments of the kernels of a stack.
namespace lamella::kernels {

inline constexpr int kNothing = StackLayer::kNothing;
inline constexpr int kSource = -2;  ///< the addend is src

struct StackedLayer {
  int bias;  ///< its index; kNothing: the layer is not Dense
  int chunks;
  int units;
  ActivationKind activation;
  float parameters[3];
  int added;  ///< the place of the addend, or kSource or kNothing
  int kept;   ///< the place where the result is kept, or kNothing
};

template <typename T>
struct Stacked {
  const T* src;
  const T* weights;
  const float* bias;
  T* dst;
  T* workspace;  ///< places, each of `batch` rows
  std::int64_t batch;
  int inputs;
  int chunks;  ///< of all layers
  int layers;
  bool softmax;
  StackedLayer layer[kMostStackLayers];
};

/// Whether the addend of a layer exists, and is as wide as its result.
inline bool can_be_added(std::span<const StackLayer> layers, std::size_t n) {
  const int added = layers[n].added;
  if (added == kNothing) return true;
  if (added < 0 || static_cast<std::size_t>(added) > n) return false;
  return layers[n].units == (added == 0 ? layers[0].inputs : layers[static_cast<std::size_t>(added) - 1].units);
}

/// Whether the layers fit together, with at most so many inputs and units.
inline bool is_connected(const Stack& args, std::int64_t most_inputs, std::int64_t most_units) {
  if (args.layers.empty() || args.layers.size() > kMostStackLayers || !aligned(args.weights)) return false;
  for (std::size_t n = 0; n < args.layers.size(); ++n) {
    const StackLayer& layer = args.layers[n];
    if (is_rowwise(layer.activation.kind) || layer.inputs > most_inputs || layer.units > most_units) return false;
    if (n > 0 && layer.inputs != args.layers[n - 1].units) return false;
    if (!layer.is_dense && (n == 0 || layer.inputs != layer.units)) return false;
    if (!can_be_added(args.layers, n)) return false;
  }
  return true;
}

/// Whether the kernels support this; `rows` is the number of rows in their smallest block.
inline bool is_possible(const Stack& args, std::int64_t rows) {
  return is_connected(args, kMostStackInputs, kMostStackWidth) && tiles(args.batch, rows) <= kMaxGridX;
}

/// The place of a layer's addend, or kSource or kNothing.
inline int place_of_addend(const StackPlaces& places, const StackLayer& layer) {
  return layer.added > 0 ? places.of(static_cast<std::size_t>(layer.added) - 1) : layer.added == 0 ? kSource : kNothing;
}

template <typename T>
Stacked<T> stacked(const Stack& args) {
  Stacked<T> g{};
  g.src = static_cast<const T*>(args.src);
  g.weights = static_cast<const T*>(args.weights);
  g.bias = args.bias;
  g.dst = static_cast<T*>(args.dst);
  g.workspace = static_cast<T*>(args.workspace);
  g.batch = args.batch;
  g.inputs = static_cast<int>(args.layers.front().inputs);
  g.softmax = args.softmax;
  const StackPlaces places(args.layers);
  const StackLayout layout(args.layers, args.dtype);
  for (const StackLayer& layer : args.layers) {
    const auto n = static_cast<std::size_t>(g.layers++);
    StackedLayer& to = g.layer[n];
    to.bias = layer.is_dense ? static_cast<int>(layout.bias(n)) : kNothing;
    to.chunks = static_cast<int>(layout.chunks(layer));
    to.units = static_cast<int>(layer.units);
    to.activation = layer.activation.kind;
    std::copy_n(layer.activation.parameters.begin(), 3, to.parameters);
    to.added = place_of_addend(places, layer);
    to.kept = places.of(n);
    g.chunks += to.chunks;
  }
  return g;
}

}  // namespace lamella::kernels
