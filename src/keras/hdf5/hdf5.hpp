// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <lamella/dtype.hpp>
#include <lamella/shape.hpp>

#include "keras/bytes.hpp"
#include "keras/where.hpp"

namespace lamella::keras {

namespace hdf5 {
class File;
}

/// A dataset's elements: native byte order, row-major, aligned to their size.
struct H5Dataset {
  DType dtype = DType::float32;
  Shape shape;
  OwnedBytes bytes;
};

/// A read-only reader for the part of HDF5 used by Keras and by tools that rewrite its files. Paths are '/'-separated; a leading
/// '/' is optional. Other features are refused by name; links other than hard links are refused as unsafe. Every failure is a
/// LoadError. Not thread-safe, because it caches what it has read.
class H5File {
 public:
  /// Whether a superblock's signature is at byte 0, 512, 1024, 2048 and so on.
  [[nodiscard]] static bool looks_like(Bytes bytes) noexcept;

  /// The limit on the cost of reading depends on `source_bytes`, the size of the archive that contains the file; 0: the file's
  /// own size.
  H5File(OwnedBytes file, Where where, std::uint64_t source_bytes = 0);
  ~H5File();

  [[nodiscard]] bool has_group(std::string_view path) const;
  [[nodiscard]] bool has_dataset(std::string_view path) const;
  /// Bytes of the file, or of the archive around it.
  [[nodiscard]] std::uint64_t size() const noexcept;
  /// Names of a group's members, sorted by their bytes.
  [[nodiscard]] std::vector<std::string> children(std::string_view path) const;

  /// Throws missing if there is none.
  [[nodiscard]] H5Dataset dataset(std::string_view path) const;

  [[nodiscard]] bool has_attribute(std::string_view path, std::string_view name) const;
  /// Nothing if absent. Throws dtype if it is not a string, shape if it is more than one.
  [[nodiscard]] std::optional<std::string> string_attribute(std::string_view path, std::string_view name) const;
  /// Nothing if absent. An empty array of any type counts as no strings.
  [[nodiscard]] std::optional<std::vector<std::string>> strings_attribute(std::string_view path, std::string_view name) const;

 private:
  std::unique_ptr<hdf5::File> file_;
};

}  // namespace lamella::keras
