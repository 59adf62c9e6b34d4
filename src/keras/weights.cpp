// SPDX-License-Identifier: Apache-2.0
#include "keras/weights.hpp"

#include <algorithm>
#include <set>

#include "core/owned_json.hpp"
#include "keras/json.hpp"

namespace lamella::keras {
namespace {

/// A weight that a layer expects, and the layer that gets it.
struct Slot {
  LayerTree* layer;
  std::string name;
  bool trainable;
};

/// Keras' snake case: "BatchNormalization" is "batch_normalization", "ReLU" is "re_lu", "Conv2D" is "conv2d".
std::string snake_case(std::string_view name) {
  const auto upper = [](char c) { return c >= 'A' && c <= 'Z'; };
  const auto lower = [](char c) { return c >= 'a' && c <= 'z'; };
  std::string result;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    const bool begins_word = upper(c) && i > 0 &&
                             ((i + 1 < name.size() && lower(name[i + 1])) || lower(name[i - 1]) ||
                              (name[i - 1] >= '0' && name[i - 1] <= '9' && i + 1 < name.size() && lower(name[i + 1])));
    if (begins_word && result.back() != '_') result += '_';
    result += upper(c) ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return result;
}

std::shared_ptr<const Tensor> tensor_of(H5Dataset dataset) {
  // The bytes are read-only by convention: weights are handed out as const only.
  auto* data = const_cast<std::byte*>(dataset.bytes.bytes.data());
  return std::make_shared<const Tensor>(
      Tensor::adopt(data, dataset.shape, dataset.dtype, Device::cpu(), std::move(dataset.bytes.owner)));
}

/// The config that a spec keeps as text.
core::OwnedJson<Json> config_of(const core::LayerSpec& spec) {
  return core::OwnedJson(parse_json(std::as_bytes(std::span(spec.config_json)), spec.path));
}

/// What the layer's own config says about a weight's shape; -1 where it depends on the input.
std::vector<std::int64_t> expected_shape(const core::LayerSpec& layer, std::string_view name) {
  if (const auto* dense = std::get_if<core::DenseParams>(&layer.params)) {
    if (name == "kernel") return {-1, dense->units};
    if (name == "bias") return {dense->units};
  }
  if (std::holds_alternative<core::BatchNormalizationParams>(layer.params)) return {-1};
  return {-2};  // anything
}

void store(LayerTree& layer, const std::string& name, H5Dataset dataset, const std::string& where) {
  if (name == "count") return;
  core::LayerSpec& spec = *layer.spec;
  const std::string place = core::concat(where, ": layer '", core::escaped(spec.path), "' weight '", name, "'");
  if (!is_floating(dataset.dtype))
    throw LoadError(ErrorCode::dtype, core::concat(place, ": got ", lamella::name(dataset.dtype), ", allowed floating types"));
  const std::vector<std::int64_t> wanted = expected_shape(spec, name);
  const auto found = dataset.shape.extents();
  const bool fits =
      wanted == std::vector<std::int64_t>{-2} || std::equal(found.begin(), found.end(), wanted.begin(), wanted.end(),
                                                            [](std::int64_t f, std::int64_t w) { return w == -1 || f == w; });
  if (!fits) {
    std::string text;
    for (const std::int64_t extent : wanted)
      text += (text.empty() ? "" : ", ") + (extent < 0 ? std::string("any") : std::to_string(extent));
    throw LoadError(ErrorCode::shape, core::concat(place, ": got shape ", to_string(dataset.shape), ", allowed (", text, ")"));
  }
  spec.weights.push_back({name, tensor_of(std::move(dataset))});
}

/// Keras 3 does not store the weight of a PReLU that serves as a Dense's activation, and starts with alpha anew when it loads the
/// file. Where that is 0, PReLU is ReLU; elsewhere the missing weight is an error.
void replace_unsaved_prelu(LayerTree& layer) {
  if (!layer.activation || layer.activation->spec->class_name != "PReLU") return;
  const core::OwnedJson config = config_of(*layer.activation->spec);
  if (!config->is_object() || !config->contains("alpha_initializer")) return;
  const Json& initializer = config->at("alpha_initializer");
  const Json& name = initializer.is_object() && initializer.contains("class_name") ? initializer.at("class_name") : initializer;
  if (name != Json("Zeros") && name != Json("zeros")) return;
  auto& dense = std::get<core::DenseParams>(layer.spec->params);
  dense.activation_layer = nullptr;
  dense.activation = {.kind = ActivationKind::Relu};
  layer.activation = nullptr;
}

class Filler {
 public:
  explicit Filler(const WeightSource& source) : source_(source) {}

