// SPDX-License-Identifier: Apache-2.0
#include "keras/load.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <set>

#include "core/owned_json.hpp"
#include "keras/foreign.hpp"
#include "keras/json.hpp"
#include "keras/quantized.hpp"
#include "keras/weights.hpp"
#include "keras/zip/archive.hpp"

namespace lamella::keras {
namespace {

using Sample = std::optional<std::vector<std::int64_t>>;

bool is_directory(const std::string& path) {
  struct stat status {};
  return path.find('\0') == std::string::npos && ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

Reading reading_of(const std::string& path, const std::string& version, HardSigmoid hard_sigmoid) {
  Reading reading;
  reading.file = path;
  reading.keras_version = version;
  reading.keras2 = is_keras2(HardSigmoid::as_written, version);
  reading.keras2_hard_sigmoid = is_keras2(hard_sigmoid, version);
  return reading;
}

/// One HDF5 file as a source of weights.
WeightSource source_of(const std::shared_ptr<const H5File>& file, const std::string& where) {
  return {[file](const std::string& group) { return file->has_group(group); },
          [file](const std::string& group) { return file->children(group); },
          [file](const std::string& path) { return file->dataset(path); }, where};
}

/// The members of an archive, packed or lying in a folder.
class Members {
 public:
  /// `bytes` holds the archive; without bytes, `path` is a folder.
  Members(const std::string& path, std::optional<OwnedBytes> bytes)
      : path_(path), folder_(!bytes), bytes_(bytes ? bytes->bytes.size() : 0) {
    if (bytes) archive_ = std::make_unique<Archive>(std::move(*bytes), path);
  }
  [[nodiscard]] bool contains(const std::string& name) const {
    struct stat status {};
    return folder_ ? ::stat((path_ + "/" + name).c_str(), &status) == 0 : archive_->contains(name);
  }
  [[nodiscard]] OwnedBytes member(const std::string& name) const {
    return folder_ ? FileBytes(path_ + "/" + name).contents() : archive_->member(name);
  }
  /// Of the archive; 0 for a folder.
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::string where(const std::string& name) const {
    return core::concat(core::escaped(path_, 4096), folder_ ? "/" : "!", name);
  }

 private:
  std::string path_;
  bool folder_;
  std::uint64_t bytes_;
  std::unique_ptr<Archive> archive_;
};

std::shared_ptr<const H5File> archived_weights(const Members& members) {
  constexpr const char* kName = "model.weights.h5";
  if (!members.contains(kName)) {
    if (members.contains("model.weights.npz")) {
      throw LoadError(ErrorCode::unsupported, core::concat(members.where("model.weights.npz"),
                                                           ": weights in npz are pickled Python objects; save as HDF5"));
    }
    throw LoadError(ErrorCode::missing, core::concat(members.where(kName), ": is not there"));
  }
  return std::make_shared<const H5File>(members.member(kName), members.where(kName), members.bytes());
}

/// The archive's weights, and its assets beside them.
WeightSource source_of(const Members& members) {
  WeightSource source = source_of(archived_weights(members), members.where("model.weights.h5"));
  source.asset = [&members](const std::string& name) {
    return members.contains(name) ? std::optional(members.member(name)) : std::nullopt;
  };
  return source;
}

std::shared_ptr<const core::ModelSpec> load_archive(const std::string& path, std::optional<OwnedBytes> bytes,
                                                    HardSigmoid hard_sigmoid, const Sample& sample) {
  const bool folder = !bytes.has_value();
  const Members members(path, std::move(bytes));
  std::string version;
  if (members.contains("metadata.json")) {
    const core::OwnedJson metadata(parse_json(members.member("metadata.json").bytes, members.where("metadata.json")));
    if (metadata->is_object() && metadata->contains("keras_version")) {
      if (!metadata->at("keras_version").is_string())
        throw LoadError(ErrorCode::value, core::concat(members.where("metadata.json"), ": keras_version is not a string"));
      version = metadata->at("keras_version").get<std::string>();
    }
  }
  if (const std::string foreign = folder && !members.contains("config.json") ? foreign_folder(path) : ""; !foreign.empty())
    fail(ErrorCode::archive, core::escaped(path, 4096), foreign);
  if (!members.contains("config.json"))
    throw LoadError(ErrorCode::missing, core::concat(members.where("config.json"), ": is not there"));
  const core::OwnedJson config(parse_json(members.member("config.json").bytes, members.where("config.json")));
  Reading reading = reading_of(core::concat(path, "!config.json"), version, hard_sigmoid);
  reading.has_assets = true;
  const auto model = read_model(*config, "", reading);
  return with_input_shape(with_weights(*model, source_of(members)), reading, sample);
}

std::shared_ptr<const core::ModelSpec> load_legacy(const std::string& path, OwnedBytes bytes, HardSigmoid hard_sigmoid,
                                                   const Sample& sample) {
  const std::string where = core::escaped(path, 4096);
  const auto file = std::make_shared<const H5File>(std::move(bytes), where);
  const auto config_text = file->string_attribute("/", "model_config");
  if (!config_text) {
    const bool weights =
        file->has_attribute("/", "layer_names") || file->has_group("layers") || file->has_group("_layer_checkpoint_dependencies");
    throw LoadError(ErrorCode::missing,
                    core::concat(where, ": has no attribute 'model_config'",
                                 weights ? "; it holds weights only: load a model and give it this file" : ""));
  }
  const std::string version = file->string_attribute("/", "keras_version").value_or("");
  if (version.starts_with("1.")) {
    fail(ErrorCode::unsupported, where, "was written by Keras ", core::escaped(version),
         "; lamella reads files of Keras 2 and 3: load it with Keras 2 and save it anew");
  }
  const core::OwnedJson config(parse_json(std::as_bytes(std::span(*config_text)), where + ":/@model_config"));
  Reading reading = reading_of(path + ":/@model_config", version, hard_sigmoid);
  const auto model = read_model(*config, "", reading);
  const std::string root = file->has_group("model_weights") ? "model_weights" : "";
  return with_input_shape(with_legacy_weights(*model, *file, root, where), reading, sample);
}

/// NAME.weights.json and its shards, which must lie beside it.
WeightSource sharded(const std::string& path, const Json& index) {
  const std::string where = core::escaped(path, 4096);
  if (!index.is_object() || !index.contains("weight_map") || !index.at("weight_map").is_object()) {
    throw LoadError(ErrorCode::missing, core::concat(where, ": has no object 'weight_map'"));
  }
  struct Shards {
    std::map<std::string, std::shared_ptr<const H5File>> files;
    std::map<std::string, std::vector<std::string>> groups;  // without the leading slash
  };
  const auto shards = std::make_shared<Shards>();
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash + 1);
  for (const auto& [group, value] : index.at("weight_map").items()) {
    const auto take = [&, &group = group](const Json& item) {
      if (!item.is_string())
        throw LoadError(ErrorCode::value, core::concat(where, ": weight_map of '", core::escaped(group), "' is not a file name"));
      const std::string name = item.get<std::string>();
      if (name.empty() || name.find('/') != std::string::npos || name.find('\\') != std::string::npos ||
          name.find('\0') != std::string::npos || name.starts_with('.')) {
        throw LoadError(ErrorCode::unsafe, core::concat(where, ": shard '", core::escaped(name), "' is not a plain file name"));
      }
      if (!shards->files.contains(name)) {
        shards->files[name] =
            std::make_shared<const H5File>(FileBytes(folder + name).contents(), core::escaped(folder + name, 4096));
      }
      shards->groups[group.starts_with('/') ? group.substr(1) : group].push_back(name);
    };
    if (value.is_array()) {
      std::for_each(value.begin(), value.end(), take);
    } else {
      take(value);
    }
  }
  const auto files_of = [shards](const std::string& group) {
    std::vector<std::shared_ptr<const H5File>> result;
    if (const auto it = shards->groups.find(group); it != shards->groups.end()) {
      for (const std::string& name : it->second) result.push_back(shards->files.at(name));
    }
    return result;
  };
  return {[shards](const std::string& group) {
            const auto it = shards->groups.lower_bound(group);
            return it != shards->groups.end() && (it->first == group || it->first.starts_with(group + "/"));
          },
          [files_of](const std::string& group) {
            std::set<std::string> names;
            for (const auto& file : files_of(group)) {
              if (!file->has_group(group)) continue;
              for (const std::string& name : file->children(group)) names.insert(name);
            }
            return std::vector<std::string>(names.begin(), names.end());
          },
          [files_of, where](const std::string& dataset) {
            for (const auto& file : files_of(dataset.substr(0, dataset.rfind('/')))) {
              if (file->has_dataset(dataset)) return file->dataset(dataset);
            }
            throw LoadError(ErrorCode::missing, core::concat(where, ":/", core::escaped(dataset), ": is in none of its shards"));
          },
          where};
}

/// Exceptions of the JSON library are about types of values where a config holds something unexpected.
template <typename F>
auto with_load_errors(const std::string& path, const F& f) {
  try {
    return f();
  } catch (const Json::exception& error) {
    throw LoadError(ErrorCode::json, core::concat(core::escaped(path, 4096), ": config: ", core::escaped(error.what())));
  } catch (const ArgumentError& error) {
    throw LoadError(error.code(), core::concat(core::escaped(path, 4096), ": ", core::without_code(error.what())));
  }
}

enum class Container { archive, hdf5, text };

/// What a file is by its content. Text is allowed where `text` says so. Throws LoadError (archive) that says what it is instead.
Container container_of(const FileBytes::Glance& glance, std::uint64_t size, bool text, const std::string& path) {
  constexpr std::size_t kHead = 4096;
  const std::string head = glance(0, kHead);
  const Bytes bytes = std::as_bytes(std::span(head));
  // An archive first: the weights in it may begin where an HDF5 file behind a user block would.
  if (Archive::looks_like(bytes)) return Container::archive;
  if (H5File::looks_like(bytes)) return Container::hdf5;
  if (text && head.starts_with('{')) return Container::text;
  for (std::uint64_t at = kHead; at < size && at <= size / 2; at *= 2) {  // behind a large user block
    const std::string there = glance(at, 8);
    if (H5File::looks_like(std::as_bytes(std::span(there)))) return Container::hdf5;
  }
  fail(ErrorCode::archive, core::escaped(path, 4096), foreign_file(bytes, size));
}

std::shared_ptr<const core::ModelSpec> load_contents(Container container, const std::string& path, const OwnedBytes& bytes,
                                                     HardSigmoid hard_sigmoid, const Sample& sample) {
  return container == Container::archive ? load_archive(path, bytes, hard_sigmoid, sample)
                                         : load_legacy(path, bytes, hard_sigmoid, sample);
}

/// It is not read before it is known what it is.
std::pair<Container, OwnedBytes> read_container(const std::string& path, bool text) {
  Container found{};
  OwnedBytes bytes = FileBytes(path, [&](const FileBytes::Glance& glance, std::uint64_t size) {
                       found = container_of(glance, size, text, path);
                     }).contents();
  return {found, std::move(bytes)};
}

/// `model` with the weights of a file or folder of any kind.
std::shared_ptr<const core::ModelSpec> with_weights_of(const core::ModelSpec& model, const std::string& path) {
  const std::string where = core::escaped(path, 4096);
  if (is_directory(path)) {
    const Members members(path, std::nullopt);
    return with_weights(model, source_of(members));
  }
  const auto [container, bytes] = read_container(path, true);
  if (container == Container::text) return with_weights(model, sharded(path, *core::OwnedJson(parse_json(bytes.bytes, where))));
  if (container == Container::archive) {
    const Members members(path, bytes);
    return with_weights(model, source_of(members));
  }
  const auto file = std::make_shared<const H5File>(bytes, where);
  const bool whole = file->has_group("model_weights");
  const bool legacy = whole || file->has_attribute("/", "layer_names") || file->has_attribute("/", "layer_names0");
  if (legacy) return with_legacy_weights(model, *file, whole ? "model_weights" : "", where);
  return with_weights(model, source_of(file, where));
}

}  // namespace

bool is_keras2(HardSigmoid hard_sigmoid, const std::string& version) {
  const bool written_by_it = version.starts_with("2.") || version.starts_with("1.");
  return hard_sigmoid == HardSigmoid::keras2 || (hard_sigmoid == HardSigmoid::as_written && written_by_it);
}

std::shared_ptr<const core::ModelSpec> load_model(const std::string& path, HardSigmoid hard_sigmoid, const Sample& sample) {
  return with_load_errors(path, [&]() -> std::shared_ptr<const core::ModelSpec> {
    if (is_directory(path)) return load_archive(path, std::nullopt, hard_sigmoid, sample);
    const auto [container, bytes] = read_container(path, false);
    return load_contents(container, path, bytes, hard_sigmoid, sample);
  });
}

std::shared_ptr<const core::ModelSpec> load_model(Bytes file, HardSigmoid hard_sigmoid) {
  const std::string path = "(memory)";  // where a path would be, in messages
  return with_load_errors(path, [&]() -> std::shared_ptr<const core::ModelSpec> {
    const auto glance = [&](std::uint64_t at, std::size_t most) {
      return std::string(as_text(at < file.size() ? file.subspan(at, std::min(most, file.size() - at)) : Bytes{}));
    };
    const Container container = container_of(glance, file.size(), false, path);
    const Buffer copy(file.size());
    std::memcpy(copy.data, file.data(), file.size());
    return load_contents(container, path, copy.freeze(), hard_sigmoid, std::nullopt);
  });
}

std::shared_ptr<const core::ModelSpec> load_model(const std::string& architecture, const std::string& weights,
                                                  HardSigmoid hard_sigmoid) {
  return with_load_errors(architecture, [&]() -> std::shared_ptr<const core::ModelSpec> {
    const OwnedBytes text = FileBytes(architecture).contents();
    const core::OwnedJson config(parse_json(text.bytes, core::escaped(architecture, 4096)));
    std::string version;
    if (config->is_object()) version = config->value("keras_version", std::string());
    Reading reading = reading_of(architecture, version, hard_sigmoid);
    reading.has_assets = true;
    const auto model = read_model(*config, "", reading);
    return with_input_shape(with_weights_of(*model, weights), reading);
  });
}

std::shared_ptr<const core::ModelSpec> load_weights(const core::ModelSpec& model, const std::string& path) {
  return with_load_errors(path, [&]() -> std::shared_ptr<const core::ModelSpec> { return with_weights_of(model, path); });
}

}  // namespace lamella::keras
