// SPDX-License-Identifier: Apache-2.0
#include "keras/load.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

#include "core/owned_json.hpp"
#include "keras/container.hpp"
#include "keras/foreign.hpp"
#include "keras/json.hpp"
#include "keras/weights.hpp"

namespace lamella::keras {
namespace {

using Model = std::shared_ptr<const core::ModelSpec>;
using Sample = std::optional<std::vector<std::int64_t>>;

Reading reading_of(Where where, const std::string& version, HardSigmoid hard_sigmoid, bool has_assets) {
  Reading reading;
  reading.where = std::move(where);
  reading.keras_version = version;
  reading.keras2 = is_keras2(HardSigmoid::as_written, version);
  reading.keras2_hard_sigmoid = is_keras2(hard_sigmoid, version);
  reading.has_assets = has_assets;
  return reading;
}

/// Reads a model and keeps the text from which it is read, which `text` returns. Packed text is unpacked twice, so that text,
/// tree of values and model never exist at once.
template <typename Text>
Model read_whole(const Text& text, Reading& reading) {
  auto model = std::make_shared<core::ModelSpec>();
  {
    const core::OwnedJson config(parse_json(text().bytes, reading.where));
    *model = *read_model(*config, "", reading);
  }
  model->config_json = std::make_shared<const std::string>(as_text(text().bytes));
  return model;
}

/// The version of Keras that wrote the archive; empty if unknown.
std::string version_in(const Members& members) {
  const char* const name = "metadata.json";
  if (!members.contains(name)) return {};
  const core::OwnedJson metadata(parse_json(members.member(name).bytes, members.where(name)));
  if (!metadata->is_object() || !metadata->contains("keras_version")) return {};
  if (!metadata->at("keras_version").is_string()) members.where(name).fail(ErrorCode::value, "keras_version is not a string");
  return metadata->at("keras_version").get<std::string>();
}

Model load_archive(const Members& members, HardSigmoid hard_sigmoid, const Sample& sample) {
  const char* const name = "config.json";
  const std::string version = version_in(members);
  if (!members.contains(name)) members.where(name).fail(ErrorCode::missing, "is missing");
  Reading reading = reading_of(members.where(name), version, hard_sigmoid, true);
  const Model model = read_whole([&] { return members.member(name); }, reading);
  return with_input_shape(with_weights(*model, source_of(members)), reading, sample);
}

Model load_folder(const std::string& path, HardSigmoid hard_sigmoid, const Sample& sample) {
  const Members members(path);
  if (!members.contains("config.json")) {
    if (const std::string foreign = foreign_folder(path); !foreign.empty())
      members.where().fail(ErrorCode::archive, "{}", foreign);
    members.where().fail(ErrorCode::missing,
                         "is a folder without config.json; allowed a .keras or .h5 file, or an unpacked .keras file");
  }
  return load_archive(members, hard_sigmoid, sample);
}

Model load_legacy(const Where& where, const OwnedBytes& bytes, HardSigmoid hard_sigmoid, const Sample& sample) {
  const auto file = std::make_shared<const H5File>(bytes, where);
  const auto config_text = file->string_attribute("/", "model_config");
  if (!config_text) {
    const bool weights =
        file->has_attribute("/", "layer_names") || file->has_group("layers") || file->has_group("_layer_checkpoint_dependencies");
    where.fail(ErrorCode::missing, "has no attribute 'model_config'{}",
               weights ? "; it holds weights only: load a model and give it this file" : "");
  }
  const std::string version = file->string_attribute("/", "keras_version").value_or("");
  if (version.starts_with("1.")) {
    where.fail(ErrorCode::unsupported,
               "was written by Keras {}; lamella reads files of Keras 2 and 3: load it with Keras 2 and save it again",
               core::escaped(version));
  }
  const Where config_place = where.object("@model_config");
  const core::OwnedJson config(parse_json(std::as_bytes(std::span(*config_text)), config_place));
  Reading reading = reading_of(config_place, version, hard_sigmoid, false);
  const Model model = read_model(*config, "", reading);
  const std::string root = file->has_group("model_weights") ? "model_weights" : "";
  return with_input_shape(with_legacy_weights(*model, *file, root, where), reading, sample);
}

Model load_contents(Container container, const Where& where, const OwnedBytes& bytes, HardSigmoid hard_sigmoid,
                    const Sample& sample) {
  if (container == Container::archive) return load_archive(Members(where, bytes), hard_sigmoid, sample);
  return load_legacy(where, bytes, hard_sigmoid, sample);
}

/// `model` with the weights of a file or folder in any of Keras' formats.
FoundWeights with_weights_of(const core::ModelSpec& model, const std::string& path) {
  const Where where(path);
  if (is_directory(path)) return with_weights(model, source_of(Members(path)));
  const auto [container, bytes] = read_container(path, Wanted::weights);
  if (container == Container::npz) return npz_arrays(bytes, where);
  if (container == Container::safetensors) return safetensors_arrays(bytes.bytes, where);
  if (container == Container::text)
    return with_weights(model, source_of_shards(path, *core::OwnedJson(parse_json(bytes.bytes, where))));
  if (container == Container::archive) return with_weights(model, source_of(Members(where, bytes)));
  const auto file = std::make_shared<const H5File>(bytes, where);
  const bool whole = file->has_group("model_weights");
  const bool legacy = whole || file->has_attribute("/", "layer_names") || file->has_attribute("/", "layer_names0");
  if (legacy) return with_legacy_weights(model, *file, whole ? "model_weights" : "", where);
  return with_weights(model, source_of(file, where));
}

/// The JSON library throws if a value in a config has an unexpected type.
template <typename F>
auto with_load_errors(const Where& where, const F& f) -> decltype(f()) {
  try {
    return f();
  } catch (const Json::exception& error) {
    where.fail(ErrorCode::json, "config: {}", core::escaped(error.what()));
  } catch (const ArgumentError& error) {
    where.fail(error.code(), "{}", core::without_code(error.what()));
  }
}

}  // namespace

bool is_keras2(HardSigmoid hard_sigmoid, const std::string& version) {
  const bool written_by_it = version.starts_with("2.") || version.starts_with("1.");
  return hard_sigmoid == HardSigmoid::keras2 || (hard_sigmoid == HardSigmoid::as_written && written_by_it);
}

std::shared_ptr<const core::ModelSpec> load_model(const std::string& path, HardSigmoid hard_sigmoid, const Sample& sample) {
  const Where where(path);
  return with_load_errors(where, [&] {
    if (is_directory(path)) return load_folder(path, hard_sigmoid, sample);
    const auto [container, bytes] = read_container(path, Wanted::model);
    return load_contents(container, where, bytes, hard_sigmoid, sample);
  });
}

std::shared_ptr<const core::ModelSpec> load_model(Bytes file, HardSigmoid hard_sigmoid) {
  const Where where("(memory)");
  return with_load_errors(where, [&] {
    const auto glance = [&](std::uint64_t at, std::size_t most) {
      return std::string(as_text(at < file.size() ? file.subspan(at, std::min(most, file.size() - at)) : Bytes{}));
    };
    const Container container = container_of(glance, file.size(), Wanted::model, where);
    const Buffer copy(file.size());
    std::memcpy(copy.data, file.data(), file.size());
    return load_contents(container, where, copy.freeze(), hard_sigmoid, std::nullopt);
  });
}

std::shared_ptr<const core::ModelSpec> load_model(const std::string& architecture, const std::string& weights,
                                                  HardSigmoid hard_sigmoid) {
  const Where where(architecture);
  return with_load_errors(where, [&] {
    const OwnedBytes text = FileBytes(architecture).contents();
    const core::OwnedJson config(parse_json(text.bytes, where));
    const std::string version = config->is_object() ? config->value("keras_version", std::string()) : std::string();
    Reading reading = reading_of(where, version, hard_sigmoid, true);
    const Model model = read_whole([&] { return text; }, reading);
    const FoundWeights found = with_weights_of(*model, weights);
    if (const Model* whole = std::get_if<Model>(&found)) return with_input_shape(*whole, reading);
    Where(weights).fail(ErrorCode::unsupported, "may hold some of the weights only; load a whole model and give it this file");
  });
}

FoundWeights load_weights(const core::ModelSpec& model, const std::string& path) {
  return with_load_errors(Where(path), [&] { return with_weights_of(model, path); });
}

}  // namespace lamella::keras
