// SPDX-License-Identifier: Apache-2.0
#include "keras/activation_config.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <string_view>
#include <utility>

#include "core/check.hpp"

namespace lamella::keras {
namespace {

constexpr const char* kOperations = "keras.src.ops.nn";

/// The activations that Keras writes as an operation if they have parameters or an axis; its class has the kind's name.
constexpr std::pair<std::string_view, ActivationKind> kClasses[] = {{"LeakyRelu", ActivationKind::LeakyRelu},
                                                                    {"Elu", ActivationKind::Elu},
                                                                    {"Celu", ActivationKind::Celu},
                                                                    {"Squareplus", ActivationKind::Squareplus},
                                                                    {"HardShrink", ActivationKind::HardShrink},
                                                                    {"SoftShrink", ActivationKind::SoftShrink},
                                                                    {"Threshold", ActivationKind::Threshold},
                                                                    {"Softmax", ActivationKind::Softmax},
                                                                    {"LogSoftmax", ActivationKind::LogSoftmax},
                                                                    {"Sparsemax", ActivationKind::Sparsemax},
                                                                    {"Glu", ActivationKind::Glu}};

std::string number_text(double number) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
  return {text.data(), end};
}

std::string object_text(const char* module, std::string_view class_name, const std::string& config, bool registered) {
  return core::format(R"({{"module": "{}", "class_name": "{}", "config": {{{}}}, "registered_name": {}}})", module, class_name,
                      config, registered ? core::format("\"{}\"", class_name) : std::string("null"));
}

std::string layer_text(const char* class_name, const std::string& config, const std::string& policy) {
  return object_text("keras.layers", class_name, core::format(R"({}, "dtype": "{}")", config, policy), false);
}

std::string operation_text(const ActivationSpec& spec) {
  std::string config;
  for (std::size_t i = 0; const ActivationParameter& parameter : parameters_of(spec.kind))
    config += core::format("{}{}\": {}", config.empty() ? "\"" : ", \"", parameter.name, number_text(spec.parameters[i++]));
  if (is_rowwise(spec.kind)) config = core::format(R"("axis": {})", spec.axis);
  for (const auto& [class_name, kind] : kClasses) {
    if (kind == spec.kind) return object_text(kOperations, class_name, config, true);
  }
  core::throw_argument(ErrorCode::value, core::format("activation: '{}' is not an activation of Keras", to_string(spec.kind)));
}

/// Checks the kind's parameters: their number, that they are finite, and that Keras accepts them.
void expect_valid(const ActivationSpec& spec) {
  LAMELLA_EXPECTS(to_string(spec.kind) != "no activation", value, "activation: got {}, which is not an ActivationKind",
                  static_cast<int>(spec.kind));
  const auto parameters = parameters_of(spec.kind);
  const bool is_relu = spec.kind == ActivationKind::LeakyRelu || spec.kind == ActivationKind::ReluGeneral;
  for (std::size_t i = 0; i < spec.parameters.size(); ++i) {
    const double found = spec.parameters[i];
    LAMELLA_EXPECTS(i < parameters.size() || found == 0, value,
                    "activation '{}' parameter {}: got {:g}; it has {} parameters, and the others must be 0",
                    to_string(spec.kind), i, found, parameters.size());
    if (i >= parameters.size()) continue;
    const bool unbounded = spec.kind == ActivationKind::ReluGeneral && parameters[i].name == "max_value";
    LAMELLA_EXPECTS((std::isfinite(found) || (unbounded && found > 0)) && (!is_relu || found >= 0), value,
                    "activation '{}' {}: got {:g}, allowed {}", to_string(spec.kind), parameters[i].name, found,
                    is_relu ? "numbers of at least 0" : "finite numbers");
  }
  LAMELLA_EXPECTS(is_rowwise(spec.kind) || spec.axis == -1, value, "activation '{}' axis: got {}, allowed -1: it is element-wise",
                  to_string(spec.kind), spec.axis);
}

}  // namespace

std::string activation_config(const ActivationSpec& spec, const std::string& policy) {
  expect_valid(spec);
  const auto& p = spec.parameters;
  switch (spec.kind) {
    case ActivationKind::GeluTanh:
      return object_text(kOperations, "Gelu", R"("approximate": true)", true);
    case ActivationKind::HardSigmoidKeras2:
      return "\"hard_sigmoid\"";
    case ActivationKind::ReluGeneral:
      return layer_text("ReLU",
                        core::format(R"("max_value": {}, "negative_slope": {}, "threshold": {})",
                                     std::isinf(p[1]) ? "null" : number_text(p[1]), number_text(p[0]), number_text(p[2])),
                        policy);
    default:
      break;
  }
  for (const std::string_view known : activation_names()) {
    if (known != to_string(spec.kind)) continue;
    const auto parameters = parameters_of(spec.kind);
    const bool required = !parameters.empty() && parameters[0].required;
    if (!required && spec == activation_of(known)) return core::format("\"{}\"", known);
  }
  if (spec.kind == ActivationKind::LeakyRelu)
    return layer_text("LeakyReLU", core::format(R"("negative_slope": {})", number_text(p[0])), policy);
  if (spec.kind == ActivationKind::Elu) return layer_text("ELU", core::format(R"("alpha": {})", number_text(p[0])), policy);
  if (spec.kind == ActivationKind::Softmax) return layer_text("Softmax", core::format(R"("axis": {})", spec.axis), policy);
  return operation_text(spec);
}

std::optional<ActivationSpec> activation_operation(const Json& object, const Fields& fields) {
  if (!object.contains("module") || object.at("module") != Json(kOperations)) return std::nullopt;
  const std::string class_name = object.at("class_name");
  if (!object.contains("config") || !object.at("config").is_object())
    fields.fail_field(ErrorCode::json, "activation", "has no config");
  const Fields own(object.at("config"), fields.reading(), fields.layer());
  if (class_name == "Gelu") {
    own.expect_only({"approximate"});
    return ActivationSpec::gelu(own.boolean("approximate", true));
  }
  for (const auto& [known, kind] : kClasses) {
    if (known != class_name) continue;
    ActivationSpec spec{.kind = kind};
    std::vector<std::string_view> read;
    if (is_rowwise(kind)) read.emplace_back("axis");
    for (const ActivationParameter& parameter : parameters_of(kind)) read.push_back(parameter.name);
    own.expect_only(read);
    for (std::size_t i = 0; const ActivationParameter& parameter : parameters_of(kind)) {
      const std::string key(parameter.name);
      if (parameter.required && !own.has(key.c_str())) fields.fail_field(ErrorCode::missing, key.c_str(), "is missing");
      spec.parameters[i++] = own.number(key.c_str(), parameter.default_value);
    }
    if (is_rowwise(kind)) {
      const std::vector<int> axes = own.axes("axis", {-1});
      if (axes.size() != 1) own.fail_field(ErrorCode::unsupported, "axis", "is a list; only one axis is supported");
      spec.axis = axes[0];
    }
    return spec;
  }
  fields.fail_field(ErrorCode::unsupported, "activation", "is the operation '{}', which is not an activation",
                    core::escaped(class_name, 64));
}

}  // namespace lamella::keras
