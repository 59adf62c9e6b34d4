// SPDX-License-Identifier: Apache-2.0
// Parsers from the config of each layer class to its parameters.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "keras/reading.hpp"

namespace lamella::keras {

/// The value of `activation`: a string, a serialized function, a serialized layer, or null.
struct ParsedActivation {
  ActivationSpec spec;
  std::shared_ptr<const core::LayerSpec> layer;  ///< then `spec` is linear
};
[[nodiscard]] ParsedActivation read_activation(const Fields& fields, const std::string& path, Reading& reading);

/// Keys without effect at inference, for Fields::expect_only(): of a kernel with its bias, and of scale and offset.
inline constexpr std::string_view kKernelKeys[] = {"kernel_initializer", "kernel_regularizer", "kernel_constraint",
                                                   "bias_initializer",   "bias_regularizer",   "bias_constraint",
                                                   "lora_rank",          "lora_alpha",         "quantization_config"};
inline constexpr std::string_view kScaleKeys[] = {"beta_initializer",  "beta_regularizer",  "beta_constraint",
                                                  "gamma_initializer", "gamma_regularizer", "gamma_constraint"};

using LayerParser = core::LayerParams (*)(const Fields& f, const std::string& path, Reading& reading);
/// A layer class by Keras' name, and the parser of its config. Each file lists the classes that it parses; the comments there say
/// what a class cannot do, for docs/layers.md.
struct LayerClass {
  std::string_view name;
  LayerParser parse;
};
[[nodiscard]] std::span<const LayerClass> activation_layers();
[[nodiscard]] std::span<const LayerClass> lookup_layers();
[[nodiscard]] std::span<const LayerClass> merge_layers();
[[nodiscard]] std::span<const LayerClass> normalization_layers();
[[nodiscard]] std::span<const LayerClass> product_layers();
[[nodiscard]] std::span<const LayerClass> shape_layers();

}  // namespace lamella::keras
