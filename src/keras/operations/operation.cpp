// SPDX-License-Identifier: Apache-2.0
// Operations between layers as entries of a Functional's `layers`: detects them, and reads their calls.
#include "keras/operations/operation.hpp"

#include <algorithm>
#include <cmath>
#include <span>

#include "keras/json.hpp"

namespace lamella::keras {
namespace {

bool of_tensorflow(const std::string& class_name) {
  return class_name == "TFOpLambda" || class_name == "SlicingOpLambda" || class_name == "TensorFlowOpLayer";
}

/// The tensors of a call, at any depth.
void collect(const Json& value, std::vector<Ref>& into, const std::string& name, const Reading& reading) {
  if (is_tensor(value)) {
    const auto config = value.find("config");
    const bool has_history = config != value.end() && config->is_object() && config->contains("keras_history");
    if (!has_history) reading.where.layer(name).fail(ErrorCode::json, "a tensor has no keras_history");
    into.push_back(ref_of(config->at("keras_history"), name, reading));
  } else if (value.is_structured()) {
    for (const Json& inner : value) collect(inner, into, name, reading);
  }
}

/// Whether two calls of an operation are equal except for their tensors, as they must be.
bool alike(const Json& a, const Json& b) {
  if (is_tensor(a) || is_tensor(b)) return is_tensor(a) && is_tensor(b);
  if (!a.is_structured() || !b.is_structured()) return a == b;
  if (a.type() != b.type() || a.size() != b.size()) return false;
  for (auto at_a = a.begin(), at_b = b.begin(); at_a != a.end(); ++at_a, ++at_b) {
    if ((a.is_object() && at_a.key() != at_b.key()) || !alike(*at_a, *at_b)) return false;
  }
  return true;
}

void write(const Json& value, std::string& text) {
  if (value.is_number_float() && !std::isfinite(value.get<double>())) {
    const auto number = value.get<double>();
    text += std::isnan(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity";
  } else if (value.is_structured()) {
    text += value.is_array() ? '[' : '{';
    for (auto at = value.begin(); at != value.end(); ++at) {
      if (at != value.begin()) text += ',';
      if (value.is_object()) text += Json(at.key()).dump(-1, ' ', false, Json::error_handler_t::replace) + ':';
      write(*at, text);
    }
    text += value.is_array() ? ']' : '}';
  } else {
    text += value.dump(-1, ' ', false, Json::error_handler_t::replace);
  }
}

}  // namespace

OperationCall::OperationCall(std::string operation, const std::string& operands, const std::string& parameters,
                             const Where& where)
    : operation_(std::move(operation)), value_([&] {
        const std::string text = core::format("[{},{}]", operands, parameters);
        return parse_json(std::as_bytes(std::span(text)), where);
      }()) {}

std::string text_of(const Json& value) {
  std::string text;
  write(value, text);
  return text;
}

std::string list_text(const std::vector<std::string>& texts) {
  std::string list = "[";
  for (const std::string& text : texts) list += (list.size() == 1 ? "" : ",") + text;
  return list + "]";
}

std::string dict_text(const std::vector<std::pair<std::string, std::string>>& entries) {
  std::string dict = "{";
  for (const auto& [key, text] : entries) dict += core::format("{}{}:{}", dict.size() == 1 ? "" : ",", text_of(Json(key)), text);
  return dict + "}";
}

bool is_tensor(const Json& value) {
  return value.is_object() && value.contains("class_name") && value.at("class_name") == Json("__keras_tensor__");
}

const Json* list_of(const Json& value) {
  if (value.is_array()) return &value;
  const bool tuple = value.is_object() && value.contains("items") && value.at("items").is_array();
  return tuple ? &value.at("items") : nullptr;
}

void OperationFields::expect_tensors(std::size_t count) const {
  bool all = operands() == count;
  for (std::size_t i = 0; all && i < count; ++i) all = is_tensor(operand(i));
  if (!all) fail(ErrorCode::unsupported, "is supported on {}{} only", count, count == 1 ? " tensor" : " tensors");
}

void OperationFields::expect_list() const {
  const Json* list = operands() == 1 ? list_of(operand(0)) : nullptr;
  if (list == nullptr || list->empty() || !std::all_of(list->begin(), list->end(), is_tensor)) {
    fail(ErrorCode::unsupported, "is supported on a list of tensors only");
  }
}

bool is_operation(const Json& object) {
  const auto name = object.find("class_name");
  if (name == object.end() || !name->is_string()) return false;
  if (of_tensorflow(*name)) return true;
  if (const auto module = object.find("module"); module != object.end() && module->is_string()) {
    const std::string text = *module;
    return text.find(".ops.") != std::string::npos || text.find(".activations") != std::string::npos;
  }
  // A legacy file of Keras 3 has no module. Every layer except an input has `trainable` there, operations do not.
  const auto nodes = object.find("inbound_nodes");
  const bool keras3 = nodes != object.end() && nodes->is_array() && !nodes->empty() && nodes->front().is_object();
  const auto config = object.find("config");
  const bool bare =
      config != object.end() && config->is_object() && !config->contains("trainable") && !config->contains("layers");
  return keras3 && bare && (is_known_operation(*name) || !is_layer_class(*name));
}

Operation read_operation(const Json& object, const std::string& path, const Reading& reading) {
  if (path.size() > kLongestPath)
    reading.where.layer(path).fail(ErrorCode::limit, "its path is longer than {} bytes", kLongestPath);
  const std::string class_name = object.at("class_name");
  expect_builtin(object, class_name, path, reading);
  if (!object.contains("config") || !object.at("config").is_object())
    reading.where.layer(path).fail(ErrorCode::json, "has no config");
  const std::vector<OperationCall> calls =
      of_tensorflow(class_name) ? keras2_calls(object, path, reading) : keras3_calls(object, path, reading);
  const auto layer = std::make_shared<core::LayerSpec>();
  Operation result{layer, {}};
  core::LayerSpec& spec = *layer;
  spec.name = path.substr(path.rfind('/') + 1);
  spec.class_name = class_name;
  spec.config_json = object.at("config").dump(-1, ' ', true, Json::error_handler_t::replace);
  spec.path = path;
  spec.policy.follows_inputs = true;
  spec.params = core::IdentityParams{};
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const OperationCall& call = calls[i];
    const bool same = alike(call.operands(), calls[0].operands()) && call.parameters() == calls[0].parameters();
    if (!same) reading.where.layer(path).fail(ErrorCode::unsupported, "is called several times with different constants");
    if (i == 0) spec.params = operation_params(OperationFields(call, reading, path));
    collect(call.operands(), result.inputs.emplace_back(), spec.name, reading);
  }
  return result;
}

std::vector<OperationCall> keras3_calls(const Json& object, const std::string& path, const Reading& reading) {
  std::vector<OperationCall> calls;
  const auto nodes = object.find("inbound_nodes");
  if (nodes == object.end() || nodes->is_null()) return calls;
  if (!nodes->is_array()) reading.where.layer(path).fail(ErrorCode::json, "inbound_nodes is not a list");
  for (const Json& node : *nodes) {
    const std::string operation = object.at("class_name");
    const bool listed = node.is_object() && node.contains("args") && list_of(node.at("args")) != nullptr;
    if (!listed) reading.where.layer(path).fail(ErrorCode::json, "an inbound node of an operation has no list 'args'");
    std::vector<std::pair<std::string, std::string>> parameters;
    const auto kwargs = node.find("kwargs");
    const bool has_names = kwargs != node.end() && kwargs->is_object();
    for (const auto& [key, value] : object.at("config").items()) {
      const bool named = has_names && kwargs->contains(key) && !kwargs->at(key).is_null();
      if (!named) parameters.emplace_back(key, text_of(value));
    }
    for (auto at = has_names ? kwargs->begin() : node.end(); has_names && at != kwargs->end(); ++at) {
      // A few operations take operands by keyword.
      if (is_tensor(*at)) {
        reading.where.layer(path).fail(ErrorCode::unsupported, "operation {} takes the tensor '{}' by name",
                                       core::escaped(operation), core::escaped(at.key()));
      }
      if (!at->is_null()) parameters.emplace_back(at.key(), text_of(*at));
    }
    calls.emplace_back(operation, text_of(*list_of(node.at("args"))), dict_text(parameters), reading.where.layer(path));
  }
  return calls;
}

}  // namespace lamella::keras
