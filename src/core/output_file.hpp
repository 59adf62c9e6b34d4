// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include <lamella/export.hpp>

namespace lamella::core {

/// A file that is written sequentially. A regular or new file appears complete or not at all: it is written unnamed, or under a
/// temporary name in the same folder, and finish() puts it in place, with the mode and owner of the file that it replaces.
/// Symlinks are followed. Anything else (a FIFO, a device, a descriptor such as /dev/stdout or /dev/fd/3) is written in place.
/// All functions throw Error (io), which begins with the path.
class LAMELLA_API OutputFile {
 public:
  explicit OutputFile(const std::string& path);
  ~OutputFile();  ///< without finish(), an existing file is unchanged
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(const void* data, std::size_t bytes);
  void finish();

 private:
  void open_beside(bool replaces);
  void put_in_place();
  /// Tries temporary names next to the target until `make` succeeds or fails with an error other than EEXIST; sets temporary_.
  template <typename Make>
  int with_new_name(const Make& make);
  [[noreturn]] void fail(const char* what) const;

  std::string path_;       ///< as given, for messages
  std::string target_;     ///< with symlinks followed
  std::string temporary_;  ///< an existing temporary name next to it; empty: none
  int file_ = -1;
  bool in_place_ = false;  ///< writes go directly to the target
  bool replaces_ = false;
};

}  // namespace lamella::core
