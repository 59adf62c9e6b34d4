// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>

#include <lamella/layer.hpp>
#include <lamella/model.hpp>

namespace lamella::ops {
class Tuner;
}

namespace lamella::core {

/// Access to what the interface's handles hold, and the reverse; for the library and its tests only.
struct Access {
  [[nodiscard]] static Model model(std::shared_ptr<const ModelSpec> spec, const Options& options) {
    return {std::move(spec), options};
  }
  /// Before the first call of `model`; the tuner must live as long.
  static void set_tuner(const Model& model, ops::Tuner& tuner);
  [[nodiscard]] static Layer layer(std::shared_ptr<model::LayerState> state) { return Layer(std::move(state)); }
  [[nodiscard]] static KerasTensor tensor(std::shared_ptr<const model::CallState> call, int output) {
    return {std::move(call), output};
  }
  [[nodiscard]] static const std::shared_ptr<model::LayerState>& state(const Layer& layer) noexcept { return layer.state_; }
  [[nodiscard]] static const std::shared_ptr<const model::CallState>& call(const KerasTensor& tensor) noexcept {
    return tensor.call_;
  }
  [[nodiscard]] static int output(const KerasTensor& tensor) noexcept { return tensor.output_; }
};

}  // namespace lamella::core
