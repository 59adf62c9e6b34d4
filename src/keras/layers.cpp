// SPDX-License-Identifier: Apache-2.0
// One row a class that lamella knows: how its config becomes parameters, and which weights it has.
#include <algorithm>
#include <functional>

#include "keras/tree.hpp"

namespace lamella::keras {
namespace {

using Weights = std::vector<std::pair<std::string, bool>>;  // name, trainable

struct Parsed {
  core::LayerParams params;
  Weights weights;
  std::shared_ptr<LayerTree> activation;
};
using Parser = std::function<Parsed(const Fields&, const std::string& path, Reading&)>;

ActivationSpec named(const std::string& name, const Fields& fields, const char* key, const Reading& reading) {
  if (name.find('>') != std::string::npos)
    fields.fail_field(ErrorCode::unsupported, key, core::concat("got '", core::escaped(name), "', a custom function"));
  try {
    const ActivationSpec spec = activation(name);
    if (spec.kind == ActivationKind::HardSigmoid && reading.keras2_hard_sigmoid)
      return {.kind = ActivationKind::HardSigmoidKeras2};
    return spec;
  } catch (const ArgumentError& error) {
    fields.fail_field(ErrorCode::value, key, core::concat("got '", core::escaped(name), "': ", error.what()));
  }
}

/// A string, a serialized function, a serialized layer, or null.
void read_activation(const Fields& fields, const std::string& path, Reading& reading, ActivationSpec& spec,
                     std::shared_ptr<LayerTree>& layer) {
  if (!fields.has("activation")) return;
  const Json& value = fields.at("activation");
  if (value.is_string()) {
    spec = named(value.get<std::string>(), fields, "activation", reading);
    return;
  }
  if (value.is_object() && !value.contains("class_name") && value.contains("value") && value.at("value").is_array()) {
    fields.fail_field(ErrorCode::unsafe, "activation", "is a lambda, Python code, which lamella never runs");
  }
  if (!value.is_object() || !value.contains("class_name") || !value.at("class_name").is_string()) {
    fields.fail_field(ErrorCode::value, "activation", "is neither a name nor a serialized object");
  }
  const std::string class_name = value.at("class_name");
  if (class_name == "__lambda__" || class_name == "Lambda")
    fields.fail_field(ErrorCode::unsafe, "activation", "is Python code, which lamella never runs");
  if (class_name == "function") {
    const bool builtin = value.contains("config") && value.at("config").is_string();
    if (!builtin) fields.fail_field(ErrorCode::unsupported, "activation", "is a custom function");
    spec = named(value.at("config").get<std::string>(), fields, "activation", reading);
    return;
  }
  layer = read_layer(value, path + "/activation", reading);
  if (const auto* plain = std::get_if<core::ActivationParams>(&layer->spec->params); plain != nullptr && plain->axes.empty()) {
    spec = plain->activation;
    layer = nullptr;
  }
}

Parsed dense(const Fields& f, const std::string& path, Reading& reading) {
  f.expect_only({"units", "activation", "use_bias"});
  core::DenseParams params;
  params.units = f.integer("units", 1, 2147483647);
  params.use_bias = f.boolean("use_bias", true);
  if (f.has("quantization_config"))
    f.fail_field(ErrorCode::unsupported, "quantization_config", "is set; quantized layers are not supported");
  Parsed parsed;
  read_activation(f, path, reading, params.activation, parsed.activation);
  if (parsed.activation) params.activation_layer = parsed.activation->spec;
  parsed.weights = {{"kernel", true}};
  if (params.use_bias) parsed.weights.emplace_back("bias", true);
  parsed.params = std::move(params);
  return parsed;
}

Parsed plain_activation(ActivationSpec spec, std::vector<int> axes = {}) {
  return {core::ActivationParams{spec, std::move(axes)}, {}, nullptr};
}

Parsed activation_layer(const Fields& f, const std::string& path, Reading& reading) {
  f.expect_only({"activation"});
  ActivationSpec spec;
  std::shared_ptr<LayerTree> layer;
  read_activation(f, path, reading, spec, layer);
  if (layer)
    f.fail_field(ErrorCode::unsupported, "activation",
                 core::concat("is a ", layer->spec->class_name, " layer; use that layer itself"));
  return plain_activation(spec);
}

Parsed relu_layer(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"max_value", "negative_slope", "threshold"});
  const std::optional<double> most = f.has("max_value") ? std::optional(f.number("max_value", 0)) : std::nullopt;
  try {
    return plain_activation(relu(f.number("negative_slope", 0), most, f.number("threshold", 0)));
  } catch (const ArgumentError& error) {
    f.fail_field(ErrorCode::value, "max_value, negative_slope, threshold", error.what());
  }
}

