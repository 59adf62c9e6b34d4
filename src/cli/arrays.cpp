// SPDX-License-Identifier: Apache-2.0
// Arrays that the command line names: npy files, and npz archives with one array or many.
#include <array>
#include <fstream>
#include <lamella/npy.hpp>

#include "cli/verbs.hpp"

namespace lamella::cli {
namespace {

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

/// The content decides, not the name.
bool is_archive(const std::string& path) {
  std::array<char, 2> head{};
  std::ifstream file(path, std::ios::binary);
  return file.read(head.data(), head.size()) && head[0] == 'P' && head[1] == 'K';
}

Tensor taken(std::map<std::string, Tensor>& arrays, const std::string& name, const std::string& file, const char* option) {
  if (const auto found = arrays.find(name); found != arrays.end()) return std::move(found->second);
  std::vector<std::string> there;
  for (const auto& [key, array] : arrays) there.push_back(key);
  throw ArgumentError(ErrorCode::missing, std::string(option) + ": '" + file + "' has no array '" + name + "'; it has " +
                                              (there.empty() ? "none" : listed(there)));
}

}  // namespace

std::pair<std::string, std::string> named_file(const std::string& argument, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (argument.starts_with(name + "=")) return {name, argument.substr(name.size() + 1)};
  }
  return {"", argument};
}

std::vector<std::string> files_for(const std::vector<std::string>& arguments, const std::vector<std::string>& names,
                                   const char* option) {
  std::map<std::string, std::string> given;
  for (const std::string& argument : arguments) {
    auto [name, file] = named_file(argument, names);
    if (name.empty()) {
      if (names.size() != 1) {
        throw ArgumentError(ErrorCode::argument, std::string(option) + ": got '" + argument +
                                                     "'; the model has several, name them: NAME=FILE with NAME one of " +
                                                     listed(names) + "; or give one .npz for all");
      }
      name = names[0];
    }
    if (!given.emplace(name, file).second)
      throw ArgumentError(ErrorCode::argument, std::string(option) + ": '" + name + "' is given twice");
  }
  std::vector<std::string> files;
  for (const std::string& name : names) {
    if (!given.contains(name))
      throw ArgumentError(ErrorCode::missing, std::string(option) + ": nothing is given for '" + name + "'");
    files.push_back(given[name]);
  }
  return files;
}

Tensor load_array(const std::string& file, const std::string& name, const char* option) {
  if (!is_archive(file)) return load_npy(file);
  std::map<std::string, Tensor> arrays = load_npz(file);
  return arrays.size() == 1 ? std::move(arrays.begin()->second) : taken(arrays, name, file, option);
}

std::vector<Tensor> load_arrays(const std::vector<std::string>& arguments, const std::vector<std::string>& names,
                                const char* option) {
  std::vector<Tensor> result;
  if (names.size() > 1 && arguments.size() == 1 && named_file(arguments[0], names).first.empty() && is_archive(arguments[0])) {
    std::map<std::string, Tensor> arrays = load_npz(arguments[0]);
    for (const std::string& name : names) result.push_back(taken(arrays, name, arguments[0], option));
    return result;
  }
  const std::vector<std::string> files = files_for(arguments, names, option);
  for (std::size_t i = 0; i < files.size(); ++i) result.push_back(load_array(files[i], names[i], option));
  return result;
}

OutputFiles::OutputFiles(const std::vector<std::string>& arguments, std::vector<std::string> names) : names_(std::move(names)) {
  const bool together = arguments.size() == 1 && named_file(arguments[0], names_).first.empty() && arguments[0].ends_with(".npz");
  files_ = together ? arguments : files_for(arguments, names_, "--output");
  for (std::string& file : files_) {
    for (const std::string_view ending : {".csv", ".tsv"}) {
      if (!file.ends_with(ending)) continue;
      throw ArgumentError(ErrorCode::unsupported, "--output: got '" + file + "'; npy and npz are what can be written");
    }
    if (file == "-") file = "/dev/fd/1";
  }
}

void OutputFiles::save(const std::vector<Tensor>& arrays) const {
  if (files_.size() < arrays.size()) {
    std::map<std::string, TensorView> all;
    for (std::size_t i = 0; i < arrays.size(); ++i) all.emplace(names_[i], arrays[i]);
    return save_npz(files_[0], all);
  }
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    if (files_[i].ends_with(".npz")) {
      save_npz(files_[i], {{names_[i], arrays[i]}});
    } else {
      save_npy(files_[i], arrays[i]);
    }
  }
}

}  // namespace lamella::cli
