// SPDX-License-Identifier: Apache-2.0
// Keras 2 has functions of TensorFlow as layers: TFOpLambda names the function, SlicingOpLambda is x[...], TensorFlowOpLayer (2.0
// to 2.3) holds a node of TensorFlow's graph. Their calls become calls of Keras 3's operations.
#include <algorithm>
#include <map>

#include "core/format.hpp"
#include "keras/operations/operation.hpp"

namespace lamella::keras {
namespace {

/// A function of TensorFlow: Keras 3's class, the names of its operands, and of parameters with a different name in Keras 3.
struct Function {
  const char* operation;
  std::vector<std::string> operands;
  std::map<std::string, std::string, std::less<>> renamed;
};

using Functions = std::map<std::string, Function, std::less<>>;

Functions functions_of_math() {
  return {
      {"math.abs", {"Absolute", {"x"}, {}}},
      {"math.add", {"Add", {"x", "y"}, {}}},
      {"math.ceil", {"Ceil", {"x"}, {}}},
      {"math.equal", {"Equal", {"x", "y"}, {}}},
      {"math.greater", {"Greater", {"x", "y"}, {}}},
      {"math.greater_equal", {"GreaterEqual", {"x", "y"}, {}}},
      {"math.less", {"Less", {"x", "y"}, {}}},
      {"math.less_equal", {"LessEqual", {"x", "y"}, {}}},
      {"math.logical_and", {"LogicalAnd", {"x", "y"}, {}}},
      {"math.logical_not", {"LogicalNot", {"x"}, {}}},
      {"math.logical_or", {"LogicalOr", {"x", "y"}, {}}},
      {"math.not_equal", {"NotEqual", {"x", "y"}, {}}},
      {"math.reduce_all", {"All", {"input_tensor"}, {}}},
      {"math.reduce_any", {"Any", {"input_tensor"}, {}}},
      {"math.divide", {"Divide", {"x", "y"}, {}}},
      {"math.exp", {"Exp", {"x"}, {}}},
      {"math.expm1", {"Expm1", {"x"}, {}}},
      {"math.floor", {"Floor", {"x"}, {}}},
      {"math.log", {"Log", {"x"}, {}}},
      {"math.log1p", {"Log1p", {"x"}, {}}},
      {"math.log_sigmoid", {"LogSigmoid", {"x"}, {}}},
      {"math.maximum", {"Maximum", {"x", "y"}, {}}},
      {"math.minimum", {"Minimum", {"x", "y"}, {}}},
      {"math.multiply", {"Multiply", {"x", "y"}, {}}},
      {"math.negative", {"Negative", {"x"}, {}}},
      {"math.pow", {"Power", {"x", "y"}, {}}},
      {"math.reciprocal", {"Reciprocal", {"x"}, {}}},
      {"math.reduce_max", {"Max", {"input_tensor"}, {}}},
      {"math.reduce_mean", {"Mean", {"input_tensor"}, {}}},
      {"math.reduce_min", {"Min", {"input_tensor"}, {}}},
      {"math.reduce_prod", {"Prod", {"input_tensor"}, {}}},
      {"math.reduce_sum", {"Sum", {"input_tensor"}, {}}},
      {"math.rint", {"Round", {"x"}, {}}},
      {"math.round", {"Round", {"x"}, {}}},
      {"math.rsqrt", {"Rsqrt", {"x"}, {}}},
      {"math.sigmoid", {"Sigmoid", {"x"}, {}}},
      {"math.sign", {"Sign", {"x"}, {}}},
      {"math.softplus", {"Softplus", {"features"}, {}}},
      {"math.sqrt", {"Sqrt", {"x"}, {}}},
      {"math.square", {"Square", {"x"}, {}}},
      {"math.subtract", {"Subtract", {"x", "y"}, {}}},
      {"math.tanh", {"Tanh", {"x"}, {}}},
      {"math.truediv", {"TrueDivide", {"x", "y"}, {}}},
  };
}

Functions functions_of_nn() {
  return {
      {"nn.bias_add", {"Add", {"value", "bias"}, {}}},
      {"nn.elu", {"Elu", {"features"}, {}}},
      {"nn.gelu", {"Gelu", {"features"}, {}}},
      {"nn.leaky_relu", {"LeakyRelu", {"features"}, {{"alpha", "negative_slope"}}}},
      {"nn.log_softmax", {"LogSoftmax", {"logits"}, {}}},
      {"nn.relu", {"Relu", {"features"}, {}}},
      {"nn.relu6", {"Relu6", {"features"}, {}}},
      {"nn.selu", {"Selu", {"features"}, {}}},
      {"nn.silu", {"Silu", {"features"}, {}}},
      {"nn.softmax", {"Softmax", {"logits"}, {}}},
      {"nn.softsign", {"Softsign", {"features"}, {}}},
  };
}

Functions other_functions() {
  return {
      {"__operators__.add", {"Add", {"x", "y"}, {}}},
      {"__operators__.getitem", {"GetItem", {"tensor", "slice_spec"}, {}}},
      {"cast", {"Cast", {"x"}, {}}},
      {"clip_by_value", {"Clip", {"t"}, {{"clip_value_min", "x_min"}, {"clip_value_max", "x_max"}}}},
      {"compat.v1.squeeze", {"Squeeze", {"input"}, {}}},
      {"compat.v1.transpose", {"Transpose", {"a"}, {{"perm", "axes"}}}},
      {"concat", {"Concatenate", {"values"}, {}}},
      {"expand_dims", {"ExpandDims", {"input"}, {}}},
      {"identity", {"Identity", {"input"}, {}}},
      {"reshape", {"Reshape", {"tensor"}, {{"shape", "newshape"}}}},
      {"squeeze", {"Squeeze", {"input"}, {}}},
      {"stack", {"Stack", {"values"}, {}}},
      {"stop_gradient", {"StopGradient", {"input"}, {}}},
      {"transpose", {"Transpose", {"a"}, {{"perm", "axes"}}}},
  };
}

const Functions& functions() {
  static const auto& table = *new Functions([] {
    Functions all = other_functions();
    all.merge(functions_of_math());
    all.merge(functions_of_nn());
    return all;
  }());
  return table;
}

/// Operations of TensorFlow's graph whose inputs are all operands.
const std::map<std::string, const char*, std::less<>>& graph_operations() {
  static const auto& table = *new std::map<std::string, const char*, std::less<>>{
      {"Abs", "Absolute"},
      {"Add", "Add"},
      {"AddV2", "Add"},
      {"Elu", "Elu"},
      {"Exp", "Exp"},
      {"Expm1", "Expm1"},
      {"Identity", "Identity"},
      {"Log", "Log"},
      {"Log1p", "Log1p"},
      {"Maximum", "Maximum"},
      {"Minimum", "Minimum"},
      {"Mul", "Multiply"},
      {"Neg", "Negative"},
      {"Pow", "Power"},
      {"RealDiv", "TrueDivide"},
      {"Relu", "Relu"},
      {"Relu6", "Relu6"},
      {"Rsqrt", "Rsqrt"},
      {"Selu", "Selu"},
      {"Sigmoid", "Sigmoid"},
      {"Softmax", "Softmax"},
      {"Softplus", "Softplus"},
      {"Softsign", "Softsign"},
      {"Sqrt", "Sqrt"},
      {"Square", "Square"},
      {"StopGradient", "StopGradient"},
      {"Sub", "Subtract"},
      {"Tanh", "Tanh"},
  };
  return table;
}

bool is_reference(const Json& value) {
  return value.is_array() && value.size() >= 3 && value[0].is_string() && value[1].is_number_integer();
}

/// [name, node, tensor], or ["_CONSTANT_VALUE", -1, the constant].
std::string operand_of(const Json& reference) {
  if (reference[0] == Json("_CONSTANT_VALUE")) return text_of(reference[2]);
  const std::string history = list_text({text_of(reference[0]), text_of(reference[1]), text_of(reference[2])});
  return core::format(R"({{"class_name": "__keras_tensor__", "config": {{"keras_history": {}}}}})", history);
}

/// Converts references to tensors, at any depth.
std::string converted(const Json& value) {
  if (is_reference(value)) return operand_of(value);
  if (value.is_array()) {
    std::vector<std::string> texts;
    for (const Json& inner : value) texts.push_back(converted(inner));
    return list_text(texts);
  }
  if (!value.is_object()) return text_of(value);
  std::vector<std::pair<std::string, std::string>> entries;
  for (auto at = value.begin(); at != value.end(); ++at) entries.emplace_back(at.key(), converted(*at));
  return dict_text(entries);
}

class Keras2Reader {
 public:
  Keras2Reader(const Json& object, const std::string& path, const Reading& reading)
      : config_(object.at("config")), path_(path), reading_(reading) {
    const auto nodes = object.find("inbound_nodes");
    if (nodes == object.end() || nodes->is_null()) return;
    if (!nodes->is_array()) fail(ErrorCode::json, "inbound_nodes is not a list");
    for (const Json& node : *nodes) {
      const bool several = node.is_array() && !node.empty() && std::all_of(node.begin(), node.end(), is_reference);
      if (!is_reference(node) && !several) fail(ErrorCode::json, "an inbound node is not [name, node, tensor]");
      nodes_.push_back(&node);
    }
  }