Parsed leaky_relu_layer(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"negative_slope", "alpha"});
  const double slope = f.number("negative_slope", f.number("alpha", 0.3));
  if (!(slope >= 0)) f.fail_field(ErrorCode::value, "negative_slope", core::concat("got ", slope, ", allowed 0.."));
  return plain_activation({.kind = ActivationKind::LeakyRelu, .parameters = {slope}});
}

Parsed elu_layer(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"alpha"});
  return plain_activation({.kind = ActivationKind::Elu, .parameters = {f.number("alpha", 1.0)}});
}

Parsed thresholded_relu_layer(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"theta"});
  return plain_activation({.kind = ActivationKind::Threshold, .parameters = {f.number("theta", 1.0), 0.0}});
}

Parsed softmax_layer(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"axis", "robust_masking"});
  const std::vector<int> axes = f.axes("axis", {-1});
  if (axes.empty()) f.fail_field(ErrorCode::value, "axis", "is an empty list");
  return axes.size() == 1 ? plain_activation({.kind = ActivationKind::Softmax, .parameters = {}, .axis = axes[0]})
                          : plain_activation({.kind = ActivationKind::Softmax}, axes);
}

Parsed prelu_layer(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"shared_axes"});
  return {core::PReluParams{}, {{"alpha", true}}, nullptr};
}

Parsed identity_layer(const Fields&, const std::string&, Reading&) { return {core::IdentityParams{}, {}, nullptr}; }

Parsed flatten_layer(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"data_format"});
  const std::string format = f.string("data_format", "channels_last");
  if (format != "channels_last" && format != "channels_first") {
    f.fail_field(ErrorCode::value, "data_format",
                 core::concat("got '", core::escaped(format), "', allowed channels_last, channels_first"));
  }
  return {core::FlattenParams{format == "channels_first"}, {}, nullptr};
}

Parsed reshape_layer(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"target_shape"});
  core::ReshapeParams params;
  int open = 0;
  for (const int extent : f.axes("target_shape", {})) {
    if (extent < -1) f.fail_field(ErrorCode::value, "target_shape", core::concat("got ", extent, ", allowed -1.."));
    open += extent == -1 ? 1 : 0;
    params.target.push_back(extent);
  }
  if (open > 1) f.fail_field(ErrorCode::value, "target_shape", "has more than one -1");
  return {params, {}, nullptr};
}

Parsed batch_normalization(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"axis", "epsilon", "center", "scale", "renorm", "renorm_clipping", "renorm_momentum", "virtual_batch_size",
                 "adjustment", "fused"});
  if (f.boolean("renorm", false)) f.fail_field(ErrorCode::unsupported, "renorm", "is true");
  const std::vector<int> axes = f.axes("axis", {-1});
  if (axes.size() != 1) f.fail_field(ErrorCode::unsupported, "axis", core::concat("has ", axes.size(), " entries, allowed 1"));
  core::BatchNormalizationParams params{axes[0], f.number("epsilon", 1e-3), f.boolean("center", true), f.boolean("scale", true)};
  Weights weights;
  if (params.scale) weights.emplace_back("gamma", true);
  if (params.center) weights.emplace_back("beta", true);
  weights.emplace_back("moving_mean", false);
  weights.emplace_back("moving_variance", false);
  return {params, weights, nullptr};
}

