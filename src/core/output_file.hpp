// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include <lamella/export.hpp>

namespace lamella::core {

/// A file that is written from its beginning to its end. A regular file, or one that is not there yet, appears whole or not at
/// all: it is written without a name, or under another one in the same folder, and put in its place by finish(), with mode and
/// owner of the file that it replaces. A symlink is followed. Into anything else (a FIFO, a device, a descriptor such as
/// /dev/stdout or /dev/fd/3) is written as it stands. All throw Error (io) that begins with the path.
class LAMELLA_API OutputFile {
 public:
  explicit OutputFile(const std::string& path);
  ~OutputFile();  ///< without finish(): nothing has happened to what stood there
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(const void* data, std::size_t bytes);
  void finish();

 private:
  void open_beside(bool replaces);
  void put_in_place();
  /// Puts a name beside the target into temporary_ until `make` takes it or fails with something other than EEXIST.
  template <typename Make>
  int with_new_name(const Make& make);
  [[noreturn]] void fail(const char* what) const;

  std::string path_;       ///< as it was given, for messages
  std::string target_;     ///< with the links at its end followed
  std::string temporary_;  ///< a name beside it that exists; empty: none does
  int file_ = -1;
  bool in_place_ = false;  ///< what is written arrives at once
  bool replaces_ = false;
};

}  // namespace lamella::core
