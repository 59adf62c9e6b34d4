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

/// What a path leads to: a folder, an archive, an HDF5 file or text.
namespace lamella::keras {

enum class Container { archive, hdf5, text };

[[nodiscard]] bool is_directory(const std::string& path);

/// What a file is by its content. Text is allowed where `text` says so. Throws LoadError (archive) that says what it is instead.
[[nodiscard]] Container container_of(const FileBytes::Glance& glance, std::uint64_t size, bool text, const Where& where);

/// A file and what it is, which is known before it is read.
[[nodiscard]] std::pair<Container, OwnedBytes> read_container(const std::string& path, bool text);

/// The members of an archive, packed or lying in a folder.
class Members {
 public:
  explicit Members(std::string folder) : folder_(std::move(folder)), where_(folder_) {}
  Members(const Where& where, const OwnedBytes& archive)
      : where_(where), bytes_(archive.bytes.size()), archive_(std::make_unique<Archive>(archive, where)) {}

  [[nodiscard]] bool contains(const std::string& name) const;
  [[nodiscard]] OwnedBytes member(const std::string& name) const;
  /// Of the archive; 0 for a folder.
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] const Where& where() const noexcept { return where_; }
  [[nodiscard]] Where where(std::string_view name) const { return archive_ ? where_.member(name) : where_.entry(name); }

 private:
  std::string folder_;  ///< empty where there is an archive
  Where where_;
  std::uint64_t bytes_ = 0;
  std::unique_ptr<Archive> archive_;
};

}  // namespace lamella::keras
