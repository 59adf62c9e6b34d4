// SPDX-License-Identifier: Apache-2.0
// bench: the gain from fusing bias and activation into the product on this machine, and each layer's distance from the hardware's
// limits.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <memory>

#include "cli/bench/check.hpp"
#include "cli/bench/cuda_clock.hpp"
#include "cli/bench/grid.hpp"
#include "cli/bench/output.hpp"
#include "cli/bench/runner.hpp"
#include "cli/bench/throughput.hpp"
#include "cli/verbs.hpp"
#include "cli/words.hpp"
#include "core/format.hpp"

namespace lamella::cli {
namespace {

struct BenchState {
  bench::Axes axes;
  std::vector<std::string> levels;
  std::vector<std::string> dtypes;
  std::vector<std::string> engines;
  std::vector<std::string> fusions;
  std::vector<std::string> caches{"warm", "cold"};
  std::string device = "auto";
  std::string out;
  int threads = 0;
  double spread_limit = 0.10;
  double others_limit = 0.10;
  double seconds_a_call = 0;
  double seconds = 0;
  std::vector<int> callers;
  bool quick = false;
  bool json = false;
  bool csv = false;
  bool markdown = false;
  bool histogram = false;
};

std::string now() {
  const std::time_t time = std::time(nullptr);
  std::tm utc{};
  char text[32];
  static_cast<void>(std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&time, &utc)));
  return text;
}

/// One run of the verb: the grid on every requested device.
class Run {
 public:
  explicit Run(const BenchState& state) : state_(state), cells_(cells_of(state.axes)) {
    for (const char* cache : {"warm", "cold"}) {
      if (std::find(state.caches.begin(), state.caches.end(), cache) != state.caches.end()) caches_.emplace_back(cache);
    }
    for (const std::string& fusion : state.fusions) fusions_.push_back(bench::fusion_of(fusion));
    report_.version = LAMELLA_VERSION;
    report_.machine = bench::this_machine();
    report_.date = now();
    report_.threads = thread_count(state.threads);
    report_.settings.spread_limit = state.spread_limit;
    report_.settings.cold_spread_limit = 2 * state.spread_limit;
    report_.settings.others_limit = state.others_limit;
    if (state.quick) {
      report_.settings.refuse = false;
      report_.settings.candidate_us /= 3;
      report_.settings.latency_us /= 4;
    }
    report_.cpu_device = describe(Device::cpu());
    report_.load_before = bench::machine_load();
    report_.why_no_cuda = why_no_cuda();
  }

  bench::Report run() {
    const Device asked = Device::parse(state_.device);
    std::size_t steps = 0;
    for (const bench::Cell& cell : cells_) steps += caches_of(cell).size();
    bench::Progress progress(steps * (asked.kind() == DeviceKind::automatic ? 2 : 1));
    if (!asked.is_cuda()) on_cpu(progress);
    if (!asked.is_cpu()) on_cuda(asked.is_cuda() ? asked : Device::cuda(0), progress);
    report_.load_after = bench::machine_load();
    return std::move(report_);
  }

 private:
  void on_cpu(bench::Progress& progress) {
    bench::HostClock clock(report_.machine.largest_cache(), report_.threads);
    measure(Device::cpu(), clock, progress);
  }

  void on_cuda(Device device, bench::Progress& progress) {
    if (!report_.why_no_cuda.empty()) return absent(device, progress);
    const auto clock = bench::make_cuda_clock(device.index());
    report_.gpu = describe(device);
    measure(device, *clock, progress);
  }

  void measure(Device device, bench::Clock& clock, bench::Progress& progress) {
    const auto engines = engine_names(device);
    bench::Limits limits;
    limits.call_us = 1e6 * (state_.seconds_a_call > 0 ? state_.seconds_a_call : state_.axes.full ? 0.5 : 0.25);
    bench::Runner runner(device, clock, bench::measure_ceilings(clock, device, report_.threads, report_.machine.largest_cache()),
                         report_.threads, report_.settings, limits);
    // Engines are compared warm; cold runs measure only the library's choice.
    const auto ways = [&](const bench::Cell& cell, bool cold) {
      return ways_of(cell, device, cold ? std::vector<std::string>{} : engines, state_.engines, fusions_);
    };
    each(device, ways, progress, [&](const bench::Cell& cell, const std::vector<bench::Way>& of_cell, bool cold) {
      return in_time() ? runner.run(cell, of_cell, cold) : bench::not_measured(cell, of_cell, cold, "no time was left");
    });
    runner.set_floors(report_.rows);
    report_.ceilings[to_string(device)] = runner.ceilings();
    for (const bench::Cell& cell : cells_) {
      if (cell.file.empty()) continue;
      for (const int callers : state_.callers)
        report_.throughputs.push_back(bench::measure_throughput(cell, device, callers, state_.quick ? 0.3 : 1));
    }
  }

