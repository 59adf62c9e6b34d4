// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/bench/check.hpp"
#include "cli/bench/grid.hpp"
#include "cli/bench/output.hpp"
#include "cli/bench/runner.hpp"
#include "effort.hpp"
#include "scripted_clock.hpp"

namespace lamella::bench {
namespace {

const Cell kCell{.level = Level::layer, .batch = 33, .width = 31, .dtype = DType::float32, .activation = "tanh"};

Ceilings ceilings() {
  Ceilings made;
  made.copies = {{1e9, 1000}};
  for (const DType dtype : {DType::float32, DType::bfloat16, DType::float16, DType::float64}) made.products[dtype] = 1000;
  return made;
}

std::vector<Row> run(Clock& clock, const Cell& cell, bool cold = false, double copy_rate = 1000, Settings settings = {}) {
  settings.others_limit = 2;  // however busy the machine is
  Ceilings seen = ceilings();
  seen.copies[0].rate = copy_rate;
  Runner runner(Device::cpu(), clock, seen, 1, settings, {});
  std::vector<Row> rows = runner.run(cell, ways_of(cell, Device::cpu(), engine_names(Device::cpu()), {}, {}), cold);
  runner.set_floors(rows);
  return rows;
}

/// A device that computes nothing and reports success.
class IdleClock final : public Clock {
 public:
  double time(const Call&, std::int64_t calls) override { return static_cast<double>(calls); }
  void evict() override {}
  double copy_rate(std::size_t) override { return 1; }
};

TEST(BenchRunner, StopsWhenTheAnswerIsWrong) {
  IdleClock idle;
  EXPECT_THROW(static_cast<void>(run(idle, kCell)), WrongResult);
}

TEST(BenchRunner, MeasuresEveryEngineOfTheDeviceAndSaysWhoRefused) {
  ScriptedClock clock([] { return 50.0; });
  const std::vector<Row> rows = run(clock, kCell);
  for (const std::string& engine : engine_names(Device::cpu())) {
    if (engine.starts_with("quantized")) continue;  // the cell's kernel is not quantized
    EXPECT_THAT(rows,
                ::testing::Contains(::testing::AllOf(::testing::Field(&Row::engine, engine), ::testing::Field(&Row::error, ""))))
        << engine;
  }
  for (const Row& row : rows) EXPECT_EQ(row.error, "") << row_name(row);  // each engine can do one of the fusions

  Cell wide = kCell;
  wide.dtype = DType::float64;
  int refused = 0;
  for (const Row& row : run(clock, wide)) {
    if (row.error.starts_with("refused: engine 'small'")) ++refused;
    EXPECT_EQ(row.timing.has_value(), row.error.empty()) << row_name(row);
  }
  EXPECT_EQ(refused, 1);  // one of the three fusions asked of it
}

TEST(BenchRunner, MeasuresFilesOfEveryPolicyAndWithoutDense) {
  for (const char* name : {"policy_float16", "policy_bfloat16", "policy_float64", "policy_mixed_float16", "policy_mixed_bfloat16",
                           "policy_per_layer", "input_float16", "activation_layers", "layer_normalization"}) {
    const std::string file = std::string(LAMELLA_FIXTURES) + "/keras3/" + name + "/model.keras";
    ScriptedClock clock([] { return 50.0; });
    const std::vector<Row> rows = run(clock, {.level = Level::model, .file = file, .batch = 37});
    EXPECT_FALSE(rows.empty());
    for (const Row& row : rows) EXPECT_EQ(row.error, "") << row_name(row);
  }
}

TEST(BenchRunner, NamesFilesWithoutControlBytes) {
  Row row;
  row.cell.level = Level::model;
  row.cell.file = "a/b\x1b[31m\u202e.keras";
  EXPECT_THAT(row_name(row), ::testing::HasSubstr("b\\x1B[31m\\xE2\\x80\\xAE.keras"));
}

TEST(BenchRunner, ComputesSpeedupFromTheUnfusedTimeAndTheFloorFromTheCeilings) {
  ScriptedClock clock([] { return 50.0; });
  for (const Row& row : run(clock, kCell)) {
    if (!row.error.empty()) continue;
    EXPECT_DOUBLE_EQ(row.speedup.value_or(0), 1) << row_name(row);
    EXPECT_DOUBLE_EQ(row.bytes, 4.0 * (33 * 31 + 31 * 31 + 31 + 33 * 31)) << row_name(row);
    EXPECT_GE(row.flops, 2.0 * 33 * 31 * 31) << row_name(row);
    EXPECT_DOUBLE_EQ(row.floor_us, row.flops / std::max(1000.0, row.flops / 50)) << row_name(row);
    EXPECT_EQ(row.bound_by, "arithmetic") << row_name(row);
  }
}

TEST(BenchRunner, RaisesTheCeilingThatALayerBroke) {
  ScriptedClock clock([] { return 0.5; });
  for (const Row& row : run(clock, kCell, false, 1e9)) {
    if (!row.timing) continue;
    EXPECT_DOUBLE_EQ(row.floor_us, 0.5) << row_name(row);
  }
}

TEST(BenchRunner, RefusesCellsDisturbedByOtherPrograms) {
  ScriptedClock clock([] { return 50.0; });
  Settings settings;
  settings.others_limit = -1;
  Runner runner(Device::cpu(), clock, ceilings(), 1, settings, {});
  for (const Row& row : runner.run(kCell, {{.fusion = Fusion::none}, {}}, false)) {
    EXPECT_THAT(row.error, ::testing::StartsWith("refused as noisy: other programs had "));
  }
}

TEST(BenchRunner, RefusesNoisyCellsAndComputesNoSpeedupFromThem) {
  int n = 0;
  ScriptedClock clock([&] { return ++n % 3 == 0 ? 100.0 : 150.0 * (n % 3); });
  for (const Row& row : run(clock, kCell)) {
    if (!row.timing) continue;
    EXPECT_THAT(row.error, ::testing::StartsWith("refused as noisy: spread "));
    EXPECT_FALSE(row.speedup.has_value());
  }
}

TEST(BenchRunner, ChecksEveryLevelDtypeAndAwkwardSize) {
  ScriptedClock clock([] { return 50.0; });
  test::Thinning thinning;
  for (const Level level : {Level::activation, Level::layer, Level::model}) {
    for (const DType dtype : {DType::float32, DType::bfloat16, DType::float16, DType::float64}) {
      for (const std::int64_t size : {1, 7, 129}) {
        for (const char* activation : {"gelu", "softmax"}) {
          if (thinning.leaves_out()) continue;
          const Cell cell{.level = level,
                          .batch = size,
                          .width = size,
                          .depth = level == Level::model ? 3 : 1,
                          .dtype = dtype,
                          .activation = activation};
          // Answers are compared before anything is timed, and calls that are timed run for real.
          const std::vector<Row> rows = run(clock, cell, size == 7, 1000, {.candidate_us = 1, .latency_us = 1});
          EXPECT_THAT(rows, ::testing::Contains(::testing::Field(&Row::error, ""))) << row_name(rows.front());
        }
      }
    }
  }
}

TEST(BenchRunner, TimesAFileAndSkipsCellsThatWouldTakeTooLong) {
  ScriptedClock clock([] { return 50.0; });
  Cell cell{.level = Level::model, .file = LAMELLA_MODEL, .batch = 3};
  const std::vector<Row> rows = run(clock, cell);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[1].error, "");
  EXPECT_GT(rows[1].flops, 0);

