// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <cstdlib>

#include "cli/bench/output.hpp"

namespace lamella::bench {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

std::string table_of(const Report& report) {
  char* text = nullptr;
  std::size_t size = 0;
  std::FILE* const file = open_memstream(&text, &size);
  print_table(report, file);
  static_cast<void>(std::fclose(file));
  std::string result(text, size);
  std::free(text);
  return result;
}

Row row_of(Device device, double median_us) {
  Row row;
  row.cell = {.level = Level::layer, .batch = 64, .width = 256, .dtype = DType::float32, .activation = "tanh"};
  row.way.device = device;
  row.timing = Timing{.median_us = median_us, .min_us = median_us / 2, .spread = 0.25, .samples = 5, .calls = 10};
  row.bytes = 1e3 * median_us;
  row.flops = 2e3 * median_us;
  row.floor_us = median_us / 4;
  row.bound_by = "memory";
  return row;
}

TEST(BenchTable, HasARowForEachMeasurementWithItsUnits) {
  Report report;
  report.rows = {row_of(Device::cpu(), 1234.5), row_of(Device::cpu(), 12.345), row_of(Device::cpu(), 1.2345)};
  report.rows[1].speedup = 2.5;
  report.rows[1].way.engine = "small";
  report.rows[2].cold = true;
  const std::string table = table_of(report);
  EXPECT_THAT(table, AllOf(HasSubstr("layer, cpu (rows x width x layers; microseconds a call)"),
                           ContainsRegex("tanh float32 64x256 +automatic +1234 +617.2 +25%"),
                           ContainsRegex("\n +small .automatic. +12.3 +6.17[0-9] +25% +2.500x +1.0 +2.0 +3.086 +25% +memory"),
                           ContainsRegex("automatic, cold +1.23[45] ")));
  EXPECT_THAT(table, Not(HasSubstr("refused as noisy")));
}

TEST(BenchTable, NamesTheUsersFileAndStacksOfLayers) {
  Report report;
  report.rows = {row_of(Device::cpu(), 10), row_of(Device::cpu(), 20)};
  report.rows[0].cell = {.level = Level::model, .file = "somewhere/else/mlp.keras", .batch = 7};
  report.rows[1].cell = {
      .level = Level::model, .batch = 7, .width = 32, .depth = 4, .dtype = DType::bfloat16, .activation = "gelu"};
  EXPECT_THAT(table_of(report), AllOf(ContainsRegex("\nmlp.keras 7 +automatic"), HasSubstr("\ngelu bfloat16 7x32x4 "),
                                      Not(HasSubstr("somewhere"))));
}

TEST(BenchTable, CountsWhatWasNotMeasuredAndMarksWhatIsNoise) {
  Report report;
  report.load_after = 3.5;
  const Device gpu = Device::cuda(0);
  report.rows = {row_of(gpu, 10), row_of(gpu, 10), row_of(gpu, 10), row_of(Device::cpu(), 10)};
  report.rows[0].way.graphs = false;
  report.rows[1].error = "spread too wide";
  for (const std::size_t at : {2U, 3U}) {
    report.rows[at].timing.reset();
    report.rows[at].error = "not measured: nobody asked";
  }
  EXPECT_THAT(table_of(report), AllOf(HasSubstr("layer, cuda:0 "), HasSubstr("automatic, no graph"), HasSubstr("25%! "),
                                      ContainsRegex("1 rows marked ! are refused as noisy: .* load of the machine 0.0 to 3.5"),
                                      HasSubstr("1 rows, cpu: not measured: nobody asked"),
                                      HasSubstr("1 rows, cuda:0: not measured: nobody asked"), Not(HasSubstr("layer, cpu "))));
}

}  // namespace
}  // namespace lamella::bench