Parsed layer_normalization(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"axis", "epsilon", "center", "scale", "rms_scaling"});
  core::LayerNormalizationParams params{f.axes("axis", {-1}), f.number("epsilon", 1e-3), f.boolean("center", true),
                                        f.boolean("scale", true), f.boolean("rms_scaling", false)};
  Weights weights;
  if (params.scale || params.rms_scaling) weights.emplace_back("gamma", true);
  if (params.center && !params.rms_scaling) weights.emplace_back("beta", true);
  return {params, weights, nullptr};
}

Parsed rescaling(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"scale", "offset"});
  core::RescalingParams params;
  if (f.has("scale")) params.scale = f.numbers("scale");
  if (f.has("offset")) params.offset = f.numbers("offset");
  if (params.scale.empty() || params.offset.empty()) f.fail_field(ErrorCode::value, "scale, offset", "hold no number");
  return {params, {}, nullptr};
}

Parsed normalization(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"axis", "mean", "variance", "invert"});
  core::NormalizationParams params{f.has("axis") ? f.axes("axis", {}) : std::vector<int>{}, f.boolean("invert", false)};
  if (f.has("mean") != f.has("variance")) f.fail_field(ErrorCode::value, "mean, variance", "only one of them is given");
  Weights weights;
  if (!f.has("mean")) weights = {{"mean", false}, {"variance", false}, {"count", false}};
  return {params, weights, nullptr};
}

template <core::MergeKind K>
Parsed merge(const Fields& f, const std::string&, Reading&) {
  f.expect_only({});
  return {core::MergeParams{K}, {}, nullptr};
}

Parsed concatenate(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"axis"});
  return {core::ConcatenateParams{f.has("axis") ? static_cast<int>(f.integer("axis", -64, 64)) : -1}, {}, nullptr};
}

Parsed input_layer(const Fields& f, const std::string&, Reading&) {
  f.expect_only(
      {"batch_shape", "batch_input_shape", "sparse", "ragged", "optional", "shape", "batch_size", "type_spec", "input_tensor"});
  if (f.boolean("sparse", false) || f.boolean("ragged", false)) f.fail_field(ErrorCode::unsupported, "sparse, ragged", "is true");
  const char* key = f.has("batch_shape") ? "batch_shape" : "batch_input_shape";
  core::InputParams params{read_shape(f.at(key), f, key), DType::float32};
  if (params.batch_shape.empty()) f.fail_field(ErrorCode::shape, key, "has no batch axis");
  const std::string dtype = f.has("dtype") && f.at("dtype").is_string() ? f.at("dtype").get<std::string>() : "float32";
  try {
    // Wider integers than lamella's, and booleans, carry the same numbers into floating point.
    params.dtype = dtype == "bool" || dtype.starts_with("int") || dtype.starts_with("uint") ? DType::int32 : dtype_of(dtype);
  } catch (const ArgumentError& error) {
    f.fail_field(ErrorCode::dtype, "dtype", error.what());
  }
  return {params, {}, nullptr};
}

const std::map<std::string, Parser, std::less<>>& classes() {
  static const std::map<std::string, Parser, std::less<>> table{
      {"InputLayer", input_layer},
      {"Dense", dense},
      {"Activation", activation_layer},
      {"ReLU", relu_layer},
      {"LeakyReLU", leaky_relu_layer},
      {"PReLU", prelu_layer},
      {"ELU", elu_layer},
      {"ThresholdedReLU", thresholded_relu_layer},
      {"Softmax", softmax_layer},
      {"Dropout", identity_layer},
      {"GaussianDropout", identity_layer},
      {"AlphaDropout", identity_layer},
      {"SpatialDropout1D", identity_layer},
      {"SpatialDropout2D", identity_layer},
      {"SpatialDropout3D", identity_layer},
      {"GaussianNoise", identity_layer},
      {"ActivityRegularization", identity_layer},
      {"Identity", identity_layer},
      {"Flatten", flatten_layer},
      {"Reshape", reshape_layer},
      {"BatchNormalization", batch_normalization},
      {"LayerNormalization", layer_normalization},
      {"Rescaling", rescaling},
      {"Normalization", normalization},
      {"Add", merge<core::MergeKind::add>},
      {"Subtract", merge<core::MergeKind::subtract>},
      {"Multiply", merge<core::MergeKind::multiply>},
      {"Average", merge<core::MergeKind::average>},
      {"Maximum", merge<core::MergeKind::maximum>},
      {"Minimum", merge<core::MergeKind::minimum>},
      {"Concatenate", concatenate},
  };
  return table;
}