  ScriptedClock slow([] { return 1e6; });
  for (const Row& row : run(slow, kCell)) EXPECT_FALSE(row.timing.has_value());
  EXPECT_THAT(run(slow, kCell)[0].error, ::testing::StartsWith("not measured: one call took 1 s"));
}

TEST(BenchRunner, MeasuresAgainWhileOtherProgramsDisturbAndThenRefuses) {
  int samples = 0;
  ScriptedClock clock([&] {
    ++samples;
    return 50.0;
  });
  const std::vector<Way> ways{{.fusion = Fusion::none}};
  Settings settings;
  settings.others_limit = 2;
  Runner calm(Device::cpu(), clock, ceilings(), 1, settings, {});
  EXPECT_EQ(calm.run(kCell, ways, false)[0].error, "");
  const int once = samples;
  settings.others_limit = -1;  // any load of other programs is too much
  Runner disturbed(Device::cpu(), clock, ceilings(), 1, settings, {});
  EXPECT_THAT(disturbed.run(kCell, ways, false)[0].error, ::testing::StartsWith("refused as noisy: other programs"));
  EXPECT_GT(samples - once, 2 * once);
  const int before = samples;
  EXPECT_NE(disturbed.run(kCell, ways, false)[0].error, "");
  EXPECT_LT(samples - before, 2 * once);  // waiting would not help
}

TEST(BenchRunner, ChecksEachCellAgainstItsOwnReference) {
  ScriptedClock clock([] { return 50.0; });
  Settings settings;
  settings.others_limit = 2;
  Runner runner(Device::cpu(), clock, ceilings(), 1, settings, {});
  Cell other = kCell;
  other.activation = "relu";
  for (const Cell& cell : {kCell, other, kCell}) {
    for (const bool cold : {false, true}) EXPECT_EQ(runner.run(cell, {{.fusion = Fusion::none}}, cold)[0].error, "");
  }
}

TEST(BenchRunner, HasRowsForAnAbsentDevice) {
  const auto rows = not_measured(kCell, ways_of_absent(kCell, Device::cuda(0), {}, {}), false, "no GPU");
  for (const char* engine : kCudaDenseEngines) {
    EXPECT_THAT(rows, ::testing::Contains(::testing::Field(&Row::way, ::testing::Field(&Way::engine, engine))));
  }
  ASSERT_FALSE(rows.empty());
  for (const Row& row : rows) EXPECT_EQ(row.error, "not measured: no GPU");
}

TEST(BenchJson, IsGoogleBenchmarksFormWithOurFields) {
  ScriptedClock clock([] { return 50.0; });
  Report report;
  report.machine = this_machine();
  report.rows = run(clock, kCell);
  for (Row& row : not_measured(kCell, ways_of(kCell, Device::cuda(0), {}, {}, {}), false, "no GPU")) report.rows.push_back(row);
  const auto json = nlohmann::json::parse(json_of(report));
  ASSERT_EQ(json.at("benchmarks").size(), report.rows.size());
  EXPECT_EQ(json.at("context").at("fingerprint").get<std::string>().size(), 16U);
  for (const auto& row : json.at("benchmarks")) {
    for (const char* field : {"speedup", "floor_us", "fraction_of_floor", "bound_by", "predicted_us"})
      EXPECT_TRUE(row.contains(field)) << row;
    const bool failed = row.value("error_occurred", false);
    EXPECT_EQ(failed, row.contains("error_message"));
    if (!failed) {
      EXPECT_DOUBLE_EQ(row.at("real_time").get<double>(), 50);
      EXPECT_DOUBLE_EQ(row.at("fraction_of_floor").get<double>(), row.at("floor_us").get<double>() / 50);
    }
  }
}

}  // namespace
}  // namespace lamella::bench
