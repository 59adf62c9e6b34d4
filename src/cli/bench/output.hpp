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
#include "cli/bench/throughput.hpp"

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
  std::string cpu_device;                    ///< processor, instruction set in use, oneDNN's version
  std::string gpu;                           ///< and its libraries; empty when none was measured
  std::map<std::string, Ceilings> ceilings;  ///< by device
  std::vector<Row> rows;
  std::vector<Throughput> throughputs;
};

/// Google Benchmark's form: {"context": {...}, "benchmarks": [...]}. docs/performance.md names the fields that are ours.
[[nodiscard]] std::string json_of(const Report& report);

/// Tables of at most 100 columns, one level after another, then the meaning of the columns, and what was refused or absent, each
/// reason once. `histograms`: after the tables, how long single calls of models took.
[[nodiscard]] std::string text_of(const Report& report, bool histograms = false);
/// The same as Markdown.
[[nodiscard]] std::string markdown_of(const Report& report, bool histograms = false);
/// One line per row, including refused ones, after a line of names; missing values are empty fields.
[[nodiscard]] std::string csv_of(const Report& report);

/// "[====>    ] 12/80 layer/tanh/..." on stderr, if that is a terminal.
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
