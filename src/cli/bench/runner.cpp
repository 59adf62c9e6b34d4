// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/runner.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>

#include "cli/bench/check.hpp"
#include "cli/bench/machine.hpp"
#include "core/format.hpp"

namespace lamella::bench {
namespace {

constexpr const char* kErased = "(erased)";

std::string way_key(const Row& row) {
  return core::format("{}/{}/{}", row.way.engine, to_string(row.way.fusion), to_string(row.cell.dtype.value_or(DType::float32)));
}

double flops_of(const Cell& cell) {
  const auto size = static_cast<double>(cell.batch) * static_cast<double>(cell.width);
  return cell.level == Level::activation ? size : 2 * size * static_cast<double>(cell.width) * static_cast<double>(cell.depth);
}

bool is_baseline(const Way& way) { return way.fusion == Fusion::none && way.engine.empty() && way.graphs; }

void give_speedups(std::vector<Row>& rows) {
  const auto baseline =
      std::find_if(rows.begin(), rows.end(), [](const Row& row) { return row.error.empty() && is_baseline(row.way); });
  if (baseline == rows.end()) return;
  const double unfused = baseline->timing->median_us;
  for (Row& row : rows) {
    if (row.error.empty()) row.speedup = unfused / row.timing->median_us;
  }
}

/// The requested engine belongs to other operations, so this row would repeat the one without a request.
bool asks_in_vain(const Row& row, const Runnable& runnable) {
  return !row.way.engine.empty() && runnable.explained().engines != row.way.engine;
}

bool refused(const Row& row) { return row.error.starts_with("refused: "); }

/// Every engine is tried with every kind of fusion, of which it supports one or two: refusals are reported only if it refused
/// all, and once.
void keep_one_refusal(std::vector<Row>& rows) {
  std::set<std::string> told;
  for (const Row& row : rows) {
    if (!refused(row)) told.insert(row.way.engine);
  }
  std::erase_if(rows, [&](const Row& row) { return refused(row) && !told.insert(row.way.engine).second; });
}

}  // namespace

Runner::Runner(Device device, Clock& clock, Ceilings ceilings, int threads, const Settings& settings, const Limits& limits)
    : device_(device), clock_(clock), ceilings_(std::move(ceilings)), threads_(threads), settings_(settings), limits_(limits) {}

std::vector<Row> Runner::run(const Cell& cell, const std::vector<Way>& ways, bool cold) {
  std::vector<Row> rows;
  rows.reserve(ways.size());
  for (const Way& way : ways) rows.push_back({.cell = cell, .way = way, .cold = cold, .threads = threads_});
  const Subject subject(cell);
  std::vector<std::unique_ptr<Runnable>> runnables;
  std::vector<std::size_t> measured;
  std::vector<Call> calls;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    runnables.push_back(prepare(subject, rows[i]));
    if (!runnables.back()) continue;
    if (asks_in_vain(rows[i], *runnables.back())) {
      rows[i].way.engine = kErased;
      continue;
    }
    measured.push_back(i);
    calls.push_back(runnables.back()->call());
  }
  Settings settings = settings_;
  settings.cold = cold;
  measure_product(ceilings_, clock_, device_, threads_, subject.dtype());
  auto [timings, others] = measure_undisturbed(calls, settings);
  if (cell.level == Level::model && !cold) {
    constexpr double kLong = 20e3;  // a hundred of these calls would take seconds
    for (std::size_t i = 0; i < timings.size(); ++i) {
      if (timings[i].median_us < kLong) timings[i].percentiles = measure_calls(clock_, calls[i], settings);
    }
  }
  for (std::size_t i = 0; i < timings.size(); ++i) {
    finish(rows[measured[i]], timings[i], runnables[measured[i]]->explained(), settings.allowed_spread(), others);
  }
  std::erase_if(rows, [](const Row& row) { return row.way.engine == kErased; });
  keep_one_refusal(rows);
  give_speedups(rows);
  return rows;
}

std::pair<std::vector<Timing>, double> Runner::measure_undisturbed(std::span<const Call> calls, const Settings& settings) {
  const int tries = disturbed_ ? 1 : 3;  // do not wait for a machine that is always busy
  for (int i = 1;; ++i) {
    const Neighbours neighbours;
    std::vector<Timing> timings = measure(clock_, calls, settings);
    const double others = neighbours.share();
    disturbed_ = others > settings.others_limit;
    if (!disturbed_ || i == tries) return {std::move(timings), others};
  }
}

