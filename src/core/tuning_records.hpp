// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lamella/export.hpp>

#include "core/mutex.hpp"

namespace lamella::core {

/// The measured speed of engines for one operation on one machine.
struct TuningRecord {
  std::string machine;  ///< device, processor, libraries, version: everything that affects speed
  std::string work;     ///< the operation with its sizes and types
  std::string engine;   ///< the fastest
  std::vector<std::pair<std::string, double>> microseconds;  ///< time of one execution by each measured engine
};

/// Records in memory and in a file shared by processes. A file that cannot be read or written, or is not lamella's, is left
/// unchanged, and only the measurements are lost. Entries that are damaged (each has a checksum) are ignored, with one warning.
/// Thread-safe.
class LAMELLA_API TuningRecords {
 public:
  /// `path`: empty to store nothing. The first find() or add() reads the file.
  explicit TuningRecords(std::string path) : path_(std::move(path)) {}
  [[nodiscard]] std::optional<TuningRecord> find(std::string_view machine, std::string_view work);
  /// Replaces the record of the same machine and work. The file is replaced by one with this record and those that other
  /// processes have added meanwhile.
  void add(TuningRecord record);
  /// Why the file is not used, as a sentence that begins with its path; empty if it is used, or if there is none.
  [[nodiscard]] std::string trouble() const;

 private:
  void read();
  void write();
  void put(TuningRecord record);
  void set_trouble(std::string trouble);

  const std::string path_;
  mutable Mutex mutex_;
  bool is_read_ = false;
  bool is_warned_ = false;   ///< of entries that cannot be used
  bool is_foreign_ = false;  ///< the file is not lamella's and must not be replaced
  std::string trouble_;
  std::vector<TuningRecord> records_;
};

/// The path of this process's records: LAMELLA_TUNING_FILE, else lamella/tuning.json in XDG_CACHE_HOME, else in ~/.cache; empty
/// if LAMELLA_TUNING_FILE is set to nothing, or none of these is set.
[[nodiscard]] LAMELLA_API std::string tuning_file();

}  // namespace lamella::core