  void absent(Device device, bench::Progress& progress) {
    const auto ways = [&](const bench::Cell& cell, bool) { return ways_of_absent(cell, device, state_.engines, fusions_); };
    each(device, ways, progress, [&](const bench::Cell& cell, const std::vector<bench::Way>& of_cell, bool cold) {
      return bench::not_measured(cell, of_cell, cold, report_.why_no_cuda);
    });
  }

  [[nodiscard]] bool in_time() const {
    return state_.seconds <= 0 ||
           std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count() < state_.seconds;
  }

  /// Series of growing size are measured warm if possible.
  [[nodiscard]] std::vector<std::string> caches_of(const bench::Cell& cell) const {
    return cell.sweep.empty() ? caches_ : std::vector<std::string>{caches_.front()};
  }

  template <typename Ways, typename Rows>
  void each(Device device, const Ways& ways_of_cell, bench::Progress& progress, const Rows& rows_of) {
    for (const bench::Cell& cell : cells_) {
      for (const std::string& cache : caches_of(cell)) {
        const bool cold = cache == "cold";
        progress.begin(bench::row_name({.cell = cell, .way = {.device = device}, .cold = cold}));
        for (bench::Row& row : rows_of(cell, ways_of_cell(cell, cold), cold)) report_.rows.push_back(std::move(row));
      }
    }
  }

  const BenchState& state_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::vector<bench::Cell> cells_;
  std::vector<Fusion> fusions_;
  std::vector<std::string> caches_;
  bench::Report report_;
};

CLI::Validator activation_name() {
  const auto check = [](const std::string& text) -> std::string {
    std::vector<std::string> names;
    for (const std::string_view name : activation_names()) names.emplace_back(name);
    if (std::find(names.begin(), names.end(), text) != names.end()) return {};
    return core::format("got '{}', allowed {}{}", text, listed(names), did_you_mean(text, names));
  };
  return {check, ""};
}

void add_axes(CLI::App& app, BenchState& state) {
  // One value per occurrence, because a file may follow.
  const auto list = [&](const char* name, auto& into, const char* what, const char* type) {
    return app.add_option(name, into, what)->delimiter(',')->allow_extra_args(false)->type_name(type);
  };
  CLI::Option* const model =
      app.add_option("MODEL", state.axes.files, ".keras or .h5 files to time; without any: lamella's own grid")
          ->type_name("FILE");
  take_word(*list("--level", state.levels, "what is measured", ""), {"activation", "layer", "model"});
  const auto sizes = [&](const char* name, auto& into, const char* what) {
    list(name, into, what, "N,...")->check(integer(1, 1 << 24));
  };
  sizes("--batch", state.axes.batches, "rows, as in 1,64,4096");
  sizes("--width", state.axes.widths, "inputs and units of a layer");
  sizes("--depth", state.axes.depths, "layers of a model");
  take_word(*list("--dtype", state.dtypes, "types of layers and activations", ""), {"float32", "bfloat16", "float16", "float64"});
  list("--activation", state.axes.activations, "Keras' names", "NAME,...")->check(activation_name());
  list("--engine", state.engines, "only these Dense engines, and the unfused baseline", "NAME,...");
  take_word(*list("--fusion", state.fusions, "only these", ""), words_of_enum<Fusion>());
  take_word(*list("--cache", state.caches, "warm: repeated calls; cold: caches emptied before each call", ""), {"warm", "cold"});
  app.add_flag("--full", state.axes.full,
               "the whole grid, and series of growing size; without it the bench takes under two minutes");
  list("--concurrency", state.callers, "also call each MODEL from this many threads at once, such as 1,2,4: rows/s and latencies",
       "N,...")
      ->needs(model)
      ->check(integer(1, 1024));
}

