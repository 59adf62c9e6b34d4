// SPDX-License-Identifier: Apache-2.0
#include "keras/calls.hpp"

#include <algorithm>

namespace lamella::keras {
namespace {

/// null, or lists and dicts that contain only null: the masks of several inputs.
bool holds_nothing(const Json& value) {
  return value.is_null() || (value.is_structured() && std::all_of(value.begin(), value.end(), holds_nothing));
}

/// The form of a model's arguments: one tensor or a list of them, a dict of them, or nested lists and dicts.
enum class InputStructure { listed, by_key, nested };

/// The form according to the model's config.
InputStructure structure_of(const Json& model) {
  const auto config = model.find("config");
  if (config == model.end() || !config->is_object()) return InputStructure::listed;
  const auto inputs = config->find("input_layers");
  if (inputs == config->end() || is_ref(*inputs)) return InputStructure::listed;
  if (!std::all_of(inputs->begin(), inputs->end(), is_ref)) return InputStructure::nested;
  return inputs->is_object() ? InputStructure::by_key : InputStructure::listed;
}

/// Reads the calls of one layer.
class CallReader {
 public:
  CallReader(const Json& object, const std::string& name, const core::ModelSpec* callee, const Reading& reading)
      : name_(name),
        callee_(callee),
        structure_(callee == nullptr ? InputStructure::nested : structure_of(object)),
        reading_(reading),
        class_(core::escaped(object.value("class_name", std::string()))) {}

  CallsRead read(const Json& nodes) {
    if (!nodes.is_array()) reading_.where.layer(name_).fail(ErrorCode::json, "inbound_nodes is not a list");
    for (const Json& node : nodes) {
      refs_.clear();
      masks_.clear();
      says_masks_ = false;
      mask_ = nullptr;
      if (node.is_object() && node.contains("args")) {
        read_call(node);
      } else if (node.is_object() || node.is_array()) {
        result_.keras2 = true;
        read_list_node(node);
        if (mask_ != nullptr) read_masks(*mask_);
        says_masks_ = mask_ != nullptr;
      } else {
        reading_.where.layer(name_).fail(ErrorCode::json, "an inbound node is neither an object nor a list");
      }
      result_.calls.push_back({std::move(refs_), std::move(masks_), says_masks_});
    }
    return std::move(result_);
  }

 private:
  static bool is_dict(const Json& value) { return value.is_object() && !value.contains("class_name"); }

  /// Keras 3: positional and keyword arguments. Nothing is copied, because destroying a copy may allocate.
  void read_call(const Json& node) {
    const Json& args = node.at("args");
    const auto kwargs = node.find("kwargs");
    const bool has_names = kwargs != node.end() && kwargs->is_object();
    const bool by_name = args.empty() && has_names && kwargs->contains("inputs");  // layer(inputs=x)
    if (by_name) {
      read_argument(kwargs->at("inputs"));
    } else if (args.is_array() && args.size() == 1) {
      read_argument(args[0]);
    } else {
      collect(args);
    }
    if (!has_names) return;
    check_kwargs(*kwargs, by_name);
    const auto mask = kwargs->find("mask");
    says_masks_ = mask != kwargs->end();
    if (says_masks_) read_masks(*mask);
  }

  static bool is_tensor(const Json& value) {
    return value.is_object() && value.value("class_name", std::string()) == "__keras_tensor__";
  }

  [[nodiscard]] bool is_mask(const Json& value) const { return result_.keras2 ? is_ref(value) : is_tensor(value); }
  [[nodiscard]] bool is_list_of_masks(const Json& value) const { return value.is_array() && !is_mask(value); }

  /// A mask, or a list with one per tensor, null for tensors without.
  [[nodiscard]] bool holds_masks(const Json& value) const {
    const auto mask = [&](const Json& one) { return one.is_null() || is_mask(one); };
    return mask(value) || (is_list_of_masks(value) && std::all_of(value.begin(), value.end(), mask));
  }

  void read_masks(const Json& value) {
    const std::size_t inputs = refs_.size();
    const bool list = is_list_of_masks(value);
    const std::size_t count = list ? value.size() : 1;
    for (std::size_t i = 0; i < count; ++i) {
      const Json& mask = list ? value[i] : value;
      if (!is_mask(mask)) continue;
      if (i >= inputs) reading_.where.layer(name_).fail(ErrorCode::value, "is called with more masks than tensors");
      if (result_.keras2) {
        refs_.push_back(ref_of(mask, name_, reading_));
      } else {
        collect(mask);
      }
      masks_.push_back(static_cast<int>(i));
    }
  }

  /// The one argument of a call.
  void read_argument(const Json& value) {
    if (callee_ != nullptr && is_dict(value)) {
      for (const Json* inner : in_order(value)) collect(*inner);
    } else {
      collect(value);
    }
  }

