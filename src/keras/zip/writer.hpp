// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/output_file.hpp"
#include "keras/bytes.hpp"

namespace lamella::keras {

/// Writes a zip archive: its members are stored as they are, without a date. With zip64 records only where 32 bits are too few.
class ArchiveWriter {
 public:
  explicit ArchiveWriter(const std::string& path) : file_(path) {}

  /// A member of these parts, one behind the other. `name` is one that bad_name() has nothing against, and is new. Throws Error
  /// (io; limit: there are too many).
  void add(std::string_view name, std::span<const Bytes> parts);
  /// Writes the directory and puts the file in its place. Without it nothing has happened.
  void finish();

 private:
  void write(const std::string& record);

  core::OutputFile file_;
  std::string directory_;
  std::uint64_t entries_ = 0;
  std::uint64_t at_ = 0;  ///< bytes written
};

}  // namespace lamella::keras
