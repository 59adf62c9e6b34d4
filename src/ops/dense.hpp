// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "core/check.hpp"
#include "ops/desc.hpp"

namespace lamella::ops {

/// The refusal common to Dense engines, or empty: dtypes, and a Fusion that is neither `own` nor automatic.
inline std::string refused_by_all(const DenseDesc& desc, std::initializer_list<Fusion> own, std::string_view does) {
  if (!is_floating(desc.dtype)) return core::format("dtype {} is not a floating type", to_string(desc.dtype));
  if (desc.fusion == Fusion::automatic) return {};
  for (const Fusion fusion : own) {
    if (desc.fusion == fusion) return {};
  }
  return core::format("a different fusion was requested; this engine {}", does);
}

/// What an engine fuses that computes all of a (quantized) Dense layer in one pass: "bias+activation", or what of it there is.
template <typename D>
[[nodiscard]] std::string bias_and_activation(const D& desc) {
  const bool activated = desc.activation.kind != ActivationKind::Linear;
  return desc.has_bias ? (activated ? "bias+activation" : "bias") : activated ? "activation" : "";
}

/// "dense 64 x 1024 -> 512, bias, tanh, float32": everything that affects its time.
inline std::string describe(const DenseDesc& d) {
  return core::format("dense {} x {} -> {}{}{}, {}{}{}{}{}", d.batch, d.inputs, d.units, d.has_bias ? ", bias, " : ", ",
                      to_string(d.activation.kind), to_string(d.dtype), d.math == Math::exact ? "" : ", ",
                      d.math == Math::exact ? "" : to_string(d.math), d.fusion == Fusion::automatic ? "" : ", fusion ",
                      d.fusion == Fusion::automatic ? "" : to_string(d.fusion));
}

/// "stack 64 x 16 -> 32, bias tanh -> 16 linear + 0, softmax, float32": the same for several layers.
inline std::string describe(const StackDesc& d) {
  std::string text = core::format("stack {} x {}", d.batch, d.layers.front().inputs);
  for (const StackDesc::Layer& layer : d.layers) {
    text += layer.is_dense ? core::format(" -> {}{}", layer.units, layer.has_bias ? ", bias" : "") : std::string(" ->");
    if (layer.joins()) text += core::format(" [{}, {}]", layer.joined[0], layer.joined[1]);
    text += core::format(" {}", to_string(layer.activation.kind));
    if (layer.added != StackDesc::kNothing) text += core::format(" + {}", layer.added);
  }
  return text + core::format("{}, {}{}{}", d.softmax ? ", softmax" : "", to_string(d.dtype), d.math == Math::exact ? "" : ", ",
                             d.math == Math::exact ? "" : to_string(d.math));
}

/// The refusal of engines whose products a library computes, or empty.
inline std::string refused_by_library(const DenseDesc& desc, std::string_view library) {
  if (desc.determinism != Determinism::batch_invariant) return {};
  return core::format("a row's bits must not depend on the batch size, but {} chooses its order of summation by it", library);
}

}  // namespace lamella::ops