  void model(ModelTree& tree, const std::string& path) {
    const bool keras212 = !source_.has_group(path + "layers") && source_.has_group(path + "_layer_checkpoint_dependencies");
    const std::string base = path + (keras212 ? "_layer_checkpoint_dependencies/" : "layers/");
    std::map<std::string, int> taken;
    for (const auto& layer : tree.layers) {
      if (tree.spec->class_name == "Sequential" && std::holds_alternative<core::InputParams>(layer->spec->params)) continue;
      const std::string key = snake_case(layer->spec->class_name == "Model" ? "Functional" : layer->spec->class_name);
      const int number = taken[key];
      taken[key] += keras212 && has_weights(*layer) ? 2 : 1;  // Keras 2.12 counted layers with weights twice
      fill(*layer, base + key + (number == 0 ? "" : "_" + std::to_string(number)));
    }
  }

 private:
  static bool has_weights(const LayerTree& layer) {
    if (!layer.weights.empty()) return true;
    return layer.nested && std::any_of(layer.nested->layers.begin(), layer.nested->layers.end(),
                                       [](const auto& inner) { return has_weights(*inner); });
  }

  void fill(LayerTree& layer, const std::string& path) {
    if (!visited_.insert(&layer).second) return;  // a shared layer's weights stand where it is met first
    if (layer.nested) return model(*layer.nested, path + "/");
    if (layer.activation) {
      const std::string vars = path + "/activation/vars";
      if (!source_.has_group(vars) || source_.children(vars).empty()) replace_unsaved_prelu(layer);
    }
    if (layer.activation) fill(*layer.activation, path + "/activation");
    if (layer.weights.empty()) return;
    const std::string vars = path + "/vars";
    const std::string where = core::concat(source_.where, ":/", core::escaped(vars));
    if (!source_.has_group(vars)) {
      throw LoadError(ErrorCode::missing, core::concat(where, ": layer '", core::escaped(layer.spec->path),
                                                       "' has no weights in the file; it needs ", listed(layer)));
    }
    const std::size_t found = source_.children(vars).size();
    if (found != layer.weights.size()) {
      throw LoadError(found < layer.weights.size() ? ErrorCode::missing : ErrorCode::shape,
                      core::concat(where, ": layer '", core::escaped(layer.spec->path), "' has ", found,
                                   " weights in the file; it needs ", layer.weights.size(), " (", listed(layer), ")"));
    }
    for (std::size_t i = 0; i < layer.weights.size(); ++i) {
      const std::string at = vars + "/" + std::to_string(i);
      store(layer, layer.weights[i], source_.dataset(at), core::concat(source_.where, ":/", core::escaped(at)));
    }
  }
  static std::string listed(const LayerTree& layer) {
    std::string text;
    for (const std::string& name : layer.weights) text += (text.empty() ? "" : ", ") + name;
    return text;
  }