  /// Keras 3: tensors may be anywhere in the arguments.
  void collect(const Json& value) {
    if (value.is_array()) {
      for (const Json& inner : value) collect(inner);
    } else if (is_tensor(value)) {
      const Json& config = value.contains("config") ? value.at("config") : value;
      if (!config.is_object() || !config.contains("keras_history"))
        reading_.where.layer(name_).fail(ErrorCode::json, "a tensor has no keras_history");
      refs_.push_back(ref_of(config.at("keras_history"), name_, reading_));
    } else if (is_dict(value)) {
      for (const auto& item : value.items()) collect(item.value());
    } else if (!value.is_null()) {
      reading_.where.layer(name_).fail(ErrorCode::unsupported, "({}) is called with an argument that is not a tensor", class_);
    }
  }

  /// Keras 2: [["dense", 0, 0, {kwargs}], ...]; nested lists and dicts if a model is called with them.
  void read_list_node(const Json& node) {
    if (node.is_array() && !node.empty() && node[0].is_string()) {
      if (node.size() < 3) reading_.where.layer(name_).fail(ErrorCode::json, "an inbound node is not [name, node, tensor]");
      refs_.push_back(ref_of(node, name_, reading_));
      if (node.size() <= 3 || !node[3].is_object()) return;
      check_kwargs(node[3]);
      if (const auto mask = node[3].find("mask"); mask != node[3].end()) mask_ = &*mask;
    } else if (node.is_object()) {
      for (const Json* value : in_order(node)) read_list_node(*value);
    } else if (node.is_array()) {
      for (const Json& inner : node) read_list_node(inner);
    } else {
      reading_.where.layer(name_).fail(ErrorCode::json, "an inbound node is not [name, node, tensor]");
    }
  }

  /// The values of a dict argument, in the order in which the layer takes them. A model takes them by the names of its inputs,
  /// which are its keys if it has any, and ignores others; but Keras 3 flattens a dict for a model with keys.
  std::vector<const Json*> in_order(const Json& dict) const {
    std::vector<const Json*> values;
    if (structure_ == InputStructure::listed || (structure_ == InputStructure::by_key && result_.keras2)) {
      for (const std::string& name : callee_->input_names) {
        if (const auto found = dict.find(name); found != dict.end()) {
          values.push_back(&*found);
        } else if (!result_.keras2) {
          reading_.where.layer(name_).fail(ErrorCode::missing, "is called without its input '{}'", core::escaped(name));
        }
      }
      if (values.size() == callee_->input_names.size()) return values;
      values.clear();
    }
    for (const auto& item : dict.items()) values.push_back(&item.value());
    return values;
  }

  void check_kwargs(const Json& kwargs, bool names_inputs = false) const {
    for (const auto& [key, value] : kwargs.items()) {
      if (holds_nothing(value) || (names_inputs && key == "inputs")) continue;
      if (key == "mask" && holds_masks(value)) continue;
      if (key == "training" && value.is_boolean()) {
        if (!value.get<bool>()) continue;
        reading_.where.layer(name_).fail(ErrorCode::unsupported, "is called with training=True; lamella computes inference only");
      }
      reading_.where.layer(name_).fail(ErrorCode::unsupported, "is called with the argument '{}'", core::escaped(key));
    }
  }

  const std::string& name_;
  const core::ModelSpec* callee_;
  InputStructure structure_;
  const Reading& reading_;
  std::string class_;
  std::vector<Ref> refs_;
  std::vector<int> masks_;
  bool says_masks_ = false;
  const Json* mask_ = nullptr;  ///< of a Keras 2 call
  CallsRead result_;
};

}  // namespace

CallsRead read_calls(const Json& object, const std::string& name, const core::ModelSpec* callee, const Reading& reading) {
  const auto nodes = object.find("inbound_nodes");
  if (nodes == object.end() || nodes->is_null()) return {};
  return CallReader(object, name, callee, reading).read(*nodes);
}

bool is_ref(const Json& item) {
  return item.is_array() && item.size() >= 3 && item[0].is_string() && item[1].is_number_integer();
}

Ref ref_of(const Json& item, const std::string& name, const Reading& reading) {
  if (!is_ref(item) || !item[2].is_number_integer())
    reading.where.layer(name).fail(ErrorCode::json, "a reference is not [name, node, tensor]");
  for (const std::size_t i : {1U, 2U}) {
    const auto number = item[i].get<std::int64_t>();
    if (number < -1 || number > kMostCalls) {
      reading.where.layer(name).fail(ErrorCode::value, "a reference to layer '{}' has the index {}",
                                     core::escaped(item[0].get<std::string>()), number);
    }
  }
  return {item[0].get<std::string>(), item[1].get<std::int64_t>(), item[2].get<std::int64_t>()};
}

}  // namespace lamella::keras
