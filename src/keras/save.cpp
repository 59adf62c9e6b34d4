// SPDX-License-Identifier: Apache-2.0
#include "keras/save.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <list>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "core/format.hpp"
#include "core/output_file.hpp"
#include "core/owned_json.hpp"
#include "keras/hdf5/writer.hpp"
#include "keras/json.hpp"
#include "keras/load.hpp"
#include "keras/stored.hpp"
#include "keras/zip/writer.hpp"

namespace lamella::keras {
namespace {

using nlohmann::json;

[[noreturn]] void refuse(const std::string& why) { core::throw_argument(ErrorCode::unsupported, "[Model::save] " + why); }
[[noreturn]] void refuse(const core::LayerSpec& layer, const std::string& why) {
  refuse(core::format("layer '{}' ({}) {}", core::escaped(layer.path), core::escaped(layer.class_name), why));
}

constexpr const char* kOldestWritten = "3.0.0";  ///< the version of Keras for which models built in C++ are written

/// Whether "hard_sigmoid" in this model differs from that of the version of Keras that will read the file.
bool has_keras2_hard_sigmoid(const core::ModelSpec& model) {
  return std::any_of(model.layers.begin(), model.layers.end(), [](const auto& layer) {
    if (const core::ModelSpec* nested = core::nested_model(*layer)) return has_keras2_hard_sigmoid(*nested);
    return std::visit(
        [](const auto& params) {
          if constexpr (requires { params.activation.kind; }) return params.activation.kind == ActivationKind::HardSigmoidKeras2;
          return false;
        },
        layer->params);
  });
}

/// The file that Keras writes next to the weights for a vocabulary set by adapt(): one line per index, special tokens
/// first.
std::string vocabulary_text(const core::LayerSpec& layer) {
  const auto& lookup = std::get<core::IntegerLookupParams>(layer.params);
  const bool masked = lookup.mask_token && lookup.encoding == core::Encoding::integer;
  const std::int64_t special = (masked ? 1 : 0) + lookup.oov_indices;
  if (lookup.oov_indices > 0 && !lookup.oov_token) refuse(layer, "has no oov_token, with which its vocabulary would begin");
  std::map<std::int64_t, std::int64_t> words;  // by index; the mask token has none
  const auto& [from, to] = lookup.invert ? std::tie(lookup.values, lookup.keys) : std::tie(lookup.keys, lookup.values);
  for (std::size_t i = 0; i < from->span<std::int64_t>().size(); ++i) {
    const std::int64_t place = to->span<std::int64_t>()[i];
    const bool is_mask = !lookup.invert && !masked && lookup.mask_token == from->span<std::int64_t>()[i];
    if (place >= special && !is_mask) words[place] = from->span<std::int64_t>()[i];
  }
  std::string text;
  if (masked) text += core::format("{}\n", *lookup.mask_token);
  for (std::int64_t i = 0; i < lookup.oov_indices; ++i) text += core::format("{}\n", *lookup.oov_token);
  for (const auto& [place, word] : words) text += core::format("{}\n", word);
  text.pop_back();  // adapt() leaves at least one word
  return text;
}

/// Writes the weights of a model's layers to their paths in Keras 3: "layers/dense_1/vars/0".
class WeightsFile {
 public:
  /// `has_assets`: whether other files may accompany this one.
  explicit WeightsFile(bool has_assets) : has_assets_(has_assets) {}
  void add(const core::ModelSpec& model, const std::string& path) {
    const std::string base = path.empty() ? "layers" : path + "/layers";
    std::map<std::string, int> taken;
    for (const auto& layer : model.layers) {
      if (model.class_name == "Sequential" && std::holds_alternative<core::InputParams>(layer->params)) continue;
      const std::string key = archive_key(*layer);
      const int number = taken[key]++;
      add(*layer, core::format("{}/{}{}", base, key, number == 0 ? "" : core::format("_{}", number)));
    }
  }
  [[nodiscard]] std::vector<Bytes> parts() { return file_.parts(); }
  /// Names and content of the accompanying files.
  [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& assets() const { return assets_; }

 private:
  void add(const core::LayerSpec& layer, const std::string& path) {
    if (!visited_.insert(&layer).second) return;  // a shared layer's weights are stored where it occurs first
    file_.group(path + "/vars");
    if (const core::ModelSpec* nested = core::nested_model(layer)) return add(*nested, path);
    if (const core::LayerSpec* inside = core::layer_inside(layer)) {
      if (inner_key(layer) == "activation" && !stored_weights(*inside).empty())
        refuse(layer, "has an activation with weights of its own, which Keras does not read from a file");
      add(*inside, core::format("{}/{}", path, inner_key(layer)));
    }
    if (const auto* lookup = std::get_if<core::IntegerLookupParams>(&layer.params); lookup != nullptr && lookup->adapted) {
      if (!has_assets_) refuse(layer, "learnt its vocabulary in adapt(), which a weights file cannot store; save NAME.keras");
      assets_.emplace_back("assets/" + path + "/vocabulary.txt", vocabulary_text(layer));
    }
    int number = 0;
    for (const StoredWeight& weight : stored_weights(layer)) add_weight(layer, weight.name, path + "/vars", number++);
  }

  void add_weight(const core::LayerSpec& layer, std::string_view name, const std::string& group, int number) {
    static constexpr std::int32_t kCount = 0;  // the number of samples seen by adapt(), which Keras requires but does not use
    if (name == "count")
      return file_.dataset(group, core::format("{}", number), Shape{}, DType::int32, std::as_bytes(std::span(&kCount, 1)));
    for (const core::Weight& weight : layer.weights) {
      if (weight.name != name) continue;
      const Tensor& value = weight.value->dtype() == DType::bfloat16 ? widened(*weight.value) : *weight.value;
      return file_.dataset(group, core::format("{}", number), value.shape(), value.dtype(),
                           {static_cast<const std::byte*>(value.data()), value.bytes()});
    }
    refuse(layer, core::format("has no weight '{}'", name));
  }

  /// HDF5 has no bfloat16; float32 represents its values exactly.
  const Tensor& widened(const Tensor& value) {
    Tensor& wide = widened_.emplace_back(value.shape(), DType::float32);
    const auto from = static_cast<TensorView>(value).span<bfloat16>();
    for (std::size_t i = 0; i < from.size(); ++i) wide.span<float>()[i] = static_cast<float>(from[i]);
    return wide;
  }

  const bool has_assets_;
  H5Writer file_;
  std::vector<std::pair<std::string, std::string>> assets_;
  std::set<const core::LayerSpec*> visited_;
  std::list<Tensor> widened_;
};

/// JSON as Python's json module reads and writes it: non-finite numbers are written as words.
std::string python_json(const json& value) {
  if (value.is_number_float() && !std::isfinite(value.get<double>())) {
    const auto number = value.get<double>();
    return std::isnan(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity";
  }
  if (!value.is_structured()) return value.dump();
  std::string text;
  for (const auto& [key, inner] : value.items()) {
    text += text.empty() ? "" : ", ";
    if (value.is_object()) text += json(key).dump() + ": ";
    text += python_json(inner);
  }
  return value.is_object() ? "{" + text + "}" : "[" + text + "]";
}

/// Writes the activations of the layers, which may have been set since, into the config of their model.
void set_activations(json& model_config, const core::ModelSpec& model, const Where& where) {
  json& config = model_config.at("config");
  for (json& entry : config.is_array() ? config : config.at("layers")) {
    json& inner = entry.at("config");
    const std::string name = entry.contains("name") ? entry.at("name").get<std::string>() : inner.at("name").get<std::string>();
    for (const auto& layer : model.layers) {
      if (layer->name != name) continue;
      if (const core::ModelSpec* nested = core::nested_model(*layer)) {
        set_activations(entry, *nested, where);
      } else if (!layer->activation_json.empty() && inner.is_object()) {
        core::dismantle(inner["activation"]);
        inner["activation"] = parse_json(std::as_bytes(std::span(layer->activation_json)), where.layer(layer->path));
      }
    }
  }
}

/// Without the entries needed only for training.
std::string config_text(const core::ModelSpec& model, const std::string& path) {
  const Where where(path);
  core::OwnedJson config(parse_json(std::as_bytes(std::span(*model.config_json)), where));
  set_activations(*config, model, where);
  if ((*config).contains("compile_config")) {
    core::dismantle((*config)["compile_config"]);
    (*config).erase("compile_config");
  }
  return python_json(*config);
}

std::string metadata_text(const core::ModelSpec& model) {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char date[32];
  static_cast<void>(std::strftime(date, sizeof date, "%Y-%m-%d@%H:%M:%S", &parts));
  const std::string version = model.keras_version.empty() ? kOldestWritten : model.keras_version;
  return core::format(R"({{"keras_version": {}, "date_saved": "{}"}})", json(version).dump(), date);
}

void save_archive(const core::ModelSpec& model, const std::string& path) {
  if (!model.config_json)
    refuse("models read from a legacy .h5 file, and parts of models, have no config in Keras 3's format; save NAME.weights.h5");
  if (is_keras2(HardSigmoid::as_written, model.keras_version))
    refuse(core::format("the model's config is Keras {}'s, not Keras 3's; save NAME.weights.h5",
                        core::escaped(model.keras_version)));
  if (has_keras2_hard_sigmoid(model)) refuse("hard_sigmoid is Keras 2's here (Options::hard_sigmoid), and Keras 3's differs");
  const std::string config = config_text(model, path);
  const std::string metadata = metadata_text(model);
  WeightsFile weights(true);
  weights.add(model, "");
  ArchiveWriter archive(path);
  for (const auto& [name, text] : {std::pair("metadata.json", &metadata), {"config.json", &config}})
    archive.add(name, std::array{std::as_bytes(std::span(*text))});
  archive.add("model.weights.h5", weights.parts());
  for (const auto& [name, text] : weights.assets()) archive.add(name, std::array{std::as_bytes(std::span(text))});
  archive.finish();
}

void save_weights(const core::ModelSpec& model, const std::string& path) {
  WeightsFile weights(false);
  weights.add(model, "");
  core::OutputFile file(path);
  for (const Bytes part : weights.parts()) file.write(part.data(), part.size());
  file.finish();
}

}  // namespace

void save_model(const core::ModelSpec& model, const std::string& path) {
  if (path.ends_with(".keras")) return save_archive(model, path);
  if (path.ends_with(".weights.h5")) return save_weights(model, path);
  core::throw_argument(ErrorCode::value,
                       core::format("[Model::save] path: got '{}', allowed NAME.keras, NAME.weights.h5", core::escaped(path)));
}

}  // namespace lamella::keras
