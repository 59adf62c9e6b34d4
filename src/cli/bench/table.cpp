// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <map>

#include "cli/bench/output.hpp"
#include "core/counted.hpp"
#include "core/format.hpp"

namespace lamella::bench {
namespace {

std::string number(double value) {
  char text[32];
  static_cast<void>(std::snprintf(text, sizeof text, value >= 1000 ? "%.0f" : value >= 10 ? "%.1f" : "%.3f", value));
  return text;
}

std::string percent(double share) {
  char text[32];
  static_cast<void>(std::snprintf(text, sizeof text, "%.0f%%", share * 100));
  return text;
}

std::string file_of(const Cell& cell) { return printable(cell.file.substr(cell.file.find_last_of('/') + 1)); }

std::string cell_text(const Cell& cell) {
  const bool given = !cell.file.empty();
  std::string text = given ? file_of(cell) : cell.activation;
  if (cell.dtype) text += core::format(" {}", to_string(*cell.dtype));
  if (given) return core::format("{}, {}", text, core::counted(cell.batch, "row"));
  text += core::format(" {}x{}", cell.batch, cell.width);
  return cell.depth > 1 ? core::format("{}x{}", text, cell.depth) : text;
}

std::string way_text(const Row& row) {
  const std::string fusion(to_string(row.way.fusion));
  std::string text = row.way.engine.empty() ? fusion : core::format("{} ({})", row.way.engine, fusion);
  if (row.way.device.is_cuda() && !row.way.graphs) text += ", no graph";
  return text + (row.cold ? ", cold" : "");
}

/// Lines of one table; the first is its head.
struct Table {
  std::string title;
  std::size_t first = 43;  ///< columns of the first field
  bool sizes = false;      ///< whether a cell is named by its sizes, not by a file
  std::vector<std::vector<std::string>> lines = {};
};

std::vector<std::string> line_of(const Row& row) {
  const Timing& timing = *row.timing;
  std::vector<std::string> line{way_text(row), number(timing.median_us),
                                percent(timing.spread) + (!row.error.empty()     ? "!"
                                                          : !row.warning.empty() ? "~"
                                                                                 : " "),
                                row.speedup ? number(*row.speedup) + "x" : ""};
  if (row.cell.level == Level::model) {
    const Percentiles calls = timing.percentiles.value_or(Percentiles{});
    for (const double us : {calls.p50_us, calls.p90_us, calls.p99_us}) line.push_back(calls.calls != 0 ? number(us) : "");
  } else {
    line.push_back(number(row.bytes / timing.median_us * 1e-3));
    line.push_back(number(row.flops / timing.median_us * 1e-3));
  }
  line.push_back(percent(row.floor_us / timing.median_us) + " " + row.bound_by);
  return line;
}

void add_level(std::vector<Table>& tables, const Report& report, Level level, const std::string& device) {
  const bool model = level == Level::model;
  Table table{core::format("{}, {}", to_string(level), device)};
  table.lines.push_back({"way", "median", "spread ", "speedup", "GB/s", "GFLOP/s", "floor"});
  if (model) {
    table.first = 35;  // no engine is named
    table.lines[0] = {"way", "median", "spread ", "speedup", "p50", "p90", "p99", "floor"};
  }
  std::string previous;
  for (const Row& row : report.rows) {
    if (row.cell.level != level || to_string(row.way.device) != device || !row.timing) continue;
    const std::string cell = cell_text(row.cell);
    if (cell != previous) table.lines.push_back({cell});
    previous = cell;
    table.sizes = table.sizes || row.cell.file.empty();
    table.lines.push_back(line_of(row));
  }
  if (!previous.empty()) tables.push_back(std::move(table));
}

void add_throughput(std::vector<Table>& tables, const Report& report) {
  Table table{"throughput"};
  table.lines.push_back({"callers at once", "rows/s", "p50", "p90", "p99", "calls"});
  std::string previous;
  for (const Throughput& one : report.throughputs) {
    const std::string cell = cell_text(one.cell) + ", " + to_string(one.device);
    if (cell != previous) table.lines.push_back({cell});
    previous = cell;
    table.lines.push_back({core::format("{}", one.callers), number(one.rows_per_s), number(one.latency.p50_us),
                           number(one.latency.p90_us), number(one.latency.p99_us), core::format("{}", one.latency.calls)});
  }
  if (!previous.empty()) tables.push_back(std::move(table));
}

std::vector<std::string> devices_of(const Report& report) {
  std::vector<std::string> devices;
  for (const Row& row : report.rows) {
    const std::string device = to_string(row.way.device);
    if (std::find(devices.begin(), devices.end(), device) == devices.end()) devices.push_back(device);
  }
  return devices;
}

std::vector<Table> tables_of(const Report& report) {
  std::vector<Table> tables;
  for (const std::string& device : devices_of(report)) {
    for (const Level level : {Level::activation, Level::layer, Level::model}) add_level(tables, report, level, device);
  }
  add_throughput(tables, report);
  return tables;
}

std::string machine_of(const Report& report) {
  return core::format("{}; {}{}{}\n", report.cpu_device, core::counted(report.threads, "thread"), report.gpu.empty() ? "" : "\n",
                      report.gpu);
}

/// The rows that took 1.5 times longer or less than predicted, beside what is usual on the device: predictions assume a processor
/// that may be faster or slower than this one, and only their ratios decide.
std::vector<std::string> mispredicted(const Report& report, const std::string& device) {
  constexpr double kFar = 1.5;
  std::vector<std::pair<double, const Row*>> ratios;
  for (const Row& row : report.rows) {
    if (row.timing && row.error.empty() && row.predicted_us && to_string(row.way.device) == device)
      ratios.emplace_back(row.timing->median_us / *row.predicted_us, &row);
  }
  if (ratios.empty()) return {};
  std::sort(ratios.begin(), ratios.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  const double usual = ratios[ratios.size() / 2].first;
  std::vector<std::string> lines;
  for (const auto& [ratio, row] : ratios) {
    if (ratio > usual * kFar || ratio * kFar < usual) {
      lines.push_back(core::format("  {}, {}: predicted {}, measured {}", cell_text(row->cell), row->engine,
                                   number(*row->predicted_us), number(row->timing->median_us)));
    }
  }
  const std::string head = core::format("{}: {} of {} predictions are 1.5 times off, beside the usual measured / predicted of {}",
                                        device, lines.size(), ratios.size(), number(usual));
  constexpr std::size_t kMost = 8;
  if (lines.size() > kMost) {
    lines.resize(kMost);
    lines.emplace_back("  and more: --json and --csv have predicted_us");
  }
  lines.insert(lines.begin(), head);
  return lines;
}

/// Notes after the tables: the meaning of the columns, and what is missing.
std::vector<std::string> notes_of(const Report& report, bool throughput) {
  std::vector<std::string> notes{
      "median   microseconds per call: calls in a row are timed together; the median of these samples",
      "spread   interquartile range as a share of the median; ! refused as noisy, ~ noisy",
      "speedup  median of the unfused baseline (none) / this median",
      "p50 ...  percentiles of calls that are timed one by one, in microseconds, at another moment than the",
      "         calls in a row: on a machine whose speed changes even p90 can be below the median",
      "floor    least time that memory and arithmetic allow, as a share of the median; what bounds it",
  };
  if (throughput)
    notes.emplace_back("rows/s   of all callers together, each on one thread; p50, p90, p99 of their calls, host to host");
  int refused = 0;
  int warned = 0;
  std::map<std::string, int> reasons;
  for (const Row& row : report.rows) {
    if (row.timing && !row.error.empty()) ++refused;
    if (!row.warning.empty()) ++warned;
    if (!row.timing && row.error.starts_with("not measured: "))
      ++reasons[core::format("{}: {}", to_string(row.way.device), row.error)];
  }
  const std::string load = core::format("load of the machine {:.1f} to {:.1f}", report.load_before, report.load_after);
  if (refused != 0) {
    notes.push_back(
        core::format("{} marked ! and refused as noisy (--spread, --others); {}", core::counted(refused, "row"), load));
    notes.emplace_back("stop other programs, or try --quick (medians with a warning) or --threads 1");
  }
  if (warned != 0)
    notes.push_back(core::format("WARNING: noisy, not to be quoted: {} marked ~; {}", core::counted(warned, "row"), load));
  for (const std::string& device : devices_of(report)) {
    for (std::string& line : mispredicted(report, device)) notes.push_back(std::move(line));
  }
  for (const auto& [reason, count] : reasons)
    notes.push_back(core::format("{}, {}", core::counted(count, "row"), printable(reason)));
  return notes;
}

void append_padded(std::string& text, const std::string& word, std::size_t width, bool right) {
  const std::string padding(width > word.size() ? width - word.size() : 0, ' ');
  text += right ? padding + word : word + padding;
}

void append_histogram(std::string& text, const std::string& of, const Percentiles& calls) {
  constexpr std::int64_t kLongest = 40;
  const Histogram& histogram = calls.histogram;
  if (histogram.counts.empty()) return;
  const std::int64_t most = std::max<std::int64_t>(1, *std::max_element(histogram.counts.begin(), histogram.counts.end()));
  text += of + ": " + core::counted(calls.calls, "call") + "\n";
  for (std::size_t i = 0; i < histogram.counts.size(); ++i) {
    const std::int64_t count = histogram.counts[i];
    std::string line;
    append_padded(line, number(histogram.edges_us[i]), 12, true);
    line += " to ";
    append_padded(line, number(histogram.edges_us[i + 1]), 8, true);
    append_padded(line, core::format("{}", count), 8, true);
    if (count != 0) line += "  " + std::string(static_cast<std::size_t>(std::max<std::int64_t>(1, count * kLongest / most)), '#');
    text += line + "\n";
  }
}

/// How long single calls took, of every row with percentiles; empty if there is none.
std::string histograms_of(const Report& report) {
  std::string text;
  for (const Row& row : report.rows) {
    if (row.timing && row.timing->percentiles)
      append_histogram(text, core::format("{}, {}, {}", cell_text(row.cell), to_string(row.way.device), way_text(row)),
                       *row.timing->percentiles);
  }
  for (const Throughput& one : report.throughputs) {
    const std::string of =
        core::format("{}, {}, {} at once", cell_text(one.cell), to_string(one.device), core::counted(one.callers, "caller"));
    append_histogram(text, of, one.latency);
  }
  return text.empty() ? text : "how many single calls took how long, in microseconds\n" + text;
}

}  // namespace

std::string text_of(const Report& report, bool histograms) {
  std::string text = machine_of(report);
  for (const Table& table : tables_of(report)) {
    text += "\n" + table.title + (table.sizes ? " (rows x width x layers)\n" : "\n");
    for (const std::vector<std::string>& line : table.lines) {
      std::string made;
      for (std::size_t i = 0; i < line.size(); ++i) {
        const bool last = table.lines[0].back() == "floor" && i + 1 == table.lines[0].size();  // words
        if (i == 0) {
          append_padded(made, (line.size() == 1 ? "" : "  ") + line[i], line.size() == 1 ? 0 : table.first, false);
        } else {
          append_padded(made, (last ? "  " : "") + line[i], last ? 0 : 8, !last);
        }
      }
      made.erase(made.find_last_not_of(' ') + 1);
      text += made + "\n";
    }
  }
  if (histograms) text += "\n" + histograms_of(report);
  text += "\n";
  for (const std::string& note : notes_of(report, !report.throughputs.empty())) text += note + "\n";
  return text;
}

std::string markdown_of(const Report& report, bool histograms) {
  std::string text = machine_of(report);
  for (const Table& table : tables_of(report)) {
    text += "\n**" + table.title + "**\n\n";
    std::string cell;
    for (std::size_t i = 0; i < table.lines.size(); ++i) {
      const std::vector<std::string>& line = table.lines[i];
      if (line.size() == 1) {
        cell = line[0];
        continue;
      }
      text += "| " + (i != 0 ? cell : table.sizes ? "rows x width x layers" : "model");
      for (const std::string& word : line) text += " | " + word;
      text += " |\n";
      if (i != 0) continue;
      text += "|---|---|";
      for (std::size_t k = 1; k < line.size(); ++k) text += "---:|";
      text += "\n";
    }
  }
  if (histograms) text += "\n```text\n" + histograms_of(report) + "```\n";
  text += "\n";
  for (const std::string& note : notes_of(report, !report.throughputs.empty()))
    text += (note[0] == ' ' ? "" : "- ") + note + "\n";
  return text;
}

}  // namespace lamella::bench
