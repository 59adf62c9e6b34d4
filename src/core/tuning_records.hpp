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

/// How fast engines were at some work on some machine.
struct TuningRecord {
  std::string machine;  ///< device, processor, libraries, version: what decides how long something takes
  std::string work;     ///< the operation with its sizes and types
  std::string engine;   ///< the fastest
  std::vector<std::pair<std::string, double>> microseconds;  ///< of one execution by each engine that was measured
};

/// Records in memory and in a file, which processes share. A file that cannot be read or written, or is none of lamella's, is
/// left as it is, and costs nothing but the measurements. Thread-safe.
class LAMELLA_API TuningRecords {
 public:
  /// `path`: empty where nothing is kept. The file is read by the first find() or add().
  explicit TuningRecords(std::string path) : path_(std::move(path)) {}
  [[nodiscard]] std::optional<TuningRecord> find(std::string_view machine, std::string_view work);
  /// Takes the place of the record of the same machine and work. The file is replaced by one that has it, and what other
  /// processes have added meanwhile.
  void add(TuningRecord record);
  /// Why the file is not used, as a sentence that begins with its path; empty when it is, or where there is none.
  [[nodiscard]] std::string trouble() const;

 private:
  void read();
  void write();
  void put(TuningRecord record);

  const std::string path_;
  mutable Mutex mutex_;
  bool is_read_ = false;
  bool is_foreign_ = false;  ///< the file is not lamella's, and not to be replaced
  std::string trouble_;
  std::vector<TuningRecord> records_;
};

/// Where this process keeps its records: LAMELLA_TUNING_FILE, else lamella/tuning.json in XDG_CACHE_HOME, else in ~/.cache; empty
/// where that variable is set and empty, or none of them is set.
[[nodiscard]] LAMELLA_API std::string tuning_file();

}  // namespace lamella::core
