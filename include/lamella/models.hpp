// SPDX-License-Identifier: Apache-2.0
/// Models built in C++: Keras' Sequential and Functional. compile() makes the Model that runs.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include <lamella/export.hpp>
#include <lamella/layers.hpp>
#include <lamella/model.hpp>
#include <lamella/options.hpp>

namespace lamella {

struct ModelOptions {
  std::string name = {};
  bool trainable = true;
  std::uint64_t seed = 0;  ///< for the weights that this model draws; a nested model has its own
};

/// Common base of Sequential and Functional. Both are layers too, and may be part of other models.
class LAMELLA_API Network : public Layer {
 public:
  /// A Model with the current weights, made from get_config() by the code that reads files.
  /// Throws ArgumentError (argument) before build(), and as Model does.
  [[nodiscard]] Model compile(const Options& options = {}) const;
  /// Keras' summary table. Throws ArgumentError (argument) before build().
  [[nodiscard]] std::string summary() const;
  /// In Keras' order; for a Sequential, without its InputLayer.
  [[nodiscard]] std::vector<Layer> layers() const;
  /// By its name in this model. Throws ArgumentError (value) if there is none, listing the names.
  [[nodiscard]] Layer get_layer(std::string_view name) const;

 protected:
  using Layer::Layer;
};

/// A linear stack of layers. Built at once if the first is an Input, else by build().
class LAMELLA_API Sequential : public Network {
 public:
  Sequential() : Sequential(std::vector<Layer>{}) {}
  explicit Sequential(std::initializer_list<Layer> layers, const ModelOptions& options = {})
      : Sequential(std::vector<Layer>(layers), options) {}
  explicit Sequential(const std::vector<Layer>& layers, const ModelOptions& options = {});
  /// Throws ArgumentError, and then changes nothing: argument (already part of another model), value, shape.
  void add(const Layer& layer);
};

/// The layers that compute `outputs` from `inputs`, which are values of Input(). Built at once.
/// Throws ArgumentError: argument, value (an input is missing, or is not from Input()), shape; no layer is changed then.
class LAMELLA_API Functional : public Network {
 public:
  Functional(const OneOrMany<KerasTensor>& inputs, const OneOrMany<KerasTensor>& outputs, const ModelOptions& options = {});
};

}  // namespace lamella
