// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "cli/bench/ceilings.hpp"
#include "cli/bench/cell.hpp"
#include "cli/bench/machine.hpp"

namespace lamella::bench {

/// Everything of one run.
struct Report {
  std::string version;
  Machine machine;
  std::string date;  ///< ISO 8601, UTC
  int threads = 0;
  Settings settings;
  double load_before = 0;
  double load_after = 0;
  std::string why_no_cuda;
  std::string gpu;                           ///< and its libraries; empty when none was measured
  std::map<std::string, Ceilings> ceilings;  ///< by device
  std::vector<Row> rows;
};

/// Google Benchmark's form: {"context": {...}, "benchmarks": [...]}. docs/performance.md names the fields that are ours.
[[nodiscard]] std::string json_of(const Report& report);

/// The table, a level after the other; refused and absent ways are counted below it, each reason once.
void print_table(const Report& report, std::FILE* file);

/// "[====>    ] 12/80 layer/tanh/..." on stderr, when that is a terminal.
class Progress {
 public:
  explicit Progress(std::size_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void begin(const std::string& what);

 private:
  std::size_t total_;
  std::size_t begun_ = 0;
  bool shown_;
};

}  // namespace lamella::bench
