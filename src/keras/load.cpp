// SPDX-License-Identifier: Apache-2.0
#include "keras/load.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <set>

#include "core/owned_json.hpp"
#include "keras/archive.hpp"
#include "keras/json.hpp"
#include "keras/weights.hpp"

namespace lamella::keras {
namespace {

bool is_directory(const std::string& path) {
  struct stat status {};
  return path.find('\0') == std::string::npos && ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

Reading reading_of(const std::string& path, const std::string& version, HardSigmoid hard_sigmoid) {
  Reading reading;
  reading.file = path;
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
  Members(const std::string& path, std::optional<OwnedBytes> bytes) : path_(path), folder_(!bytes) {
    if (bytes) archive_ = std::make_unique<Archive>(std::move(*bytes), path);
  }
  [[nodiscard]] bool contains(const std::string& name) const {
    struct stat status {};
    return folder_ ? ::stat((path_ + "/" + name).c_str(), &status) == 0 : archive_->contains(name);
  }
  [[nodiscard]] OwnedBytes member(const std::string& name) const {
    return folder_ ? FileBytes(path_ + "/" + name).contents() : archive_->member(name);
  }
  [[nodiscard]] std::string where(const std::string& name) const {
    return core::concat(core::escaped(path_, 4096), folder_ ? "/" : "!", name);
  }

 private:
  std::string path_;
  bool folder_;
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
  return std::make_shared<const H5File>(members.member(kName), members.where(kName));
}

std::shared_ptr<const core::ModelSpec> load_archive(const std::string& path, std::optional<OwnedBytes> bytes,
                                                    HardSigmoid hard_sigmoid) {
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
  if (!members.contains("config.json"))
    throw LoadError(ErrorCode::missing, core::concat(members.where("config.json"), ": is not there"));
  const core::OwnedJson config(parse_json(members.member("config.json").bytes, members.where("config.json")));
  Reading reading = reading_of(core::concat(path, "!config.json"), version, hard_sigmoid);
  const auto tree = read_model(*config, "", reading);
  tree->spec->keras_version = version;
  fill_weights(*tree, source_of(archived_weights(members), members.where("model.weights.h5")));
  return tree->spec;
}

std::shared_ptr<const core::ModelSpec> load_legacy(const std::string& path, OwnedBytes bytes, HardSigmoid hard_sigmoid) {
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
  const core::OwnedJson config(parse_json(std::as_bytes(std::span(*config_text)), where + ":/@model_config"));
  Reading reading = reading_of(path + ":/@model_config", version, hard_sigmoid);
  const auto tree = read_model(*config, "", reading);
  tree->spec->keras_version = version;
  fill_legacy_weights(*tree, *file, file->has_group("model_weights") ? "model_weights" : "", where);
  return tree->spec;
}

/// A spec taken apart again, its weights to be filled anew.
std::shared_ptr<ModelTree> tree_of(const core::ModelSpec& spec,
                                   std::map<const core::LayerSpec*, std::shared_ptr<LayerTree>>& known);

std::shared_ptr<LayerTree> tree_of(const core::LayerSpec& spec,
                                   std::map<const core::LayerSpec*, std::shared_ptr<LayerTree>>& known) {
  auto& tree = known[&spec];
  if (tree) return tree;
  tree = std::make_shared<LayerTree>();
  tree->spec = std::make_shared<core::LayerSpec>(spec);
  const core::OwnedJson owned(parse_json(std::as_bytes(std::span(spec.config_json)), spec.path));
  const Json& config = *owned;
  const bool trainable = !config.is_object() || !config.contains("trainable") || config.at("trainable") != Json(false);
  tree->frozen = !trainable;
  const bool given = config.is_object() && config.contains("mean") && !config.at("mean").is_null();
  const bool normalization = std::holds_alternative<core::NormalizationParams>(spec.params);
  if (!(normalization && given)) {
    tree->spec->weights.clear();
    for (const core::Weight& w : spec.weights) {
      tree->weights.push_back(w.name);
      tree->trainable.push_back(trainable && !w.name.starts_with("moving_") && !normalization);
    }
    if (normalization) {
      tree->weights.emplace_back("count");
      tree->trainable.push_back(false);
    }
  }
  if (auto* inner = core::inner_layer(tree->spec->params); inner != nullptr && *inner) {
    tree->inner = tree_of(**inner, known);
    tree->inner_key = std::holds_alternative<core::TimeDistributedParams>(spec.params) ? "layer" : "activation";
    *inner = tree->inner->spec;
  }
  if (auto* nested = std::get_if<core::NestedParams>(&tree->spec->params)) {
    tree->nested = tree_of(*nested->model, known);
    nested->model = tree->nested->spec;
  }
  return tree;
}

std::shared_ptr<ModelTree> tree_of(const core::ModelSpec& spec,
                                   std::map<const core::LayerSpec*, std::shared_ptr<LayerTree>>& known) {
  auto tree = std::make_shared<ModelTree>();
  tree->spec = std::make_shared<core::ModelSpec>(spec);
  for (auto& layer : tree->spec->layers) {
    tree->layers.push_back(tree_of(*layer, known));
    layer = tree->layers.back()->spec;
  }
  return tree;
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
auto with_json_errors(const std::string& path, const F& f) {
  try {
    return f();
  } catch (const Json::exception& error) {
    throw LoadError(ErrorCode::json, core::concat(core::escaped(path, 4096), ": config: ", core::escaped(error.what())));
  } catch (const ArgumentError& error) {
    throw LoadError(error.code(), core::concat(core::escaped(path, 4096), ": ", core::without_code(error.what())));
  }
}

}  // namespace

bool is_keras2(HardSigmoid hard_sigmoid, const std::string& version) {
  const bool written_by_it = version.starts_with("2.") || version.starts_with("1.");
  return hard_sigmoid == HardSigmoid::keras2 || (hard_sigmoid == HardSigmoid::as_written && written_by_it);
}

std::shared_ptr<const core::ModelSpec> load_model(const std::string& path, HardSigmoid hard_sigmoid) {
  return with_json_errors(path, [&]() -> std::shared_ptr<const core::ModelSpec> {
    if (is_directory(path)) return load_archive(path, std::nullopt, hard_sigmoid);
    const OwnedBytes bytes = FileBytes(path).contents();
    // An archive first: the weights in it may begin where an HDF5 file behind a user block would.
    if (Archive::looks_like(bytes.bytes)) return load_archive(path, bytes, hard_sigmoid);
    if (H5File::looks_like(bytes.bytes)) return load_legacy(path, bytes, hard_sigmoid);
    throw LoadError(ErrorCode::archive,
                    core::concat(core::escaped(path, 4096), ": is neither a .keras archive nor an HDF5 file (",
                                 bytes.bytes.size(), " bytes)"));
  });
}

std::shared_ptr<const core::ModelSpec> load_weights(const core::ModelSpec& model, const std::string& path) {
  return with_json_errors(path, [&]() -> std::shared_ptr<const core::ModelSpec> {
    std::map<const core::LayerSpec*, std::shared_ptr<LayerTree>> known;
    const auto tree = tree_of(model, known);
    const std::string where = core::escaped(path, 4096);
    if (is_directory(path)) {
      const Members members(path, std::nullopt);
      fill_weights(*tree, source_of(archived_weights(members), members.where("model.weights.h5")));
      return tree->spec;
    }
    const OwnedBytes bytes = FileBytes(path).contents();
    if (Archive::looks_like(bytes.bytes)) {
      const Members members(path, bytes);
      fill_weights(*tree, source_of(archived_weights(members), members.where("model.weights.h5")));
    } else if (H5File::looks_like(bytes.bytes)) {
      const auto file = std::make_shared<const H5File>(bytes, where);
      const bool whole = file->has_group("model_weights");
      const bool legacy = whole || file->has_attribute("/", "layer_names") || file->has_attribute("/", "layer_names0");
      if (legacy) {
        fill_legacy_weights(*tree, *file, whole ? "model_weights" : "", where);
      } else {
        fill_weights(*tree, source_of(file, where));
      }
    } else if (!bytes.bytes.empty() && static_cast<char>(bytes.bytes[0]) == '{') {
      fill_weights(*tree, sharded(path, *core::OwnedJson(parse_json(bytes.bytes, where))));
    } else {
      throw LoadError(ErrorCode::hdf5, core::concat(where, ": is neither an HDF5 file, a .keras archive, nor a .weights.json"));
    }
    return tree->spec;
  });
}

}  // namespace lamella::keras
