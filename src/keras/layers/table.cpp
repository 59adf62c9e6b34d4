// SPDX-License-Identifier: Apache-2.0
// The layer classes that lamella supports, and the classes that are refused before their configs are read.
#include <functional>
#include <map>

#include "keras/layers/parsers.hpp"

namespace lamella::keras {
namespace {

constexpr int kDeepestLayer = 8;
constexpr std::size_t kMostConfigText = std::size_t{64} << 20U;

const std::map<std::string_view, LayerParser>& classes() {
  static const auto& table = *new auto([] {
    std::map<std::string_view, LayerParser> result;
    for (const auto& layers :
         {activation_layers(), lookup_layers(), merge_layers(), normalization_layers(), product_layers(), shape_layers()}) {
      for (const LayerClass& layer : layers) result.emplace(layer.name, layer.parse);
    }
    return result;
  }());
  return table;
}

bool keras_module(std::string_view module) {
  for (const std::string_view prefix : {"keras", "tf_keras", "tensorflow.keras", "tensorflow.python.keras"}) {
    if (module == prefix || (module.starts_with(prefix) && module[prefix.size()] == '.')) return true;
  }
  return false;
}

/// What to use instead of an unsupported layer, to follow "is not supported"; empty if there is no advice.
std::string_view instead_of(std::string_view class_name) {
  constexpr std::string_view kStrings =
      ": it takes strings; convert them to integers with Keras outside the model, and save a model that takes the integers";
  static const auto& table = *new std::map<std::string, std::string_view, std::less<>>{
      {"StringLookup", kStrings},
      {"TextVectorization", kStrings},
      {"HashedCrossing", "; hash with Keras outside the model, and save a model that takes the bins' indices"},
  };
  const auto row = table.find(class_name);
  return row == table.end() ? std::string_view() : row->second;
}

std::string dumped(const Json& value) { return value.dump(-1, ' ', true, Json::error_handler_t::replace); }

/// The config's text, with `activation` apart from the rest, because set_activation() replaces it.
void keep_config(const Json& config, core::LayerSpec& spec) {
  constexpr std::string_view kKey = R"("activation":)";
  spec.config_json = dumped(config);
  const auto activation = config.find("activation");
  if (activation == config.end()) return;
  spec.activation_json = dumped(*activation);
  std::size_t begin = 1;  // after the brace and the preceding entries, each with a colon and a comma
  for (auto entry = config.begin(); entry != activation; ++entry)
    begin += dumped(Json(entry.key())).size() + dumped(*entry).size() + 2;
  const std::size_t size = kKey.size() + spec.activation_json.size();
  const bool last = begin + size + 1 == spec.config_json.size();
  // Removes one comma with it: the one before it if it is the last.
  spec.config_json.erase(last && begin > 1 ? begin - 1 : begin, last && begin == 1 ? size : size + 1);
  spec.config_json.shrink_to_fit();  // it included the text of inner layers
}

void add_given_statistics(const Fields& f, core::LayerSpec& spec) {
  for (const char* name : {"mean", "variance"}) spec.weights.push_back({name, std::make_shared<const Tensor>(f.array(name))});
}

}  // namespace

void expect_builtin(const Json& object, const std::string& class_name, const std::string& layer, const Reading& reading) {
  if (class_name == "Lambda" || class_name == "__lambda__" || class_name == "TFSMLayer" || class_name == "TorchModuleWrapper") {
    reading.where.layer(layer).fail(
        ErrorCode::unsafe, "class {} carries code; lamella never runs code from a file{}", class_name,
        class_name == "Lambda" ? ": write it as layers and operations, such as x * 2.0 or keras.ops.tanh(x)" : "");
  }
  const auto text = [&](const char* key) {
    return object.contains(key) && object.at(key).is_string() ? object.at(key).get<std::string>() : std::string();
  };
  constexpr const char* kInstead =
      " is not part of Keras: it is your own or another package's, and its code is not in the file; rebuild the model from "
      "Keras' layers and operations, copy the weights and save that";
  for (const std::string& name : {text("registered_name"), class_name}) {  // Package>Name; .h5 has it for the class's name
    if (name.find('>') == std::string::npos) continue;
    reading.where.layer(layer).fail(ErrorCode::unsupported, "class '{}'{}", core::escaped(name), kInstead);
  }
  const std::string module = text("module");
  const bool says_module = object.contains("module") && object.at("module").is_string();  // even "" counts as a module
  if (says_module && !keras_module(module)) {
    reading.where.layer(layer).fail(ErrorCode::unsafe, "class {} of module '{}'{}", core::escaped(class_name),
                                    core::escaped(module), kInstead);
  }
}

bool is_layer_class(const std::string& class_name) { return classes().contains(class_name); }

std::string supported_classes() {
  std::string text;
  for (const auto& [name, parse] : classes()) text += core::format("{}{}", text.empty() ? "" : ", ", name);
  return text;
}

std::shared_ptr<const core::LayerSpec> read_layer(const Json& object, const std::string& path, Reading& reading) {
  const std::string class_name = object.value("class_name", std::string());
  expect_builtin(object, class_name, path, reading);
  if (is_operation(object)) {
    reading.where.layer(path).fail(ErrorCode::unsupported, "operation {} of '{}' is used where only a layer is allowed",
                                   core::escaped(class_name), core::escaped(object.value("module", std::string("?"))));
  }
  const auto row = classes().find(class_name);
  if (row == classes().end()) {
    reading.where.layer(path).fail(ErrorCode::unsupported, "class {} is not supported{}", core::escaped(class_name),
                                   instead_of(class_name));
  }
  if (!object.contains("config") || !object.at("config").is_object())
    reading.where.layer(path).fail(ErrorCode::json, "has no config");
  const Json& config = object.at("config");
  const Fields fields(config, reading, path);
  auto layer = std::make_shared<core::LayerSpec>();
  core::LayerSpec& spec = *layer;
  const std::size_t slash = path.rfind('/');
  spec.name = fields.string("name", slash == std::string::npos ? path : path.substr(slash + 1));
  spec.class_name = class_name;
  // The text of a layer inside a layer is stored twice.
  if (++reading.inside > kDeepestLayer) {
    reading.where.layer(path).fail(ErrorCode::limit, "layers are nested, as activations or in wrappers, more than {} deep",
                                   kDeepestLayer);
  }
  keep_config(config, spec);
  spec.path = path;
  spec.policy = read_policy(config.contains("dtype") ? &config.at("dtype") : nullptr, fields);
  reading.config_bytes += spec.config_json.size() + spec.activation_json.size();
  if (reading.config_bytes > kMostConfigText) {
    reading.where.layer(path).fail(ErrorCode::limit, "the configs so far have more than {} bytes of text", kMostConfigText);
  }
  if (!spec.policy.quantization.empty() && class_name != "Dense") {
    fields.fail_field(ErrorCode::unsupported, "dtype", "is the policy '{}'; quantized {} is not supported",
                      core::escaped(spec.policy.quantization, 64), class_name);
  }
  spec.params = row->second(fields, path, reading);
  --reading.inside;
  spec.trainable = fields.boolean("trainable", true);
  const auto* normalization = std::get_if<core::NormalizationParams>(&spec.params);
  if (normalization != nullptr && normalization->given) add_given_statistics(fields, spec);
  return layer;
}

}  // namespace lamella::keras