  const WeightSource& source_;
  std::set<const LayerTree*> visited_;
};

void collect(LayerTree& layer, std::vector<Slot>& slots, std::set<const LayerTree*>& visited) {
  if (!visited.insert(&layer).second) return;
  for (std::size_t i = 0; i < layer.weights.size(); ++i) slots.push_back({&layer, layer.weights[i], layer.trainable[i]});
  if (layer.activation) collect(*layer.activation, slots, visited);
  if (layer.nested) {
    for (const auto& inner : layer.nested->layers) collect(*inner, slots, visited);
  }
}

std::vector<std::string> strings(const H5File& file, const std::string& path, const std::string& name, const std::string& where) {
  if (auto whole = file.strings_attribute(path, name)) return *whole;
  std::vector<std::string> result;
  for (int part = 0;; ++part) {
    const auto chunk = file.strings_attribute(path, name + std::to_string(part));
    if (!chunk) {
      if (part == 0)
        throw LoadError(ErrorCode::missing, core::concat(where, ":/", core::escaped(path), ": has no attribute '", name, "'"));
      return result;
    }
    result.insert(result.end(), chunk->begin(), chunk->end());
  }
}

std::vector<double> numbers(const H5Dataset& dataset) {
  auto* data = const_cast<std::byte*>(dataset.bytes.bytes.data());
  const Tensor wide = Tensor::adopt(data, dataset.shape, dataset.dtype, Device::cpu(), dataset.bytes.owner).to(DType::float64);
  return {wide.span<double>().begin(), wide.span<double>().end()};
}

/// Keras' lora_alpha; the rank unless it is given.
double lora_alpha(const LayerTree& layer, double rank, const std::string& where) {
  const core::OwnedJson owned = config_of(*layer.spec);
  const Json& config = *owned;
  if (!config.is_object() || !config.contains("lora_alpha") || config.at("lora_alpha").is_null()) return rank;
  if (config.at("lora_alpha").is_number()) return config.at("lora_alpha").get<double>();
  throw LoadError(ErrorCode::json, core::concat(where, ": layer '", core::escaped(layer.spec->path), "' lora_alpha: got a ",
                                                config.at("lora_alpha").type_name(), ", allowed a number or null"));
}

/// Legacy files keep LoRA apart: kernel + (alpha / rank) * A . B
H5Dataset merged(const H5Dataset& kernel, const H5Dataset& a, const H5Dataset& b, const LayerTree& layer,
                 const std::string& where) {
  const double rank = a.shape.rank() == 2 ? static_cast<double>(a.shape[1]) : 0.0;
  const double alpha = lora_alpha(layer, rank, where);
  const bool fits = rank > 0 && kernel.shape.rank() == 2 && a.shape.rank() == 2 && b.shape.rank() == 2 &&
                    a.shape[0] == kernel.shape[0] && b.shape[1] == kernel.shape[1] && a.shape[1] == b.shape[0] &&
                    is_floating(kernel.dtype) && is_floating(a.dtype) && is_floating(b.dtype);
  if (!fits)
    throw LoadError(ErrorCode::shape,
                    core::concat(where, ": layer '", core::escaped(layer.spec->path), "' LoRA matrices do not fit its kernel"));
  std::vector<double> k = numbers(kernel);
  const std::vector<double> left = numbers(a);
  const std::vector<double> right = numbers(b);
  const auto units = static_cast<std::size_t>(kernel.shape[1]);
  const auto r = static_cast<std::size_t>(a.shape[1]);
  for (std::size_t i = 0; i < k.size(); ++i) {
    double sum = 0;
    for (std::size_t j = 0; j < r; ++j) sum += left[i / units * r + j] * right[j * units + i % units];
    k[i] += alpha / rank * sum;
  }
  const auto result = std::make_shared<Tensor>(Tensor::of<double>(k, kernel.shape).to(kernel.dtype));
  return {
      kernel.dtype, kernel.shape, {result, Bytes(static_cast<const std::byte*>(std::as_const(*result).data()), result->bytes())}};
}

void fill_lora(LayerTree& layer, std::vector<H5Dataset> found, const std::string& where) {
  // Saved as [bias], A, B, kernel: trainable ones first.
  const bool bias = layer.weights.size() == 2;
  const std::size_t at = bias ? 1 : 0;
  store(layer, "kernel", merged(found[at + 2], found[at], found[at + 1], layer, where), where);
  if (bias) store(layer, "bias", std::move(found[0]), where);
}

}  // namespace

void fill_weights(ModelTree& tree, const WeightSource& source) { Filler(source).model(tree, ""); }

void fill_legacy_weights(ModelTree& tree, const H5File& file, const std::string& root, const std::string& where) {
  const std::string prefix = root.empty() ? "" : root + "/";
  struct Group {
    std::string path;
    std::vector<std::string> names;
  };
  std::vector<Group> groups;
  for (const std::string& layer : strings(file, root.empty() ? "/" : root, "layer_names", where)) {
    Group group{prefix + layer, strings(file, prefix + layer, "weight_names", where)};
    if (!group.names.empty()) groups.push_back(std::move(group));
  }
  std::size_t at = 0;
  std::set<const LayerTree*> visited;
  for (const auto& layer : tree.layers) {
    std::vector<Slot> slots;
    if (layer->activation && at < groups.size() && groups[at].names.size() == layer->weights.size())
      replace_unsaved_prelu(*layer);
    collect(*layer, slots, visited);
    if (slots.empty()) continue;
    std::stable_partition(slots.begin(), slots.end(), [](const Slot& slot) { return slot.trainable; });
    const std::string place = core::concat(where, ": layer '", core::escaped(layer->spec->path), "'");
    if (at == groups.size())
      throw LoadError(ErrorCode::missing, core::concat(place, ": the file has weights of ", groups.size(), " layers only"));
    const Group& group = groups[at++];
    const std::string from = core::concat(where, ":/", core::escaped(group.path));
    const bool lora = layer->spec->class_name == "Dense" && group.names.size() == slots.size() + 2;
    if (group.names.size() != slots.size() && !lora) {
      throw LoadError(group.names.size() < slots.size() ? ErrorCode::missing : ErrorCode::shape,
                      core::concat(from, ": layer '", core::escaped(layer->spec->path), "' has ", group.names.size(),
                                   " weights in the file; it needs ", slots.size()));
    }
    std::vector<H5Dataset> found;
    for (const std::string& name : group.names) found.push_back(file.dataset(group.path + "/" + name));
    if (lora) {
      fill_lora(*layer, std::move(found), from);
      continue;
    }
    for (std::size_t i = 0; i < slots.size(); ++i)
      store(*slots[i].layer, slots[i].name, std::move(found[i]), core::concat(from, "/", core::escaped(group.names[i])));
  }
  if (at != groups.size()) {
    throw LoadError(ErrorCode::shape,
                    core::concat(where, ":/", core::escaped(groups[at].path), ": weights are left over: the model has ", at,
                                 " layers with weights, the file ", groups.size()));
  }
}

}  // namespace lamella::keras
