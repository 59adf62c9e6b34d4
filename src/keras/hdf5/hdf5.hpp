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

/// The part of HDF5 that Keras and those who rewrite its files use, read-only. Paths are '/'-separated; a leading '/' may be left
/// out. Anything else is refused by name; links that are not hard links are refused as unsafe. Every failure is a LoadError. Not
/// for several threads at once: it remembers what it has read.
class H5File {
 public:
  /// True when a superblock's signature stands at byte 0, 512, 1024, 2048 and so on.
  [[nodiscard]] static bool looks_like(Bytes bytes) noexcept;

  /// What reading may cost depends on `source_bytes`, the size of the archive that the file was packed in; 0: its own.
  H5File(OwnedBytes file, Where where, std::uint64_t source_bytes = 0);
  H5File(H5File&&) noexcept;
  H5File& operator=(H5File&&) noexcept;
  ~H5File();

  [[nodiscard]] bool has_group(std::string_view path) const;
  [[nodiscard]] bool has_dataset(std::string_view path) const;
  /// Bytes of the file, or of the archive around it.
  [[nodiscard]] std::uint64_t size() const noexcept;
  /// Names of a group's members, sorted by their bytes.
  [[nodiscard]] std::vector<std::string> children(std::string_view path) const;

  /// Throws missing when there is none.
  [[nodiscard]] H5Dataset dataset(std::string_view path) const;

  [[nodiscard]] bool has_attribute(std::string_view path, std::string_view name) const;
  /// Nothing when absent. Throws dtype when it is no string, shape when it is more than one.
  [[nodiscard]] std::optional<std::string> string_attribute(std::string_view path, std::string_view name) const;
  /// Nothing when absent. An empty array of any type is no strings.
  [[nodiscard]] std::optional<std::vector<std::string>> strings_attribute(std::string_view path, std::string_view name) const;

 private:
  std::unique_ptr<hdf5::File> file_;
};

}  // namespace lamella::keras