  [[nodiscard]] std::vector<OperationCall> functions_called() const {
    const Fields fields(config_, reading_, path_);
    const std::string name = fields.string("function", "");
    const auto row = functions().find(name);
    if (row == functions().end()) {
      fail(ErrorCode::unsupported, "function tf.{} between layers is not supported; docs/layers.md lists those that are",
           core::escaped(name));
    }
    std::vector<OperationCall> calls;
    for (const Json* node : nodes_) calls.push_back(call_of(*node, row->second));
    return calls;
  }

  [[nodiscard]] std::vector<OperationCall> graph_nodes() const {
    const Json& definition = config_.contains("node_def") ? config_.at("node_def") : config_;
    const std::string name = definition.is_object() && definition.contains("op") && definition.at("op").is_string()
                                 ? definition.at("op").get<std::string>()
                                 : std::string();
    const auto row = graph_operations().find(name);
    if (row == graph_operations().end()) {
      fail(ErrorCode::unsupported,
           "TensorFlow's operation '{}' between layers is not supported; docs/layers.md lists those that are",
           core::escaped(name));
    }
    std::vector<OperationCall> calls;
    for (const Json* node : nodes_) {
      std::vector<std::string> tensors;
      if (is_reference(*node)) {
        tensors.push_back(operand_of(*node));
      } else {
        for (const Json& reference : *node) tensors.push_back(operand_of(reference));
      }
      // Constants by input number.
      std::vector<std::string> operands;
      for (std::size_t i = 0, taken = 0; taken < tensors.size() || constant(i) != nullptr; ++i)
        operands.push_back(constant(i) != nullptr ? text_of(*constant(i)) : tensors[taken++]);
      calls.emplace_back(row->second, list_text(operands), "{}", reading_.where.layer(path_));
    }
    return calls;
  }

