// SPDX-License-Identifier: Apache-2.0
#pragma once

// Real files with an edited config.
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "keras/bytes.hpp"
#include "keras/zip/archive.hpp"
#include "keras/zip/crc32.hpp"

namespace lamella::test {

using Json = nlohmann::json;

inline void put(std::string& out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xFFU);
}

/// A zip of stored members, as Python's zipfile writes it.
inline std::string zip(const std::vector<std::pair<std::string, std::string>>& members) {
  std::string file;
  std::string directory;
  for (const auto& [name, bytes] : members) {
    const std::uint32_t crc = keras::crc32(std::as_bytes(std::span(bytes)));
    const auto common = [&, &name = name, &bytes = bytes](std::string& out) {
      put(out, 20, 2);
      put(out, 0, 2);
      put(out, 0, 2);
      put(out, 0, 4);
      put(out, crc, 4);
      put(out, bytes.size(), 4);
      put(out, bytes.size(), 4);
      put(out, name.size(), 2);
      put(out, 0, 2);
    };
    const std::size_t at = file.size();
    put(file, 0x04034B50U, 4);
    common(file);
    file += name + bytes;
    put(directory, 0x02014B50U, 4);
    put(directory, 20, 2);
    common(directory);
    put(directory, 0, 2);
    put(directory, 0, 2);
    put(directory, 0, 2);
    put(directory, 0, 4);
    put(directory, at, 4);
    directory += name;
  }
  const std::size_t at = file.size();
  file += directory;
  put(file, 0x06054B50U, 4);
  put(file, 0, 4);
  put(file, members.size(), 2);
  put(file, members.size(), 2);
  put(file, directory.size(), 4);
  put(file, at, 4);
  put(file, 0, 2);
  return file;
}

inline std::string fixture(const std::string& name) { return std::string(LAMELLA_FIXTURES) + "/keras3/" + name + "/model.keras"; }

inline std::string member(const std::string& path, const std::string& name) {
  const keras::Archive archive(keras::FileBytes(path).contents(), keras::Where(path));
  return std::string(keras::as_text(archive.member(name).bytes));
}

/// A file that is removed when the test ends.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& bytes, const std::string& ending = ".keras") {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    std::string name = std::string(info->test_suite_name()) + "_" + info->name();
    for (char& c : name) {
      if (c == '/') c = '_';
    }
    path_ = (std::filesystem::temp_directory_path() / (name + ending)).string();
    std::ofstream(path_, std::ios::binary) << bytes;
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() { std::remove(path_.c_str()); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline std::string repacked(const std::string& from, const std::string& config) {
  return zip({{"metadata.json", R"({"keras_version": "3.10.0"})"},
              {"config.json", config},
              {"model.weights.h5", member(fixture(from), "model.weights.h5")}});
}

/// The config of the n-th layer of a Sequential or Functional.
inline Json& layer(Json& config, std::size_t n) { return config["config"]["layers"][n]; }
inline Json& dense(Json& config) { return layer(config, 1)["config"]; }

inline Json& history(Json& config, std::size_t n) {
  return layer(config, n)["inbound_nodes"][0]["args"][0]["config"]["keras_history"];
}
inline Json& kwargs(Json& config, std::size_t n) { return layer(config, n)["inbound_nodes"][0]["kwargs"]; }

}  // namespace lamella::test
