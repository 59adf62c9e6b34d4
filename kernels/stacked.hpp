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
inline constexpr int kSource = -2;  ///< the value is src

/// What a layer takes of earlier values, and leaves for later ones.
struct LayerValues {
  int added;      ///< the place of the addend, or kSource or kNothing
  int kept;       ///< the place where the result is kept, or kNothing
  int joined[2];  ///< the places of the values that are joined, or kSource or kNothing
  int joint;      ///< the width of the first of them
};

/// The place and the element of one of two joined values that are at `unit` of both side by side.
struct JoinedElement {
  int place;
  int unit;
};
LAMELLA_DEVICE JoinedElement joined_element(const LayerValues& layer, int unit) {
  return unit < layer.joint ? JoinedElement{layer.joined[0], unit} : JoinedElement{layer.joined[1], unit - layer.joint};
}

struct StackedLayer : LayerValues {
  int bias;  ///< its index; kNothing: the layer is not Dense
  int chunks;
  int units;
  ActivationKind activation;
  float parameters[3];
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

/// The width of a value; -1 if the nth layer comes before it.
inline std::int64_t width_of(std::span<const StackLayer> layers, int value, std::size_t n) {
  if (value < 0 || static_cast<std::size_t>(value) > n) return -1;
  return value == 0 ? layers[0].inputs : layers[static_cast<std::size_t>(value) - 1].units;
}

/// Whether the values that a layer takes exist, and are as wide as it takes them.
inline bool has_its_values(std::span<const StackLayer> layers, std::size_t n) {
  const StackLayer& layer = layers[n];
  if (layer.added != kNothing && width_of(layers, layer.added, n) != layer.units) return false;
  if (!layer.joins()) return layer.joined[1] == kNothing && (n == 0 || layer.inputs == layers[n - 1].units);
  const std::int64_t first = width_of(layers, layer.joined[0], n);
  const std::int64_t second = width_of(layers, layer.joined[1], n);
  return !layer.is_dense && first >= 0 && second >= 0 && layer.inputs == first + second;
}

/// Whether the layers fit together, and have at most these numbers of inputs and units.
inline bool is_connected(const Stack& args, std::int64_t most_inputs, std::int64_t most_units) {
  if (args.layers.empty() || args.layers.size() > kMostStackLayers || !aligned(args.weights)) return false;
  for (std::size_t n = 0; n < args.layers.size(); ++n) {
    const StackLayer& layer = args.layers[n];
    if (is_rowwise(layer.activation.kind) || layer.inputs > most_inputs || layer.units > most_units) return false;
    if (!layer.is_dense && (n == 0 || layer.inputs != layer.units)) return false;
    if (!has_its_values(args.layers, n)) return false;
  }
  return true;
}

/// Whether the kernels support this; `rows` is the number of rows in their smallest block.
inline bool is_possible(const Stack& args, std::int64_t rows) {
  return is_connected(args, kMostStackInputs, kMostStackWidth) && tiles(args.batch, rows) <= kMaxGridX;
}

/// The place of a value, or kSource or kNothing.
inline int place_of(const StackPlaces& places, int value) {
  return value > 0 ? places.of(static_cast<std::size_t>(value) - 1) : value == 0 ? kSource : kNothing;
}

/// The values of the nth layer.
inline LayerValues values_of(std::span<const StackLayer> layers, const StackPlaces& places, std::size_t n) {
  const StackLayer& layer = layers[n];
  return {.added = place_of(places, layer.added),
          .kept = places.of(n),
          .joined = {place_of(places, layer.joined[0]), place_of(places, layer.joined[1])},
          .joint = layer.joins() ? static_cast<int>(width_of(layers, layer.joined[0], n)) : 0};
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
    static_cast<LayerValues&>(to) = values_of(args.layers, places, n);
    g.chunks += to.chunks;
  }
  return g;
}

}  // namespace lamella::kernels
