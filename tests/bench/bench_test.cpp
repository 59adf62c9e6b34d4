// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <set>

#include "cli/bench/ceilings.hpp"
#include "cli/bench/check.hpp"
#include "cli/bench/cuda_clock.hpp"
#include "cli/bench/grid.hpp"
#include "cli/bench/measure.hpp"
#include "scripted_clock.hpp"

#include <lamella/error.hpp>

namespace lamella::bench {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;

TEST(BenchSummary, IsMedianLeastAndQuartilesOverTheMedian) {
  const Timing timing = summarize({4, 1, 2, 3, 10}, 7);
  EXPECT_DOUBLE_EQ(timing.median_us, 3);
  EXPECT_DOUBLE_EQ(timing.min_us, 1);
  EXPECT_DOUBLE_EQ(timing.spread, (4.0 - 2.0) / 3.0);
  EXPECT_EQ(timing.samples, 5);
  EXPECT_EQ(timing.calls, 7);
  EXPECT_DOUBLE_EQ(summarize({5}, 1).median_us, 5);
  EXPECT_DOUBLE_EQ(summarize({5}, 1).spread, 0);
  EXPECT_DOUBLE_EQ(summarize({1, 2}, 1).median_us, 1.5);
}

TEST(BenchPercentiles, AreOfEnoughSingleCalls) {
  const Percentiles few = percentiles_of({5, 1, 4, 2, 3});
  EXPECT_DOUBLE_EQ(few.p50_us, 3);
  EXPECT_DOUBLE_EQ(few.p90_us, 4.6);
  EXPECT_DOUBLE_EQ(few.p99_us, 4.96);
  int n = 0;
  ScriptedClock slow([&] { return ++n % 50 == 0 ? 9e6 : 1e6; });  // two of a hundred
  const Percentiles calls = measure_calls(slow, [] {}, {});
  EXPECT_EQ(calls.calls, 100);
  EXPECT_DOUBLE_EQ(calls.p90_us, 1e6);
  EXPECT_DOUBLE_EQ(calls.p99_us, 9e6);
  ScriptedClock fast([] { return 1.0; });
  EXPECT_EQ(measure_calls(fast, [] {}, {}).calls, 10'000);
  ScriptedClock middling([] { return 500.0; });
  EXPECT_EQ(measure_calls(middling, [] {}, {}).calls, 400);  // 200 ms
}

TEST(BenchPercentiles, HaveAHistogramOfEveryCall) {
  std::vector<double> calls_us;
  for (int i = 0; i < 1000; ++i) calls_us.push_back(i < 900 ? 100 + i % 7 : i < 995 ? 200 + i % 5 : 5000);
  const Percentiles calls = percentiles_of(calls_us);
  const Histogram& histogram = calls.histogram;
  ASSERT_EQ(histogram.edges_us.size(), histogram.counts.size() + 1);
  EXPECT_EQ(histogram.counts.size(), 13U);
  EXPECT_EQ(histogram.edges_us.front(), 100);
  EXPECT_EQ(histogram.edges_us[12], calls.p99_us);
  EXPECT_EQ(histogram.edges_us.back(), 5000);
  EXPECT_TRUE(std::is_sorted(histogram.edges_us.begin(), histogram.edges_us.end()));
  for (std::size_t i = 0; i < histogram.counts.size(); ++i) {
    const bool last = i + 1 == histogram.counts.size();
    const auto in = std::count_if(calls_us.begin(), calls_us.end(), [&](double us) {
      return us >= histogram.edges_us[i] && (last || us < histogram.edges_us[i + 1]);
    });
    EXPECT_EQ(histogram.counts[i], in) << i;
  }
  for (const std::vector<double>& alike : {std::vector<double>{3}, {3, 3, 3}, {0, 0}}) {
    const Histogram one = percentiles_of(alike).histogram;
    EXPECT_EQ(one.edges_us, (std::vector<double>{alike[0], alike[0]}));
    EXPECT_EQ(one.counts, std::vector<std::int64_t>{static_cast<std::int64_t>(alike.size())});
  }
  EXPECT_EQ(percentiles_of({0, 0, 1e-4}).histogram.counts.back(), 1);
}

TEST(BenchMeasure, SeesAPlantedSlowdownExactly) {
  double now = 0;
  ScriptedClock clock([&] { return now; });
  const Call calls[] = {[&] { now = 10; }, [&] { now = 25; }};
  const auto timings = measure(clock, calls, {});
  ASSERT_EQ(timings.size(), 2U);
  EXPECT_DOUBLE_EQ(timings[1].median_us / timings[0].median_us, 2.5);
  EXPECT_DOUBLE_EQ(timings[0].spread, 0);
  EXPECT_EQ(timings[0].calls, 100);  // 1000 us a sample
  EXPECT_EQ(timings[1].calls, 40);
}

TEST(BenchMeasure, SamplesEachContenderOncePerRoundInChangingOrder) {
  std::vector<int> order;
  ScriptedClock clock([] { return 100.0; });
  const Call calls[] = {[&] { order.push_back(0); }, [&] { order.push_back(1); }, [&] { order.push_back(2); }};
  Settings settings;
  settings.least_samples = settings.most_samples = 40;
  const auto timings = measure(clock, calls, settings);
  order.erase(order.begin(), order.begin() + 6);  // warm-up: a try, and some calls
  ASSERT_EQ(order.size(), 3U * 40U);
  std::set<std::vector<int>> orders;
  for (std::size_t at = 0; at < order.size(); at += 3) {
    orders.insert({order[at], order[at + 1], order[at + 2]});
    EXPECT_EQ((std::set<int>{order[at], order[at + 1], order[at + 2]}.size()), 3U);
  }
  EXPECT_EQ(orders.size(), 6U);
  EXPECT_EQ(timings[0].samples, 40);
}

TEST(BenchMeasure, MeasuresNoisyContendersLonger) {
  int n = 0;
  ScriptedClock noisy([&] { return ++n % 2 == 0 ? 1000.0 : 2000.0; });
  ScriptedClock quiet([] { return 1500.0; });
  const Call call[] = {[] {}};
  Settings settings;
  settings.candidate_us = 20e3;
  EXPECT_EQ(measure(quiet, call, settings)[0].samples, 14);  // 20 ms
  const Timing timing = measure(noisy, call, settings)[0];
  EXPECT_EQ(timing.samples, 40);  // 60 ms
  EXPECT_GT(timing.spread, settings.spread_limit);
}

TEST(BenchMeasure, EmptiesTheCachesBeforeEachColdSampleOfOneCall) {
  ScriptedClock clock([] { return 1.0; });
  const Call call[] = {[] {}};
  Settings settings;
  settings.cold = true;
  settings.most_samples = 20;
  const Timing timing = measure(clock, call, settings)[0];
  EXPECT_EQ(timing.calls, 1);
  EXPECT_EQ(clock.evictions, timing.samples);
  EXPECT_TRUE(measure(clock, {}, settings).empty());
}

TEST(BenchMeasure, TakesFewSamplesOfLongCallsButAtLeastTheMinimum) {
  const Call call[] = {[] {}};
  ScriptedClock slow([] { return 30e3; });
  EXPECT_EQ(measure(slow, call, {})[0].samples, 6);  // three times 60 ms
  ScriptedClock slower([] { return 1e6; });
  EXPECT_EQ(measure(slower, call, {})[0].samples, Settings{}.fewest_samples);
}

Ceilings known_ceilings() {
  Ceilings made;
  made.copies = {{1000, 100}, {10000, 50}, {100000, 10}};  // bytes a microsecond
  made.products[DType::float32] = 1000;
  return made;
}

TEST(BenchFloor, IsTheSlowestOfBytesAndFlopsStepByStep) {
  const Floor memory = floor_of({{.bytes = 500, .flops = 100}}, known_ceilings(), DType::float32, false);
  EXPECT_DOUBLE_EQ(memory.us, 5);
  EXPECT_EQ(memory.bound_by, "memory");
  const Floor arithmetic =
      floor_of({{.bytes = 500, .flops = 9000}, {.bytes = 500, .flops = 0}}, known_ceilings(), DType::float32, false);
  EXPECT_DOUBLE_EQ(arithmetic.us, 9 + 5);  // all steps together fit the first level
  EXPECT_EQ(arithmetic.bound_by, "arithmetic");
  EXPECT_DOUBLE_EQ(floor_of({{.bytes = 1001}}, known_ceilings(), DType::float32, false).us, 1001.0 / 50);
  EXPECT_DOUBLE_EQ(floor_of({{.bytes = 1e6}}, known_ceilings(), DType::float32, false).us, 1e5);
  EXPECT_DOUBLE_EQ(floor_of({{.bytes = 500}}, known_ceilings(), DType::float32, true).us, 50);
}

TEST(BenchFloor, NamesTheLaunchOrTheCallIfThatIsLarger) {
  Ceilings gpu = known_ceilings();
  gpu.launch_us = 7;
  const Floor launch = floor_of({{.bytes = 500}, {.bytes = 100}}, gpu, DType::float32, false);
  EXPECT_DOUBLE_EQ(launch.us, 14);
  EXPECT_EQ(launch.bound_by, "launch");
  Ceilings cpu = known_ceilings();
  cpu.call_us = 6;
  EXPECT_EQ(floor_of({{.bytes = 500}}, cpu, DType::float32, false).bound_by, "call");
  EXPECT_DOUBLE_EQ(floor_of({{.bytes = 500}}, cpu, DType::float32, false).us, 5);
}

TEST(BenchCheck, StopsAtAWrongElementANaNAndAnotherShape) {
  const Tensor right = random_tensor({3, 5}, DType::float32, 1);
  const Tensor truth = right.to(DType::float64);
  const std::vector<std::int64_t> rows{0, 1, 2};
  const double allowed = tolerance(DType::float32, 64, 1);
  EXPECT_NO_THROW(expect_right("it", right, truth, rows, allowed));
  for (std::size_t at = 0; at < 15; ++at) {
    Tensor wrong = right.clone();
    wrong.span<float>()[at] += 1e-3F;
    EXPECT_THROW(expect_right("it", wrong, truth, rows, allowed), WrongResult) << at;
    wrong.span<float>()[at] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_THROW(expect_right("it", wrong, truth, {0}, allowed), WrongResult) << at;
  }
  EXPECT_THROW(expect_right("it", random_tensor({3, 4}, DType::float32, 1), truth, rows, allowed), WrongResult);
  Tensor unwritten({2, 2}, DType::bfloat16);
  poison(unwritten);
  EXPECT_THROW(expect_right("it", unwritten, Tensor::zeros({2, 2}, DType::float64), {0, 1}, 1), WrongResult);
}

TEST(BenchCheck, ComparesSampledRowsWithTheirOwnReference) {
  const Tensor all = random_tensor({1027, 3}, DType::float32, 2);
  const auto rows = sampled_rows(1027);
  EXPECT_EQ(rows.size(), 32U);
  EXPECT_EQ(rows.front(), 0);
  EXPECT_EQ(rows.back(), 1026);
  EXPECT_THAT(sampled_rows(3), ElementsAre(0, 1, 2));
  EXPECT_NO_THROW(expect_right("it", all, gather(all, rows).to(DType::float64), rows, 1e-9));
  EXPECT_THROW(expect_right("it", all, gather(all, sampled_rows(1000)).to(DType::float64), rows, 1e-9), WrongResult);
}

TEST(BenchCheck, AllowsMoreErrorInNarrowTypes) {
  EXPECT_LT(tolerance(DType::float64, 64, 1), tolerance(DType::float32, 64, 1));
  EXPECT_LT(tolerance(DType::float32, 64, 1), tolerance(DType::float16, 64, 1));
  EXPECT_LT(tolerance(DType::float16, 64, 1), tolerance(DType::bfloat16, 64, 1));
  EXPECT_LT(tolerance(DType::float32, 8192, 1), 1e-4);
}

TEST(BenchGrid, CrossesTheAxesOfEachLevel) {
  Axes axes;
  axes.levels = {Level::layer};
  axes.batches = {1, 7, 1};  // named twice, measured once
  axes.widths = {33};
  axes.activations = {"relu", "tanh"};
  const auto cells = cells_of(axes);
  ASSERT_EQ(cells.size(), 4U);
  for (const Cell& cell : cells) EXPECT_EQ(cell.width, 33);
  axes.files = {"a.keras"};
  axes.levels.clear();
  EXPECT_EQ(cells_of(axes).size(), 2U);  // files alone
  EXPECT_EQ(cells_of(axes)[0].file, "a.keras");
}

TEST(BenchGrid, FullHasASeriesForBatchWidthAndDepth) {
  Axes axes;
  axes.full = true;
  std::set<std::string> sweeps;
  std::int64_t batch = 0;
  std::int64_t width = 0;
  std::int64_t depth = 0;
  for (const Cell& cell : cells_of(axes)) {
    sweeps.insert(cell.sweep);
    if (cell.sweep == "batch") batch = std::max(batch, cell.batch);
    if (cell.sweep == "width") width = std::max(width, cell.width);
    if (cell.sweep == "depth") depth = std::max(depth, cell.depth);
  }
  EXPECT_THAT(sweeps, ElementsAre("", "batch", "depth", "width"));
  std::set<DType> dtypes;
  std::set<std::string> activations;
  for (const Cell& cell : cells_of(axes)) {
    dtypes.insert(*cell.dtype);
    activations.insert(cell.activation);
  }
  EXPECT_EQ(dtypes.size(), 4U);
  EXPECT_GT(activations.size(), 20U);
  EXPECT_EQ(batch, 65536);
  EXPECT_EQ(width, 8192);
  EXPECT_EQ(depth, 64);
}

TEST(BenchGrid, KeepsUnfusedCellsWhateverTheFilter) {
  const Cell layer{.level = Level::layer, .activation = "relu"};
  const auto unfused = ::testing::AllOf(::testing::Field(&Way::fusion, Fusion::none), ::testing::Field(&Way::engine, ""));
  EXPECT_THAT(ways_of(layer, Device::cpu(), {"a", "b"}, {"b"}, {Fusion::epilogue}), Contains(unfused));
  EXPECT_EQ(ways_of(layer, Device::cpu(), {"a", "b"}, {"b"}, {Fusion::epilogue}).size(), 2U);
  EXPECT_EQ(ways_of(layer, Device::cpu(), {"a", "b"}, {}, {}).size(), 2U + 2U * 3U);
  EXPECT_EQ(ways_of({.level = Level::activation}, Device::cpu(), {}, {}, {}).size(), 1U);
  EXPECT_THAT(ways_of(layer, Device::cuda(0), {}, {}, {}), Contains(::testing::Field(&Way::graphs, false)));
}

TEST(BenchGrid, EveryRowHasItsOwnName) {
  std::set<std::string> names;
  std::size_t rows = 0;
  Axes axes;
  axes.full = true;
  for (const Cell& cell : cells_of(axes)) {
    for (const Device device : {Device::cpu(), Device::cuda(0)}) {
      for (const Way& way : ways_of(cell, device, {"a", "b"}, {}, {})) {
        names.insert(row_name({.cell = cell, .way = way}));
        ++rows;
      }
    }
  }
  EXPECT_EQ(names.size(), rows);
}

TEST(BenchCudaClock, TimesBetweenEventsOnItsOwnStream) {
  const auto clock = make_cuda_clock(0, LAMELLA_FAKE_DRIVER);
  int calls = 0;
  EXPECT_NEAR(clock->time([&] { ++calls; }, 5), 100, 1e-3);
  EXPECT_EQ(calls, 5);
  EXPECT_NE(clock->stream(), nullptr);
  EXPECT_GT(clock->copy_rate(4096), 0);
  EXPECT_NO_THROW(clock->evict());
}

TEST(BenchCudaClock, SaysWhatIsMissing) {
  EXPECT_THROW(static_cast<void>(make_cuda_clock(0, "libno_such_driver.so")), DeviceError);
  EXPECT_THROW(static_cast<void>(make_cuda_clock(5, LAMELLA_FAKE_DRIVER)), DeviceError);
}

}  // namespace
}  // namespace lamella::bench
