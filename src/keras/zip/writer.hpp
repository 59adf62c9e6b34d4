// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/output_file.hpp"
#include "keras/bytes.hpp"

namespace lamella::keras {

/// Writes a zip archive: members are stored uncompressed, without a date. Uses zip64 records only if 32 bits are too few.
class ArchiveWriter {
 public:
  explicit ArchiveWriter(const std::string& path) : file_(path) {}

  /// Adds a member made of consecutive parts. `name` must pass bad_name() and be new. Throws Error (io; limit: too many
  /// members).
  void add(std::string_view name, std::span<const Bytes> parts);
  /// Writes the directory and puts the file in place. Without this call, nothing is created.
  void finish();

 private:
  void write(const std::string& record);

  core::OutputFile file_;
  std::string directory_;
  std::uint64_t entries_ = 0;
  std::uint64_t at_ = 0;  ///< bytes written
};

}  // namespace lamella::keras