bool keras_module(std::string_view module) {
  for (const std::string_view prefix : {"keras", "tf_keras", "tensorflow.keras", "tensorflow.python.keras"}) {
    if (module == prefix || (module.starts_with(prefix) && module[prefix.size()] == '.')) return true;
  }
  return false;
}

/// Refuses what is not one of Keras' own layer classes.
void expect_builtin(const Json& object, const std::string& class_name, const std::string& layer, const Reading& reading) {
  if (class_name == "Lambda" || class_name == "__lambda__" || class_name == "TFSMLayer" || class_name == "TorchModuleWrapper") {
    fail_layer(reading, ErrorCode::unsafe, layer,
               core::concat("class ", class_name, " carries code; lamella never runs code from a file"));
  }
  if (object.contains("registered_name") && object.at("registered_name").is_string()) {
    const std::string registered = object.at("registered_name");
    if (registered.find('>') != std::string::npos) {
      fail_layer(reading, ErrorCode::unsupported, layer,
                 core::concat("class '", core::escaped(registered), "' is a custom class"));
    }
  }
  if (!object.contains("module") || !object.at("module").is_string()) return;
  const std::string module = object.at("module");
  if (!keras_module(module)) {
    fail_layer(reading, ErrorCode::unsafe, layer,
               core::concat("class ", core::escaped(class_name), " of module '", core::escaped(module), "' is not Keras' own"));
  }
  if (module.find(".ops.") != std::string::npos || module.find(".activations") != std::string::npos) {
    fail_layer(reading, ErrorCode::unsupported, layer,
               core::concat("operation ", core::escaped(class_name), " of '", core::escaped(module),
                            "' stands between layers; use the layer of that name"));
  }
}

void add_given_statistics(const Fields& f, const std::vector<int>& axes, core::LayerSpec& spec) {
  static_cast<void>(axes);
  for (const char* name : {"mean", "variance"}) {
    const std::vector<double> values = f.numbers(name);
    spec.weights.push_back(
        {name, std::make_shared<const Tensor>(Tensor::of<double>(values, Shape{static_cast<std::int64_t>(values.size())}))});
  }
}

}  // namespace

std::shared_ptr<LayerTree> read_layer(const Json& object, const std::string& path, Reading& reading) {
  const std::string class_name = object.value("class_name", std::string());
  expect_builtin(object, class_name, path, reading);
  const auto row = classes().find(class_name);
  if (row == classes().end()) {
    fail_layer(reading, ErrorCode::unsupported, path, core::concat("class ", core::escaped(class_name), " is not supported"));
  }
  if (!object.contains("config") || !object.at("config").is_object()) fail_layer(reading, ErrorCode::json, path, "has no config");
  const Json& config = object.at("config");
  const Fields fields(config, reading, path);
  auto tree = std::make_shared<LayerTree>();
  tree->spec = std::make_shared<core::LayerSpec>();
  core::LayerSpec& spec = *tree->spec;
  const std::size_t slash = path.rfind('/');
  spec.name = fields.string("name", slash == std::string::npos ? path : path.substr(slash + 1));
  spec.class_name = class_name;
  spec.config_json = config.dump(-1, ' ', true, Json::error_handler_t::replace);
  spec.path = path;
  spec.policy = read_policy(config.contains("dtype") ? &config.at("dtype") : nullptr, fields);
  Parsed parsed = row->second(fields, path, reading);
  spec.params = std::move(parsed.params);
  tree->activation = std::move(parsed.activation);
  const bool trainable = fields.boolean("trainable", true);
  for (auto& [name, by_nature] : parsed.weights) {
    tree->weights.push_back(name);
    tree->trainable.push_back(by_nature && trainable);
  }
  if (const auto* norm = std::get_if<core::NormalizationParams>(&spec.params); norm != nullptr && tree->weights.empty()) {
    add_given_statistics(fields, norm->axes, spec);
  }
  return tree;
}

}  // namespace lamella::keras
