// SPDX-License-Identifier: Apache-2.0
/// What all layers have in common; lamella/layers.hpp has the layers.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <lamella/export.hpp>
#include <lamella/tensor.hpp>

namespace lamella {
namespace core {
struct Access;
}
namespace model {
struct LayerState;
struct CallState;
}  // namespace model

class Layer;

/// An argument for which Keras takes one value or a list. {} is None.
template <typename T>
struct OneOrMany {
  std::vector<T> values;
  bool list = false;  ///< written as a list, even with one value
  OneOrMany() = default;
  OneOrMany(T one) : values{std::move(one)} {}                             // NOLINT(google-explicit-constructor): the point
  OneOrMany(std::initializer_list<T> many) : values(many), list(true) {}   // NOLINT(google-explicit-constructor)
  OneOrMany(std::vector<T> many) : values(std::move(many)), list(true) {}  // NOLINT(google-explicit-constructor)
};

/// A symbolic tensor: the result of Input() or of calling a layer. Moving copies.
class LAMELLA_API KerasTensor {
 public:
  KerasTensor(const KerasTensor&) = default;
  KerasTensor& operator=(const KerasTensor&) = default;
  /// The InputLayer, for the first place of a Sequential. Throws ArgumentError (value) for any other layer's value.
  operator Layer() const;                                                    // NOLINT(google-explicit-constructor): as in Keras
  friend bool operator==(const KerasTensor&, const KerasTensor&) = default;  ///< the same output of the same call

 private:
  friend struct core::Access;
  KerasTensor(std::shared_ptr<const model::CallState> call, int output) : call_(std::move(call)), output_(output) {}
  std::shared_ptr<const model::CallState> call_;
  int output_ = 0;
};

/// How weights are initialised.
struct BuildOptions {
  std::optional<std::uint64_t> seed = std::nullopt;  ///< for all initializers without their own; unset: the model's, or 0
};

/// A handle to one layer. Copies refer to the same layer: a layer called twice is shared, weights included. Moving copies.
/// Handles of one layer belong to one thread at a time; a Model made by compile() is independent of them.
class LAMELLA_API Layer {
 public:
  Layer(const Layer&) = default;
  Layer& operator=(const Layer&) = default;

  /// Keras' class: "Dense".
  [[nodiscard]] const std::string& class_name() const noexcept LAMELLA_LIFETIMEBOUND;
  /// The given name; without one, "dense" for every Dense, and each model numbers its own: "dense", "dense_1".
  [[nodiscard]] std::string name() const;
  /// The config in JSON, which keras.layers.CLASS.from_config(json.loads(...)) reads.
  [[nodiscard]] std::string get_config() const;

  /// Draws the weights for samples of this shape, without the batch, -1 where Keras has None. A Sequential can be built this way;
  /// a model builds its layers. Throws ArgumentError, and then changes nothing: argument when built before, shape.
  void build(const std::vector<std::int64_t>& sample_shape, const BuildOptions& options = {});
  /// Copies of the weights in Keras' order. Throws ArgumentError (argument) before build().
  [[nodiscard]] std::vector<Tensor> get_weights() const;
  /// New weights in the order of get_weights(), converted to the layer's dtype. Models compiled before keep theirs.
  /// Throws ArgumentError, and then changes nothing: argument (not built, or a different number of weights), shape.
  void set_weights(std::span<const TensorView> weights);
  void set_weights(std::span<const Tensor> weights);
  void set_weights(std::initializer_list<TensorView> weights);
  /// The number of elements of all weights. Throws ArgumentError (argument) before build().
  [[nodiscard]] std::int64_t count_params() const;

  /// Calls the layer, which adds a node to the graph; the Functional made from it checks the shapes. Throws ArgumentError
  /// (argument) without an input, and for a model with several outputs: use call().
  KerasTensor operator()(const OneOrMany<KerasTensor>& inputs) const;
  /// The same, returning all outputs.
  [[nodiscard]] std::vector<KerasTensor> call(const OneOrMany<KerasTensor>& inputs) const;

  friend bool operator==(const Layer&, const Layer&) = default;  ///< handles of the same layer

 protected:
  explicit Layer(std::shared_ptr<model::LayerState> state) : state_(std::move(state)) {}

 private:
  friend struct core::Access;
  std::shared_ptr<model::LayerState> state_;
};

}  // namespace lamella
