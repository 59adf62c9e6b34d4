// SPDX-License-Identifier: Apache-2.0
// Dense and activation layers.
#include <optional>

#include "keras/activation_config.hpp"
#include "keras/layers/parsers.hpp"
#include "keras/quantized.hpp"

namespace lamella::keras {
namespace {

ActivationSpec named(const std::string& name, const Fields& fields, const char* key, const Reading& reading) {
  if (name.find('>') != std::string::npos)
    fields.fail_field(ErrorCode::unsupported, key, "got '{}', a custom function", core::escaped(name));
  try {
    const ActivationSpec spec = activation_of(name);
    if (spec.kind == ActivationKind::HardSigmoid && reading.keras2_hard_sigmoid)
      return {.kind = ActivationKind::HardSigmoidKeras2};
    return spec;
  } catch (const ArgumentError& error) {
    fields.fail_field(ErrorCode::value, key, "{}", core::without_code(error.what()));
  }
}

/// A string, or a serialized function; nothing for a serialized layer.
std::optional<ActivationSpec> function_of(const Json& value, const Fields& fields, const Reading& reading) {
  if (value.is_string()) return named(value.get<std::string>(), fields, "activation", reading);
  if (value.is_object() && !value.contains("class_name") && value.contains("value") && value.at("value").is_array()) {
    fields.fail_field(ErrorCode::unsafe, "activation", "is a lambda, Python code, which lamella never runs");
  }
  if (!value.is_object() || !value.contains("class_name") || !value.at("class_name").is_string()) {
    fields.fail_field(ErrorCode::value, "activation", "is neither a name nor a serialized object");
  }
  const std::string class_name = value.at("class_name");
  if (class_name == "__lambda__" || class_name == "Lambda")
    fields.fail_field(ErrorCode::unsafe, "activation", "is Python code, which lamella never runs");
  if (auto operation = activation_operation(value, fields)) return operation;
  if (class_name != "function") return std::nullopt;
  const bool builtin = value.contains("config") && value.at("config").is_string();
  if (!builtin) fields.fail_field(ErrorCode::unsupported, "activation", "is a custom function");
  return named(value.at("config").get<std::string>(), fields, "activation", reading);
}

core::LayerParams plain_activation(ActivationSpec spec, std::vector<int> axes = {}) {
  return core::ActivationParams{spec, std::move(axes)};
}

/// Whether an initializer is Zeros: a name, or an object with one.
bool is_zeros(const Json& initializer) {
  const Json& name = initializer.is_object() && initializer.contains("class_name") ? initializer.at("class_name") : initializer;
  return name.is_string() && (name.get_ref<const std::string&>() == "Zeros" || name.get_ref<const std::string&>() == "zeros");
}

}  // namespace

ParsedActivation read_activation(const Fields& fields, const std::string& path, Reading& reading) {
  if (!fields.has("activation")) return {};
  const Json& value = fields.at("activation");
  if (const auto function = function_of(value, fields, reading)) return {*function, nullptr};
  const auto layer = read_layer(value, path + "/activation", reading);
  if (const auto* plain = std::get_if<core::ActivationParams>(&layer->params); plain != nullptr && plain->axes.empty())
    return {plain->activation, nullptr};
  return {{}, layer};
}

namespace {

core::LayerParams parse_dense(const Fields& f, const std::string& path, Reading& reading) {
  if (f.has("output_dim") && !f.has("units")) {
    f.fail_field(ErrorCode::unsupported, "output_dim",
                 "is Keras 1's name for units; lamella reads files of Keras 2 and 3: load it with Keras 2 and save it again");
  }
  f.expect_only({"units", "activation", "use_bias"}, kKernelKeys);
  core::DenseParams params;
  params.units = f.integer("units", 1, 2147483647);
  params.use_bias = f.boolean("use_bias", true);
  params.quantization = read_quantization(f, reading);
  if (f.has("lora_alpha")) params.lora_alpha = f.number("lora_alpha", 0);
  const ParsedActivation activation = read_activation(f, path, reading);
  params.activation = activation.spec;
  params.activation_layer = activation.layer;
  return params;
}

core::LayerParams parse_activation(const Fields& f, const std::string& path, Reading& reading) {
  f.expect_only({"activation"});
  const auto [spec, layer] = read_activation(f, path, reading);
  if (layer) f.fail_field(ErrorCode::unsupported, "activation", "is a {} layer; use that layer itself", layer->class_name);
  return plain_activation(spec);
}

core::LayerParams parse_relu(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"max_value", "negative_slope", "threshold"});
  const std::optional<double> most = f.has("max_value") ? std::optional(f.number("max_value", 0)) : std::nullopt;
  try {
    return plain_activation(ActivationSpec::relu(f.number("negative_slope", 0), most, f.number("threshold", 0)));
  } catch (const ArgumentError& error) {
    f.fail_field(ErrorCode::value, "max_value, negative_slope, threshold", "{}", core::without_code(error.what()));
  }
}

core::LayerParams parse_leaky_relu(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"negative_slope", "alpha"});
  const double slope = f.number("negative_slope", f.number("alpha", 0.3));
  if (!(slope >= 0)) f.fail_field(ErrorCode::value, "negative_slope", "got {:g}, allowed 0..", slope);
  return plain_activation({.kind = ActivationKind::LeakyRelu, .parameters = {slope}});
}

core::LayerParams parse_elu(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"alpha"});
  return plain_activation({.kind = ActivationKind::Elu, .parameters = {f.number("alpha", 1.0)}});
}

core::LayerParams parse_thresholded_relu(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"theta"});
  return plain_activation({.kind = ActivationKind::Threshold, .parameters = {f.number("theta", 1.0), 0.0}});
}

core::LayerParams parse_softmax(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"axis", "robust_masking"});
  const std::vector<int> axes = f.axes("axis", {-1});
  if (axes.empty()) f.fail_field(ErrorCode::value, "axis", "is an empty list");
  return axes.size() == 1 ? plain_activation({.kind = ActivationKind::Softmax, .parameters = {}, .axis = axes[0]})
                          : plain_activation({.kind = ActivationKind::Softmax}, axes);
}

core::LayerParams parse_prelu(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"shared_axes", "alpha_initializer", "alpha_regularizer", "alpha_constraint"});
  return core::PReluParams{f.has("alpha_initializer") && is_zeros(f.at("alpha_initializer"))};
}

}  // namespace

std::span<const LayerClass> activation_layers() {
  static constexpr LayerClass rows[] = {
      // `activation`: [any of these](activations.md); custom functions and lambdas are refused; a layer such as PReLU may be
      // one. Quantized files: [these policies](keras-files.md#quantized-files). A LoRA is merged. Keras 1 (`output_dim`) is
      // refused.
      {"Dense", parse_dense},

      // `activation`: [any of these](activations.md); custom functions and lambdas are refused, and so is a layer that is not
      // in that list, such as PReLU: use the layer itself.
      {"Activation", parse_activation},

      {"ReLU", parse_relu},
      {"LeakyReLU", parse_leaky_relu},
      {"PReLU", parse_prelu},
      {"ELU", parse_elu},

      // Keras 2.
      {"ThresholdedReLU", parse_thresholded_relu},

      // Floating-point inputs. Along one axis or several. A mask has as many axes as the input.
      {"Softmax", parse_softmax},
  };
  return rows;
}

}  // namespace lamella::keras
