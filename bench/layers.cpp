// SPDX-License-Identifier: Apache-2.0
// The bench's cells as Google Benchmark programs, with its options (--benchmark_filter, --benchmark_repetitions, ...): the same
// cells, checks and clocks as `lamella bench`. Uses manual time, on a GPU the time between two CUDA events.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <lamella/lamella.hpp>
#include <memory>
#include <thread>

#include "cli/bench/check.hpp"
#include "cli/bench/cuda_clock.hpp"
#include "cli/bench/grid.hpp"
#include "cli/bench/machine.hpp"
#include "cli/bench/subject.hpp"

namespace {

using namespace lamella;
using namespace lamella::bench;

int threads() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

/// Made when the benchmark runs, so that a filter costs nothing.
void run(benchmark::State& state, const Cell& cell, const Way& way, Clock& clock) {
  try {
    const Subject subject(cell);
    Runnable runnable(subject, subject.compile(way, threads()), clock.stream());
    const auto rows = sampled_rows(cell.batch);
    const Tensor expected = subject.reference(threads()).predict(gather(runnable.host_inputs()[0], rows));
    expect_right("answer", runnable.run_once(clock)[0], expected, rows, tolerance(subject.dtype(), cell.width, cell.depth));
    const Call call = runnable.call();
    for (auto _ : state) state.SetIterationTime(clock.time(call, 1) * 1e-6);
    double flops = 0;
    double bytes = 0;
    for (const Work& work : runnable.explained().steps) {
      flops += work.flops;
      bytes += work.bytes;
    }
    state.counters["flops"] = benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
    state.counters["bytes"] =
        benchmark::Counter(bytes, benchmark::Counter::kIsIterationInvariantRate, benchmark::Counter::kIs1024);
    state.SetLabel(runnable.explained().engines);
  } catch (const std::exception& error) {
    state.SkipWithError(error.what());
  }
}

void add(const Cell& cell, const Way& way, const std::shared_ptr<Clock>& clock) {
  const std::string name = row_name({.cell = cell, .way = way});
  const auto body = [cell, way, clock](benchmark::State& state) { run(state, cell, way, *clock); };
  benchmark::RegisterBenchmark(name.c_str(), body)->UseManualTime()->Unit(benchmark::kMicrosecond);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  try {
    for (const Device device : available_devices()) {
      const std::shared_ptr<Clock> clock = device.is_cuda()
                                               ? make_cuda_clock(device.index())
                                               : std::make_unique<HostClock>(this_machine().largest_cache(), threads());
      for (const Cell& cell : cells_of({})) {
        for (const Way& way : ways_of(cell, device, engine_names(device), {}, {})) add(cell, way, clock);
      }
    }
    benchmark::RunSpecifiedBenchmarks();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "layers: %s\n", error.what());
    return 1;
  }
}
