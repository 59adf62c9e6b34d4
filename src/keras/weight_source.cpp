// SPDX-License-Identifier: Apache-2.0
// The datasets of a Keras 3 weights file: one HDF5 file, an archive's, or shards.
#include <algorithm>
#include <map>
#include <set>

#include "keras/weights.hpp"

namespace lamella::keras {
namespace {

/// Several HDF5 files, and which of them hold parts of a group.
struct Shards {
  std::map<std::string, std::shared_ptr<const H5File>> files;  ///< by name
  std::map<std::string, std::vector<std::string>> groups;      ///< names of files by group, without the leading slash
  std::string folder;                                          ///< with its slash
  Where where;                                                 ///< of the index

  void add(const std::string& group, const Json& item);
  [[nodiscard]] bool has_group(const std::string& group) const;
  [[nodiscard]] std::vector<std::string> children(const std::string& group) const;
  [[nodiscard]] H5Dataset dataset(const std::string& path) const;

 private:
  [[nodiscard]] std::vector<std::shared_ptr<const H5File>> files_of(const std::string& group) const;
};

void Shards::add(const std::string& group, const Json& item) {
  if (!item.is_string()) where.fail(ErrorCode::value, "weight_map of '{}' is not a file name", core::escaped(group));
  const std::string name = item.get<std::string>();
  if (name.empty() || name.find('/') != std::string::npos || name.find('\\') != std::string::npos ||
      name.find('\0') != std::string::npos || name.starts_with('.')) {
    where.fail(ErrorCode::unsafe, "shard '{}' is not a plain file name", core::escaped(name));
  }
  if (!files.contains(name)) {
    const std::string path = folder + name;
    files[name] = std::make_shared<const H5File>(FileBytes(path).contents(), Where(path));
  }
  groups[group.starts_with('/') ? group.substr(1) : group].push_back(name);
}

std::vector<std::shared_ptr<const H5File>> Shards::files_of(const std::string& group) const {
  std::vector<std::shared_ptr<const H5File>> result;
  if (const auto it = groups.find(group); it != groups.end()) {
    for (const std::string& name : it->second) result.push_back(files.at(name));
  }
  return result;
}

bool Shards::has_group(const std::string& group) const {
  const auto it = groups.lower_bound(group);
  return it != groups.end() && (it->first == group || it->first.starts_with(group + "/"));
}

std::vector<std::string> Shards::children(const std::string& group) const {
  std::set<std::string> names;
  for (const auto& file : files_of(group)) {
    if (!file->has_group(group)) continue;
    for (const std::string& name : file->children(group)) names.insert(name);
  }
  return {names.begin(), names.end()};
}

H5Dataset Shards::dataset(const std::string& path) const {
  for (const auto& file : files_of(path.substr(0, path.rfind('/')))) {
    if (file->has_dataset(path)) return file->dataset(path);
  }
  where.object(path).fail(ErrorCode::missing, "is in none of its shards");
}

std::shared_ptr<const H5File> archived_weights(const Members& members) {
  constexpr const char* kName = "model.weights.h5";
  if (!members.contains(kName)) {
    if (members.contains("model.weights.npz")) {
      members.where("model.weights.npz").fail(ErrorCode::unsupported, "weights in npz are pickled Python objects; save as HDF5");
    }
    members.where(kName).fail(ErrorCode::missing, "is missing");
  }
  return std::make_shared<const H5File>(members.member(kName), members.where(kName), members.bytes());
}

}  // namespace

WeightSource source_of(const std::shared_ptr<const H5File>& file, const Where& where) {
  return {[file](const std::string& group) { return file->has_group(group); },
          [file](const std::string& group) { return file->children(group); },
          [file](const std::string& path) { return file->dataset(path); }, where};
}

WeightSource source_of(const Members& members) {
  WeightSource source = source_of(archived_weights(members), members.where("model.weights.h5"));
  source.asset = [&members](const std::string& name) {
    return members.contains(name) ? std::optional(members.member(name)) : std::nullopt;
  };
  return source;
}

WeightSource source_of_shards(const std::string& path, const Json& index) {
  const Where where(path);
  if (!index.is_object() || !index.contains("weight_map") || !index.at("weight_map").is_object())
    where.fail(ErrorCode::missing, "has no object 'weight_map'");
  const std::size_t slash = path.rfind('/');
  const auto shards = std::make_shared<Shards>();
  shards->folder = slash == std::string::npos ? "" : path.substr(0, slash + 1);
  shards->where = where;
  for (const auto& [group, value] : index.at("weight_map").items()) {
    if (!value.is_array()) {
      shards->add(group, value);
      continue;
    }
    for (const Json& item : value) shards->add(group, item);
  }
  return {[shards](const std::string& group) { return shards->has_group(group); },
          [shards](const std::string& group) { return shards->children(group); },
          [shards](const std::string& dataset) { return shards->dataset(dataset); }, where};
}

}  // namespace lamella::keras
