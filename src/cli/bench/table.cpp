// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>

#include "cli/bench/output.hpp"

namespace lamella::bench {
namespace {

std::string number(double value) {
  char text[32];
  static_cast<void>(std::snprintf(text, sizeof text, value >= 1000 ? "%.0f" : value >= 10 ? "%.1f" : "%.3f", value));
  return text;
}

std::string cell_text(const Row& row) {
  const Cell& cell = row.cell;
  std::string text = cell.file.empty() ? cell.activation : printable(cell.file.substr(cell.file.find_last_of('/') + 1));
  if (cell.dtype) text += " " + std::string(to_string(*cell.dtype));
  text += " " + std::to_string(cell.batch);
  if (cell.file.empty()) text += "x" + std::to_string(cell.width);
  if (cell.depth > 1) text += "x" + std::to_string(cell.depth);
  return text;
}

std::string way_text(const Row& row) {
  const std::string fusion(to_string(row.way.fusion));
  std::string text = row.way.engine.empty() ? fusion : row.way.engine + " (" + fusion + ")";
  if (row.way.device.is_cuda() && !row.way.graphs) text += ", no graph";
  return text + (row.cold ? ", cold" : "");
}

void print_row(const Row& row, const std::string& cell, std::FILE* file) {
  const Timing& timing = *row.timing;
  const bool noisy = !row.error.empty();
  static_cast<void>(std::fprintf(file, "%-28s %-30s %10s %9s %5.0f%%%s %8s %8.1f %9.1f %9s %5.0f%%  %s\n", cell.c_str(),
                                 way_text(row).c_str(), number(timing.median_us).c_str(), number(timing.min_us).c_str(),
                                 timing.spread * 100, noisy ? "!" : " ", row.speedup ? (number(*row.speedup) + "x").c_str() : "",
                                 row.bytes / timing.median_us * 1e-3, row.flops / timing.median_us * 1e-3,
                                 number(row.floor_us).c_str(), row.floor_us / timing.median_us * 100, row.bound_by.c_str()));
}

void print_level(const Report& report, Level level, const std::string& device, std::FILE* file) {
  std::string previous;
  for (const Row& row : report.rows) {
    if (row.cell.level != level || to_string(row.way.device) != device || !row.timing) continue;
    if (previous.empty()) {
      static_cast<void>(std::fprintf(
          file, "\n%s, %s (rows x width x layers; microseconds a call)\n%-28s %-30s %10s %9s %6s  %8s %8s %9s %9s %6s  %s\n",
          to_string(level).data(), device.c_str(), "cell", "fusion or engine", "median", "min", "spread", "speedup", "GB/s",
          "GFLOP/s", "floor", "of it", "bound by"));
    }
    const std::string cell = cell_text(row);
    print_row(row, cell == previous ? "" : cell, file);
    previous = cell;
  }
}

}  // namespace

void print_table(const Report& report, std::FILE* file) {
  std::map<std::string, int> reasons;
  std::vector<std::string> devices;
  int noisy = 0;
  for (const Row& row : report.rows) {
    const std::string device = to_string(row.way.device);
    if (std::find(devices.begin(), devices.end(), device) == devices.end()) devices.push_back(device);
    if (row.timing && !row.error.empty()) ++noisy;
    if (!row.timing && row.error.starts_with("not measured: ")) ++reasons[device + ": " + row.error];
  }
  for (const std::string& device : devices) {
    for (const Level level : {Level::activation, Level::layer, Level::model}) print_level(report, level, device, file);
  }
  static_cast<void>(std::fprintf(file, "\n"));
  if (noisy != 0) {
    static_cast<void>(std::fprintf(
        file,
        "%d rows marked ! are refused as noisy: spread over %.0f %% (cold: %.0f %%), or other programs had over %.0f %% of the "
        "processors; load of the machine %.1f to %.1f\n",
        noisy, report.settings.spread_limit * 100, report.settings.cold_spread_limit * 100, report.settings.others_limit * 100,
        report.load_before, report.load_after));
  }
  for (const auto& [reason, count] : reasons)
    static_cast<void>(std::fprintf(file, "%d rows, %s\n", count, printable(reason).c_str()));
}

Progress::Progress(std::size_t total) : total_(total), shown_(isatty(STDERR_FILENO) != 0) {}

Progress::~Progress() {
  if (shown_) static_cast<void>(std::fprintf(stderr, "\r\033[K"));
}

void Progress::begin(const std::string& what) {
  constexpr std::size_t kWidth = 30;
  ++begun_;
  if (!shown_) return;
  const std::size_t filled = total_ == 0 ? kWidth : (begun_ - 1) * kWidth / total_;
  static_cast<void>(std::fprintf(stderr, "\r\033[K[%s%s] %zu/%zu %.60s", std::string(filled, '=').c_str(),
                                 std::string(kWidth - filled, ' ').c_str(), begun_, total_, what.c_str()));
}

}  // namespace lamella::bench