void add_settings(CLI::App& app, BenchState& state) {
  app.add_option("--device", state.device, "auto (every device; the rows of an absent one say why), cpu, cuda or cuda:N")
      ->capture_default_str()
      ->envname("LAMELLA_DEVICE")
      ->type_name("DEVICE")
      ->check(device_name());
  app.add_option("--threads", state.threads, "CPU threads; default: LAMELLA_THREADS, else as many as the process may use")
      ->type_name("N")
      ->check(integer(0, kMostThreads));
  app.add_option("--spread", state.spread_limit,
                 "refuse results whose interquartile range is above this fraction of the median (cold: twice this)")
      ->capture_default_str()
      ->type_name("NUMBER")
      ->check(positive());
  app.add_option("--others", state.others_limit,
                 "refuse results taken while other programs used more than this fraction of the processors")
      ->capture_default_str()
      ->type_name("NUMBER")
      ->check(positive());
  app.add_option("--seconds-a-call", state.seconds_a_call, "skip calls that take longer than this; default 0.25, with --full 0.5")
      ->type_name("NUMBER")
      ->check(positive());
  app.add_option("--seconds", state.seconds, "start no measurement after this many seconds; rows that were not measured say so")
      ->type_name("NUMBER")
      ->check(positive());
  app.add_flag("--quick", state.quick, "a third of the time; noisy results are kept, with a warning");
  CLI::Option* const json = app.add_flag("--json", state.json, "print JSON in Google Benchmark's form instead of the tables");
  CLI::Option* const csv = app.add_flag("--csv", state.csv, "print CSV instead, one line per row");
  app.add_flag("--markdown", state.markdown, "print the tables as Markdown")->excludes(json)->excludes(csv);
  csv->excludes(json);
  app.add_flag("--histogram", state.histogram, "also print how long single calls of models took; JSON always has the counts")
      ->excludes(csv);
  app.add_option("--out", state.out, "also write that JSON to a file")->type_name("FILE");
}

void write(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  file.close();
  if (!file) throw Error(ErrorCode::io, core::format("--out: '{}' cannot be written", path));
}

/// Throws UsageError for engines that no requested device has, and where no single layer is measured, which alone names engines.
void check_engines(const BenchState& state) {
  if (state.engines.empty()) return;
  const Device asked = Device::parse(state.device);
  std::vector<std::string> known;
  if (!asked.is_cuda()) known = engine_names(Device::cpu());
  if (!asked.is_cpu()) known.insert(known.end(), bench::kCudaDenseEngines.begin(), bench::kCudaDenseEngines.end());
  for (const std::string& engine : state.engines) {
    if (std::find(known.begin(), known.end(), engine) == known.end())
      throw UsageError(core::format("--engine: got '{}', allowed {}{}", engine, listed(known), did_you_mean(engine, known)));
  }
  const std::vector<bench::Cell> cells = cells_of(state.axes);
  if (std::none_of(cells.begin(), cells.end(), [](const bench::Cell& cell) { return cell.level == bench::Level::layer; }))
    throw UsageError("--engine: engines are compared for single layers (--level layer), and none is measured");
}

int run_bench(BenchState& state) {
  for (const std::string& level : state.levels) state.axes.levels.push_back(bench::level_of(level));
  for (const std::string& dtype : state.dtypes) state.axes.dtypes.push_back(dtype_of(dtype));
  check_engines(state);
  try {
    const bench::Report report = Run(state).run();
    if (!state.out.empty()) write(state.out, json_of(report));
    print(stdout, state.json       ? json_of(report)
                  : state.csv      ? csv_of(report)
                  : state.markdown ? markdown_of(report, state.histogram)
                                   : text_of(report, state.histogram));
    return Device::parse(state.device).is_cuda() && !report.why_no_cuda.empty() ? kDevice : kOk;
  } catch (const bench::WrongResult& wrong) {
    print(stderr, core::format("lamella: bench: {}\n", wrong.what()));
    return kDiffers;
  }
}

}  // namespace

Registered add_bench(CLI::App& root) {
  auto state = std::make_shared<BenchState>();
  CLI::App* app = root.add_subcommand(
      "bench", "Measure the gain from fusion on this machine, and how close each layer comes to the hardware's limits");
  add_axes(*app, *state);
  add_settings(*app, *state);
  return {app, [state] { return run_bench(*state); }};
}

}  // namespace lamella::cli
