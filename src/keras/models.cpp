// SPDX-License-Identifier: Apache-2.0
// Whole models: Sequential configs, and the dispatch on a model's class.
#include <algorithm>
#include <set>

#include "keras/reading.hpp"

namespace lamella::keras {
namespace {

constexpr int kDeepest = 32;
constexpr std::size_t kShortPath = 128;

/// The batch shape of a Sequential without an InputLayer.
std::vector<core::Extent> found_shape(const Json& config, const Json& first, const Fields& fields) {
  if (first.contains("config") && first.at("config").is_object()) {
    for (const char* key : {"batch_input_shape", "batch_shape"}) {
      if (first.at("config").contains(key) && first.at("config").at(key).is_array())
        return read_shape(first.at("config").at(key), fields, key);
    }
  }
  if (config.contains("build_input_shape") && config.at("build_input_shape").is_array())
    return read_shape(config.at("build_input_shape"), fields, "build_input_shape");
  if (first.contains("build_config") && first.at("build_config").is_object() &&
      first.at("build_config").contains("input_shape") && first.at("build_config").at("input_shape").is_array()) {
    return read_shape(first.at("build_config").at("input_shape"), fields, "build_config");
  }
  return {};
}

std::shared_ptr<const core::ModelSpec> read_sequential(const Json& config, const std::string& name, const std::string& path,
                                                       Reading& reading) {
  auto model = std::make_shared<core::ModelSpec>();
  core::ModelSpec& spec = *model;
  spec.name = name;
  spec.class_name = "Sequential";
  spec.keras_version = reading.keras_version;
  const Json empty = Json::object();
  const Json& fields_of = config.is_object() ? config : empty;
  const Fields fields(fields_of, reading, path.empty() ? name : path);
  const Json& layers = config.is_array() ? config : fields.at("layers");
  if (!layers.is_array()) fields.fail_field(ErrorCode::json, "layers", "is not a list");
  if (layers.size() > kMostLayers)
    fields.fail_field(ErrorCode::limit, "layers", "has {} entries, allowed 0..{}", layers.size(), kMostLayers);
  std::set<std::string> names;
  const auto append = [&](const std::shared_ptr<const core::LayerSpec>& layer) {
    if (!spec.nodes.empty() && std::holds_alternative<core::InputParams>(layer->params)) {
      reading.where.layer(layer->path).fail(ErrorCode::value, "is an InputLayer that is not the first layer of a Sequential");
    }
    const core::ModelSpec* const before = spec.layers.empty() ? nullptr : core::nested_model(*spec.layers.back());
    if (before != nullptr && before->outputs.size() != 1) {
      reading.where.layer(layer->path).fail(ErrorCode::value, "follows a model with several outputs in a Sequential");
    }
    if (!names.insert(layer->name).second)
      reading.where.layer(layer->path).fail(ErrorCode::value, "another layer has the same name");
    spec.layers.push_back(layer);
    const int node = static_cast<int>(spec.nodes.size());
    spec.nodes.push_back({node, node == 0 ? std::vector<core::ValueRef>{} : std::vector<core::ValueRef>{{node - 1, 0}}});
  };
  for (const Json& object : layers) {
    if (!object.is_object()) fields.fail_field(ErrorCode::json, "layers", "has an entry that is not an object");
    std::string layer_name = object.value("name", std::string());
    if (object.contains("config") && object.at("config").is_object()) layer_name = object.at("config").value("name", layer_name);
    if (spec.nodes.empty() && object.value("class_name", std::string()) != "InputLayer") {
      auto input = std::make_shared<core::LayerSpec>();
      input->name = layer_name + "_input";
      input->class_name = "InputLayer";
      input->config_json = "{}";
      input->path = path.empty() ? input->name : path + "/" + input->name;
      input->params = core::InputParams{found_shape(config, object, fields), DType::float32};
      append(input);
    }
    append(read_any(object, path.empty() ? layer_name : path + "/" + layer_name, reading));
  }
  if (spec.nodes.empty()) fields.fail_field(ErrorCode::value, "layers", "is empty: the model computes nothing");
  if (!std::holds_alternative<core::InputParams>(spec.layers[0]->params))
    reading.where.layer(spec.layers[0]->path).fail(ErrorCode::value, "is not an InputLayer");
  spec.inputs = {{0, 0}};
  spec.input_names = {spec.layers[0]->name};
  spec.outputs = {{static_cast<int>(spec.nodes.size()) - 1, 0}};
  spec.output_names = {spec.layers.back()->name};
  if (const core::ModelSpec* last = core::nested_model(*spec.layers.back())) {
    spec.outputs.clear();
    spec.output_names = last->output_names;
    for (std::size_t i = 0; i < spec.output_names.size(); ++i)
      spec.outputs.push_back({static_cast<int>(spec.nodes.size()) - 1, static_cast<int>(i)});
    if (spec.outputs.size() == 1) spec.output_names = {spec.layers.back()->name};
  }
  return model;
}

/// Each call keeps the path of its layer, so long ones count for more.
std::int64_t calls_of(const core::LayerSpec& layer, const Reading& reading) {
  if (const core::ModelSpec* nested = core::nested_model(layer)) return reading.calls.at(nested);
  const core::LayerSpec* const inside = core::layer_inside(layer);
  return static_cast<std::int64_t>(1 + layer.path.size() / kShortPath) + (inside == nullptr ? 0 : calls_of(*inside, reading));
}

/// Counts layer calls and their inputs, a nested model's once per call of it: a small file can request very many.
std::int64_t count_calls(const core::ModelSpec& model, const Reading& reading) {
  std::int64_t calls = 0;
  const auto count = [&](const core::LayerSpec& layer, std::size_t inputs) {
    calls = std::min(calls + std::max(calls_of(layer, reading), static_cast<std::int64_t>(inputs)), kMostCalls + 1);
  };
  std::vector<bool> called(model.layers.size());
  for (const core::NodeSpec& node : model.nodes) {
    const auto layer = static_cast<std::size_t>(node.layer);
    called[layer] = true;
    count(*model.layers[layer], node.inputs.size());
  }
  for (std::size_t l = 0; l < called.size(); ++l) {
    if (!called[l]) count(*model.layers[l], 0);
  }
  return calls;
}

}  // namespace

namespace {

/// The JSON library throws if a value has an unexpected type; here the place is still known.
template <typename F>
auto with_place(const Reading& reading, const std::string& path, const F& f) {
  try {
    return f();
  } catch (const Json::exception& error) {
    reading.where.layer(path).fail(ErrorCode::json, "config: {}", core::escaped(error.what()));
  }
}

/// Records a layer that cannot be read, and replaces it by one without effect.
std::shared_ptr<const core::LayerSpec> read_or_note(const Json& object, const std::string& path, Reading& reading) {
  const int inside = reading.inside;
  try {
    return read_layer(object, path, reading);
  } catch (const LoadError& error) {
    if (error.code() != ErrorCode::unsupported && error.code() != ErrorCode::unsafe) throw;
    reading.inside = inside;
    reading.refused.push_back({error.code(), std::string(core::without_code(error.what()))});
  }
  const std::string class_name = object.value("class_name", std::string());
  reading.unknown_class = reading.unknown_class || !is_layer_class(class_name);
  auto layer = std::make_shared<core::LayerSpec>();
  layer->name = path.substr(path.rfind('/') + 1);
  layer->class_name = class_name;
  layer->config_json = "{}";
  layer->path = path;
  layer->params = core::IdentityParams{};
  return layer;
}

/// Names every layer that could not be read.
[[noreturn]] void fail_refused(const Reading& reading) {
  constexpr std::size_t kNamed = 12;
  const std::string file = reading.where.text() + ": ";
  std::string text = reading.refused[0].what;
  for (std::size_t i = 1; i < std::min(kNamed, reading.refused.size()); ++i) {
    const std::string_view what = reading.refused[i].what;
    text += core::format("; {}", what.substr(what.starts_with(file) ? file.size() : 0));
  }
  if (reading.refused.size() > kNamed) text += core::format("; and {} others", reading.refused.size() - kNamed);
  if (reading.unknown_class) text += core::format("; supported are {}", supported_classes());
  throw LoadError(reading.refused[0].code, text);
}

/// A model as one layer of another.
std::shared_ptr<const core::LayerSpec> read_nested(const Json& object, const std::string& path, Reading& reading) {
  auto layer = std::make_shared<core::LayerSpec>();
  layer->params = core::NestedParams{read_model(object, path, reading)};
  layer->name = path.substr(path.rfind('/') + 1);
  layer->class_name = object.value("class_name", std::string());
  const Json& config = object.at("config");
  layer->trainable = !config.is_object() || !config.contains("trainable") || config.at("trainable") != Json(false);
  layer->config_json = layer->trainable ? "{}" : R"({"trainable": false})";
  layer->path = path;
  return layer;
}

std::shared_ptr<const core::LayerSpec> read_any_layer(const Json& object, const std::string& path, Reading& reading) {
  if (path.size() > kLongestPath) {
    reading.where.layer(path).fail(ErrorCode::limit, "its name, with those of the enclosing models, has {} bytes, allowed 0..{}",
                                   path.size(), kLongestPath);
  }
  const bool shareable = object.contains("shared_object_id") && object.at("shared_object_id").is_number_integer();
  const std::int64_t id = shareable ? object.at("shared_object_id").get<std::int64_t>() : 0;
  if (shareable) {
    if (const auto known = reading.shared.find(id); known != reading.shared.end()) return known->second;
  }
  auto layer = is_model(object) ? read_nested(object, path, reading) : read_or_note(object, path, reading);
  if (shareable) reading.shared[id] = layer;
  return layer;
}

std::shared_ptr<const core::ModelSpec> read_any_model(const Json& object, const std::string& path, Reading& reading);

}  // namespace

/// A layer, or a model as a layer; the same object as before where the file says so.
std::shared_ptr<const core::LayerSpec> read_any(const Json& object, const std::string& path, Reading& reading) {
  auto layer = with_place(reading, path, [&] { return read_any_layer(object, path, reading); });
  if (reading.depth == 0 && !reading.refused.empty()) fail_refused(reading);
  return layer;
}

std::shared_ptr<const core::ModelSpec> read_model(const Json& object, const std::string& path, Reading& reading) {
  const auto read = [&] { return with_place(reading, path, [&] { return read_any_model(object, path, reading); }); };
  if (reading.depth > 0) return read();
  std::shared_ptr<const core::ModelSpec> model;
  try {
    model = read();
  } catch (const LoadError&) {
    if (reading.refused.empty()) throw;
  }
  if (!reading.refused.empty()) fail_refused(reading);
  return model;
}

bool is_model(const Json& object) {
  const std::string class_name = object.value("class_name", std::string());
  return class_name == "Sequential" || class_name == "Functional" || class_name == "Model";
}

namespace {

std::shared_ptr<const core::ModelSpec> read_any_model(const Json& object, const std::string& path, Reading& reading) {
  if (!object.is_object() || !is_model(object)) {
    const std::string found = object.is_object() ? object.value("class_name", std::string("nothing")) : std::string("no object");
    reading.where.fail(ErrorCode::unsupported,
                       "class_name: got '{}', allowed Sequential, Functional; a subclassed model exists only as Python code",
                       core::escaped(found));
  }
  expect_builtin(object, object.value("class_name", std::string()), path, reading);
  if (++reading.depth > kDeepest)
    reading.where.layer(path).fail(ErrorCode::limit, "models are nested more than {} deep", kDeepest);
  if (!object.contains("config")) reading.where.layer(path).fail(ErrorCode::missing, "the model has no config");
  const Json& config = object.at("config");
  const bool sequential = object.value("class_name", std::string()) == "Sequential";
  if (!config.is_object() && !(sequential && config.is_array()))
    reading.where.layer(path).fail(ErrorCode::json, "the model's config is not an object");
  const std::string name = config.is_object() ? config.value("name", std::string("model")) : std::string("sequential");
  auto model = sequential ? read_sequential(config, name, path, reading) : read_functional(config, name, path, reading);
  --reading.depth;
  const std::int64_t calls = reading.calls[model.get()] = count_calls(*model, reading);
  if (calls > kMostCalls) {
    reading.where.layer(path.empty() ? name : path)
        .fail(ErrorCode::limit,
              "the model has more than {} layer calls, or inputs of layer calls; those in nested models count once per call of "
              "the model, and those with names of more than {} bytes count several times",
              kMostCalls, kShortPath);
  }
  return model;
}

}  // namespace
}  // namespace lamella::keras
