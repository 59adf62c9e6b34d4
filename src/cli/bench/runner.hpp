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

/// Limits beyond which cells are skipped.
struct Limits {
  double call_us = 0.25e6;       ///< skip ways with a longer call
  double footprint_bytes = 2e9;  ///< skip cells that need more memory
};

/// Measures cells on one device: checks the result of every way, then times the ways against each other.
class Runner {
 public:
  Runner(Device device, Clock& clock, Ceilings ceilings, int threads, const Settings& settings, const Limits& limits);
  /// One row per way, in order. Speedups are relative to the way with fusion none and no forced engine, which the caller must
  /// include. Rows that cannot be measured contain the reason. Throws WrongResult.
  [[nodiscard]] std::vector<Row> run(const Cell& cell, const std::vector<Way>& ways, bool cold);
  /// Sets the floors of the rows that run() returned, from the final ceilings: a layer that ran faster than the large product
  /// raises them.
  void set_floors(std::vector<Row>& rows) const;
  [[nodiscard]] const Ceilings& ceilings() const noexcept { return ceilings_; }

 private:
  [[nodiscard]] std::string too_much(const Subject& subject, const Row& row) const;
  [[nodiscard]] std::unique_ptr<Runnable> prepare(const Subject& subject, Row& row);
  void check(const Subject& subject, const Row& row, Runnable& runnable);
  /// Also returns the share of the processors that other programs used; if it exceeds the limit, measures again, up to three
  /// times in total, or once if the previous cell ended disturbed.
  [[nodiscard]] std::pair<std::vector<Timing>, double> measure_undisturbed(std::span<const Call> calls, const Settings& settings);
  void finish(Row& row, const Timing& timing, Runnable::Explained explained, double allowed_spread, double others);

  Device device_;
  Clock& clock_;
  Ceilings ceilings_;
  int threads_;
  Settings settings_;
  Limits limits_;
  std::map<std::string, double> slowest_;  ///< flops per microsecond of a way on the largest cell so far
  bool disturbed_ = false;                 ///< the last cell was disturbed to the end
  std::vector<Tensor> expected_;           ///< of the current cell, which is measured warm and cold
  std::optional<Cell> expected_of_;        ///< that cell
};

/// The rows of a cell on an absent device.
[[nodiscard]] std::vector<Row> not_measured(const Cell& cell, const std::vector<Way>& ways, bool cold, const std::string& why);

}  // namespace lamella::bench