std::string Runner::too_much(const Subject& subject, const Row& row) const {
  const double bytes = row.cell.file.empty() ? subject.footprint() : 0;
  if (bytes > limits_.footprint_bytes) {
    return core::format("needs {:.2g} GB of memory, the limit is {:.2g}", bytes * 1e-9, limits_.footprint_bytes * 1e-9);
  }
  const auto known = slowest_.find(way_key(row));
  if (known == slowest_.end() || !row.cell.file.empty()) return {};
  const double us = flops_of(row.cell) / known->second;
  if (us <= limits_.call_us) return {};
  return core::format("one call would take about {:.2g} s, the limit is {:.2g} s", us * 1e-6, limits_.call_us * 1e-6);
}

std::unique_ptr<Runnable> Runner::prepare(const Subject& subject, Row& row) {
  if (const std::string why = too_much(subject, row); !why.empty()) {
    row.error = "not measured: " + why;
    return nullptr;
  }
  subject.build();  // its exceptions are not refusals
  std::unique_ptr<Runnable> runnable;
  try {
    runnable = std::make_unique<Runnable>(subject, subject.compile(row.way, threads_), clock_.stream());
  } catch (const ArgumentError& error) {
    if (error.code() != ErrorCode::value) throw;
    row.error = std::string("refused: ") + error.what();  // by the requested engine
    return nullptr;
  }
  check(subject, row, *runnable);
  double us = clock_.time(runnable->call(), 1);
  // Tries again, because a call interrupted by another program would exclude this cell and all larger ones.
  constexpr double kLong = 5e3;
  for (int again = 0; again < 2 && us > kLong && us < 4 * limits_.call_us; ++again) {
    us = std::min(us, clock_.time(runnable->call(), 1));
  }
  if (flops_of(row.cell) > 1e6) slowest_[way_key(row)] = flops_of(row.cell) / us;
  if (us > limits_.call_us) {
    row.error = core::format("not measured: one call took {:.2g} s, the limit is {:.2g} s", us * 1e-6, limits_.call_us * 1e-6);
    return nullptr;
  }
  return runnable;
}

void Runner::check(const Subject& subject, const Row& row, Runnable& runnable) {
  const std::vector<std::int64_t> rows = sampled_rows(row.cell.batch);
  if (expected_of_ != row.cell) {
    std::vector<Tensor> parts;
    for (const Tensor& input : runnable.host_inputs()) parts.push_back(gather(input, rows));
    expected_ = subject.reference(threads_).predict(std::vector<TensorView>(parts.begin(), parts.end()));
    expected_of_ = row.cell;
  }
  const std::vector<Tensor> found = runnable.run_once(clock_);
  const bool given = !row.cell.file.empty();
  const DType stored = row.cell.dtype ? *row.cell.dtype : given ? runnable.coarsest() : subject.dtype();
  const double allowed = tolerance(stored, given ? 1024 : row.cell.width, given ? 8 : row.cell.depth);
  for (std::size_t i = 0; i < found.size(); ++i) expect_right(row_name(row), found[i], expected_[i], rows, allowed);
}

void Runner::finish(Row& row, const Timing& timing, Runnable::Explained explained, double allowed_spread, double others) {
  row.timing = timing;
  row.engine = explained.engines;
  row.fused = explained.fused;
  row.steps = std::move(explained.steps);
  row.predicted_us = explained.predicted_us;
  for (const Work& work : row.steps) {
    row.bytes += work.bytes;
    row.flops += work.flops;
  }
  row.load = machine_load();
  row.others = others;
  if (row.cell.level == Level::layer) {
    double& most = ceilings_.products[row.cell.dtype.value_or(DType::float32)];
    most = std::max(most, row.flops / timing.min_us);
  }
  std::string noise;
  if (timing.spread > allowed_spread) {
    noise = core::format("noisy: spread {:.0f} %, the limit is {:.0f} %", timing.spread * 100, allowed_spread * 100);
  } else if (others > settings_.others_limit) {
    noise = core::format("noisy: other programs had {:.0f} % of the processors, the limit is {:.0f} %", others * 100,
                         settings_.others_limit * 100);
  }
  if (noise.empty()) return;
  (settings_.refuse ? row.error : row.warning) = settings_.refuse ? "refused as " + noise : noise;
}

void Runner::set_floors(std::vector<Row>& rows) const {
  for (Row& row : rows) {
    if (!row.timing || row.way.device != device_) continue;
    const Floor floor = floor_of(row.steps, ceilings_, row.cell.dtype.value_or(DType::float32), row.cold);
    row.floor_us = floor.us;
    row.bound_by = floor.bound_by;
  }
}

std::vector<Row> not_measured(const Cell& cell, const std::vector<Way>& ways, bool cold, const std::string& why) {
  std::vector<Row> rows;
  rows.reserve(ways.size());
  for (const Way& way : ways) rows.push_back({.cell = cell, .way = way, .cold = cold, .error = "not measured: " + why});
  return rows;
}

}  // namespace lamella::bench
