// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cli/bench/ceilings.hpp"
#include "cli/bench/cell.hpp"
#include "cli/bench/clock.hpp"
#include "cli/bench/subject.hpp"

namespace lamella::bench {

/// What is not worth waiting for.
struct Limits {
  double call_us = 0.25e6;       ///< a way whose one call would take longer is not measured
  double footprint_bytes = 2e9;  ///< nor a cell that needs more memory
};

/// Measures cells on one device: checks every way's answer, then times the ways side by side.
class Runner {
 public:
  Runner(Device device, Clock& clock, Ceilings ceilings, int threads, const Settings& settings, const Limits& limits);
  /// A row for each way, in order. The way with fusion none and no engine of its own is the one that speedups count from; it is
  /// the caller's to put it in. What cannot be measured has the reason in its row. Throws WrongResult.
  [[nodiscard]] std::vector<Row> run(const Cell& cell, const std::vector<Way>& ways, bool cold);
  /// Floors of the rows that run() gave, from the ceilings as they are when all is measured: a layer that ran faster than the
  /// large product has raised them.
  void set_floors(std::vector<Row>& rows) const;
  [[nodiscard]] const Ceilings& ceilings() const noexcept { return ceilings_; }

 private:
  [[nodiscard]] std::string too_much(const Subject& subject, const Row& row) const;
  [[nodiscard]] std::unique_ptr<Runnable> prepare(const Subject& subject, Row& row);
  void check(const Subject& subject, const Row& row, Runnable& runnable);
  /// And what other programs had of the processors; while that is more than the limit it is measured again, three times in all,
  /// or not at all when the last cell ended so.
  [[nodiscard]] std::pair<std::vector<Timing>, double> measure_undisturbed(std::span<const Call> calls, const Settings& settings);
  void finish(Row& row, const Timing& timing, Runnable::Explained explained, double allowed_spread, double others);

  Device device_;
  Clock& clock_;
  Ceilings ceilings_;
  int threads_;
  Settings settings_;
  Limits limits_;
  std::map<std::string, double> slowest_;  ///< flops a microsecond of a way on the largest cell so far
  bool disturbed_ = false;                 ///< the last cell was, to the end
  std::vector<Tensor> expected_;           ///< of the cell at hand, which is measured warm and cold
  std::optional<Cell> expected_of_;        ///< that cell
};

/// The rows of a cell on a device that is not there.
[[nodiscard]] std::vector<Row> not_measured(const Cell& cell, const std::vector<Way>& ways, bool cold, const std::string& why);

}  // namespace lamella::bench
