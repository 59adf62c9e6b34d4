// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "keras/bytes.hpp"
#include "keras/where.hpp"
#include "keras/zip/archive.hpp"

/// The kind of a path: a folder, an archive, an HDF5 file, or a file of weights alone.
namespace lamella::keras {

enum class Container { archive, hdf5, text, npz, safetensors };

[[nodiscard]] bool is_directory(const std::string& path);

/// What a file is read for. Text and arrays by name have weights only.
enum class Wanted { model, weights };

/// The kind of a file by its content. Throws LoadError (archive), which says what it is instead, if it is not what is wanted.
[[nodiscard]] Container container_of(const FileBytes::Glance& glance, std::uint64_t size, Wanted wanted, const Where& where);

/// A file and its kind, which is determined before the file is read.
[[nodiscard]] std::pair<Container, OwnedBytes> read_container(const std::string& path, Wanted wanted);

/// The members of an archive, packed or unpacked in a folder.
class Members {
 public:
  explicit Members(std::string folder) : folder_(std::move(folder)), where_(folder_) {}
  Members(const Where& where, const OwnedBytes& archive)
      : where_(where), bytes_(archive.bytes.size()), archive_(std::make_unique<Archive>(archive, where)) {}

  [[nodiscard]] bool contains(const std::string& name) const;
  [[nodiscard]] OwnedBytes member(const std::string& name) const;
  /// Size of the archive; 0 for a folder.
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] const Where& where() const noexcept { return where_; }
  [[nodiscard]] Where where(std::string_view name) const { return archive_ ? where_.member(name) : where_.entry(name); }

 private:
  std::string folder_;  ///< empty for an archive
  Where where_;
  std::uint64_t bytes_ = 0;
  std::unique_ptr<Archive> archive_;
};

}  // namespace lamella::keras
