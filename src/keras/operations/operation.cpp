// SPDX-License-Identifier: Apache-2.0
// An operation between layers as an entry of a Functional's `layers`: which entries are one, and their calls.
#include "keras/operations/operation.hpp"

#include <algorithm>

namespace lamella::keras {
namespace {

bool of_tensorflow(const std::string& class_name) {
  return class_name == "TFOpLambda" || class_name == "SlicingOpLambda" || class_name == "TensorFlowOpLayer";
}

/// The tensors of a call, wherever they stand.
void collect(const Json& value, std::vector<Json>& into) {
  if (is_tensor(value)) {
    into.push_back(value.contains("config") ? value.at("config").value("keras_history", Json()) : Json());
  } else if (value.is_structured()) {
    for (const Json& inner : value) collect(inner, into);
  }
}

/// The call with every tensor taken out: what two calls of one operation must have in common.
Json pattern(const Json& value) {
  if (is_tensor(value)) return "tensor";
  if (!value.is_structured()) return value;
  Json result = value;
  for (Json& inner : result) inner = pattern(inner);
  return result;
}

}  // namespace

bool is_tensor(const Json& value) {
  return value.is_object() && value.contains("class_name") && value.at("class_name") == Json("__keras_tensor__");
}

const Json* list_of(const Json& value) {
  if (value.is_array()) return &value;
  const bool tuple = value.is_object() && value.contains("items") && value.at("items").is_array();
  return tuple ? &value.at("items") : nullptr;
}

void OperationFields::fail(ErrorCode code, const std::string& message) const {
  fail_layer(reading(), code, layer(), core::concat("operation ", core::escaped(operation()), " ", message));
}

void OperationFields::expect_tensors(std::size_t count) const {
  bool all = operands() == count;
  for (std::size_t i = 0; all && i < count; ++i) all = is_tensor(operand(i));
  if (!all) fail(ErrorCode::unsupported, core::concat("is supported on ", count, count == 1 ? " tensor" : " tensors", " only"));
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
  // A legacy file of Keras 3 says no module. Every layer but an input is trainable or not there, an operation is neither.
  const auto nodes = object.find("inbound_nodes");
  const bool keras3 = nodes != object.end() && nodes->is_array() && !nodes->empty() && nodes->front().is_object();
  const auto config = object.find("config");
  const bool bare =
      config != object.end() && config->is_object() && !config->contains("trainable") && !config->contains("layers");
  return keras3 && bare && (is_known_operation(*name) || !is_layer_class(*name));
}

OperationTree read_operation(const Json& object, const std::string& path, const Reading& reading) {
  if (path.size() > kLongestPath)
    fail_layer(reading, ErrorCode::limit, path, core::concat("its path is longer than ", kLongestPath, " bytes"));
  const std::string class_name = object.at("class_name");
  expect_builtin(object, class_name, path, reading);
  if (!object.contains("config") || !object.at("config").is_object()) fail_layer(reading, ErrorCode::json, path, "has no config");
  const std::vector<OperationCall> calls =
      of_tensorflow(class_name) ? keras2_calls(object, path, reading) : keras3_calls(object, path, reading);
  OperationTree result;
  result.tree = std::make_shared<LayerTree>();
  result.tree->spec = std::make_shared<core::LayerSpec>();
  core::LayerSpec& spec = *result.tree->spec;
  spec.name = path.substr(path.rfind('/') + 1);
  spec.class_name = class_name;
  spec.config_json = object.at("config").dump(-1, ' ', true, Json::error_handler_t::replace);
  spec.path = path;
  spec.policy.follows_inputs = true;
  spec.params = core::IdentityParams{};
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const OperationCall& call = calls[i];
    const bool same = pattern(call.operands) == pattern(calls[0].operands) && call.parameters == calls[0].parameters;
    if (!same) fail_layer(reading, ErrorCode::unsupported, path, "is called several times with different constants");
    if (i == 0) spec.params = operation_params(OperationFields(call, reading, path));
    collect(call.operands, result.inputs.emplace_back());
  }
  return result;
}

std::vector<OperationCall> keras3_calls(const Json& object, const std::string& path, const Reading& reading) {
  std::vector<OperationCall> calls;
  const auto nodes = object.find("inbound_nodes");
  if (nodes == object.end() || nodes->is_null()) return calls;
  if (!nodes->is_array()) fail_layer(reading, ErrorCode::json, path, "inbound_nodes is not a list");
  for (const Json& node : *nodes) {
    OperationCall& call = calls.emplace_back();
    call.operation = object.at("class_name");
    const bool listed = node.is_object() && node.contains("args") && list_of(node.at("args")) != nullptr;
    if (!listed) fail_layer(reading, ErrorCode::json, path, "an inbound node of an operation has no list 'args'");
    call.operands = *list_of(node.at("args"));
    call.parameters = object.at("config");
    if (!node.contains("kwargs") || !node.at("kwargs").is_object()) continue;
    for (const auto& [key, value] : node.at("kwargs").items()) {
      // The operands of a few operations are called by name.
      if (is_tensor(value)) {
        fail_layer(
            reading, ErrorCode::unsupported, path,
            core::concat("operation ", core::escaped(call.operation), " takes the tensor '", core::escaped(key), "' by name"));
      }
      if (!value.is_null()) call.parameters[key] = value;
    }
  }
  return calls;
}

}  // namespace lamella::keras