 private:
  template <typename... Args>
  [[noreturn]] void fail(ErrorCode code, core::FormatString<Args...> message, const Args&... args) const {
    reading_.where.layer(path_).fail(code, message, args...);
  }

  [[nodiscard]] const Json* constant(std::size_t i) const {
    const auto all = config_.find("constants");
    if (all == config_.end() || !all->is_object()) return nullptr;
    const auto it = all->find(core::format("{}", i));
    return it == all->end() ? nullptr : &*it;
  }

  [[nodiscard]] OperationCall call_of(const Json& node, const Function& function) const {
    std::vector<std::string> operands;
    if (is_reference(node)) {
      operands.push_back(operand_of(node));
    } else {
      std::vector<std::string> list;
      for (const Json& reference : node) list.push_back(operand_of(reference));
      operands.push_back(list_text(list));
    }
    const Json& last = is_reference(node) ? node : node.back();
    const Json* const arguments = last.size() > 3 && last[3].is_object() ? &last[3] : nullptr;
    for (std::size_t i = 1; arguments != nullptr && i < function.operands.size(); ++i) {
      const auto it = arguments->find(function.operands[i]);
      if (it != arguments->end()) operands.push_back(converted(*it));
    }
    std::vector<std::pair<std::string, std::string>> parameters;
    if (arguments != nullptr) parameters = parameters_of(*arguments, function);
    OperationCall call(function.operation, list_text(operands), dict_text(parameters), reading_.where.layer(path_));
    adjust(call);
    return call;
  }

  /// Parameters that are not operands, by Keras 3's names.
  static std::vector<std::pair<std::string, std::string>> parameters_of(const Json& arguments, const Function& function) {
    std::vector<std::pair<std::string, std::string>> parameters;
    for (const auto& [key, value] : arguments.items()) {
      const bool operand = std::find(function.operands.begin(), function.operands.end(), key) != function.operands.end();
      const bool plain = key == "name" || value.is_null() || (key == "conjugate" && value == Json(false));
      if (operand || plain) continue;
      const auto renamed = function.renamed.find(key);
      parameters.emplace_back(renamed == function.renamed.end() ? key : renamed->second, converted(value));
    }
    return parameters;
  }

  /// Operations that differ from Keras 3's.
  static void adjust(OperationCall& call) {
    Json& p = call.parameters();
    if (call.operation() == "Gelu" && !p.contains("approximate")) p["approximate"] = false;
    // In TensorFlow the lower limit wins if the limits cross.
    const bool limits = call.operation() == "Clip" && p.contains("x_min") && p.contains("x_max");
    if (limits && p["x_min"].is_number() && p["x_max"].is_number() && p["x_min"] > p["x_max"]) p["x_max"] = p["x_min"];
  }

  const Json& config_;
  std::string path_;
  const Reading& reading_;
  std::vector<const Json*> nodes_;
};

}  // namespace

std::vector<OperationCall> keras2_calls(const Json& object, const std::string& path, const Reading& reading) {
  const Keras2Reader reader(object, path, reading);
  return object.at("class_name") == Json("TensorFlowOpLayer") ? reader.graph_nodes() : reader.functions_called();
}

}  // namespace lamella::keras
