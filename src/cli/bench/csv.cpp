// SPDX-License-Identifier: Apache-2.0
#include <charconv>

#include "cli/bench/output.hpp"

namespace lamella::bench {
namespace {

std::string text_of_number(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

/// As RFC 4180 has it.
std::string quoted(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string result = "\"";
  for (const char c : text) result += c == '"' ? std::string("\"\"") : std::string(1, c);
  return result + "\"";
}

/// One line; fields are given by name, in the order of the head.
class Line {
 public:
  void add(const char* name, const std::string& value) {
    head_ += (head_.empty() ? "" : ",") + std::string(name);
    text_ += (first_ ? "" : ",") + quoted(value);
    first_ = false;
  }
  void add(const char* name, bool there, double value) { add(name, there ? text_of_number(value) : ""); }
  [[nodiscard]] const std::string& head() const noexcept { return head_; }
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  std::string head_;
  std::string text_;
  bool first_ = true;
};

std::string name_of(const Cell& cell) { return cell.file.substr(cell.file.find_last_of('/') + 1); }

Line line_of(const std::string& level, const Cell& cell, const Row& row, const Throughput* throughput) {
  const bool given = !cell.file.empty();
  const bool timed = row.timing.has_value();
  const Timing timing = row.timing.value_or(Timing{});
  const bool counted = throughput != nullptr || timing.percentiles;
  const Percentiles calls = throughput != nullptr ? throughput->latency : timing.percentiles.value_or(Percentiles{});
  Line line;
  line.add("level", level);
  line.add("model", given ? name_of(cell) : "");
  line.add("batch", true, static_cast<double>(cell.batch));
  line.add("width", !given, static_cast<double>(cell.width));
  line.add("depth", !given, static_cast<double>(cell.depth));
  line.add("activation", cell.activation);
  line.add("dtype", cell.dtype ? std::string(to_string(*cell.dtype)) : "");
  line.add("device", to_string(throughput != nullptr ? throughput->device : row.way.device));
  line.add("engine", throughput != nullptr ? "" : row.way.engine.empty() ? "automatic" : row.way.engine);
  line.add("fusion", throughput != nullptr ? "" : std::string(to_string(row.way.fusion)));
  line.add("cache", throughput != nullptr ? "" : row.cold ? "cold" : "warm");
  line.add("callers", throughput != nullptr, throughput != nullptr ? throughput->callers : 0);
  line.add("median_us", timed, timing.median_us);
  line.add("min_us", timed, timing.min_us);
  line.add("spread", timed, timing.spread);
  line.add("p50_us", counted, calls.p50_us);
  line.add("p90_us", counted, calls.p90_us);
  line.add("p99_us", counted, calls.p99_us);
  line.add("rows_per_s", throughput != nullptr, throughput != nullptr ? throughput->rows_per_s : 0);
  line.add("speedup", row.speedup.has_value(), row.speedup.value_or(0));
  line.add("bytes", timed, row.bytes);
  line.add("flops", timed, row.flops);
  line.add("floor_us", timed, row.floor_us);
  line.add("bound_by", row.bound_by);
  line.add("predicted_us", row.predicted_us.has_value(), row.predicted_us.value_or(0));
  line.add("engine_ran", row.engine);
  line.add("fused", row.fused);
  line.add("error", row.error);
  line.add("warning", row.warning);
  return line;
}

}  // namespace

std::string csv_of(const Report& report) {
  std::string text = line_of("", {}, {}, nullptr).head() + "\n";
  for (const Row& row : report.rows)
    text += line_of(std::string(to_string(row.cell.level)), row.cell, row, nullptr).text() + "\n";
  for (const Throughput& one : report.throughputs) text += line_of("throughput", one.cell, {}, &one).text() + "\n";
  return text;
}

}  // namespace lamella::bench
