// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>

namespace lamella::cli {

/// "[=====>     ] 512/4096 rows, 51200 rows/s, 1 s left" on stderr, if that is a terminal and the work takes long enough to
/// report.
class Progress {
 public:
  /// `total`: -1 if unknown.
  Progress(std::int64_t total, bool wanted);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void at(std::int64_t done);
  [[nodiscard]] double seconds() const;

 private:
  std::int64_t total_;
  bool shown_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_ = begin_;
};

}  // namespace lamella::cli
