// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <algorithm>
#include <sstream>

#include "cli/bench/output.hpp"

namespace lamella::bench {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

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
  report.cpu_device = "Some Processor, avx2; oneDNN 2.6.3";
  report.threads = 2;
  const std::string table = text_of(report);
  EXPECT_THAT(table, AllOf(HasSubstr("Some Processor, avx2; oneDNN 2.6.3; 2 threads\n"), HasSubstr("\nlayer, cpu ("),
                           ContainsRegex("\ntanh float32 64x256\n +automatic +1234 +25% +1.000 +2.000 +25% memory"),
                           ContainsRegex("\n +small .automatic. +12.3 +25% +2.500x +1.000 +2.000 +25% memory"),
                           ContainsRegex("automatic, cold +1.23[45] ")));
  EXPECT_EQ(table.find("tanh float32 64x256"), table.rfind("tanh float32 64x256"));  // printed once only
  EXPECT_THAT(table, Not(HasSubstr("and refused as noisy")));
}

TEST(BenchTable, NamesPredictionsThatAreFarOffBesideTheOthers) {
  Report report;
  for (const double measured : {20., 21., 22., 35., 9.}) {
    report.rows.push_back(row_of(Device::cpu(), measured));
    report.rows.back().predicted_us = 10;
    report.rows.back().engine = "some engine";
  }
  report.rows.push_back(row_of(Device::cuda(0), 10));  // not predicted
  const std::string table = text_of(report);
  EXPECT_THAT(table, HasSubstr("cpu: 2 of 5 predictions are 1.5 times off, beside the usual measured / predicted of 2.1"));
  EXPECT_THAT(table, HasSubstr("tanh float32 64x256, some engine: predicted 10.0, measured 9.0"));
  EXPECT_THAT(table, HasSubstr("predicted 10.0, measured 35.0"));
  EXPECT_THAT(table, Not(HasSubstr("cuda:0: 0 of")));
}

TEST(BenchTable, NamesTheUsersFileAndStacksOfLayers) {
  Report report;
  report.rows = {row_of(Device::cpu(), 10), row_of(Device::cpu(), 20)};
  report.rows[0].cell = {.level = Level::model, .file = "somewhere/else/mlp.keras", .batch = 7};
  report.rows[1].cell = {
      .level = Level::model, .batch = 7, .width = 32, .depth = 4, .dtype = DType::bfloat16, .activation = "gelu"};
  EXPECT_THAT(text_of(report),
              AllOf(HasSubstr("\nmodel, cpu (rows x width x layers)\n"), ContainsRegex("\nmlp.keras, 7 rows\n +automatic"),
                    HasSubstr("\ngelu bfloat16 7x32x4\n"), Not(HasSubstr("somewhere"))));
  report.rows.pop_back();
  EXPECT_THAT(text_of(report), HasSubstr("\nmodel, cpu\n"));
  EXPECT_THAT(markdown_of(report), HasSubstr("\n| model | way |"));
}

TEST(BenchTable, CountsUnmeasuredRowsAndMarksNoisyOnes) {
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
  EXPECT_THAT(text_of(report), AllOf(HasSubstr("layer, cuda:0 "), HasSubstr("automatic, no graph"), HasSubstr("25%! "),
                                     ContainsRegex("1 row marked ! and refused as noisy.* load of the machine 0.0 to 3.5"),
                                     HasSubstr("1 row, cpu: not measured: nobody asked"),
                                     HasSubstr("1 row, cuda:0: not measured: nobody asked"), Not(HasSubstr("layer, cpu "))));
}

/// A report with everything that a table can show, each at its longest.
Report everything() {
  Report report;
  report.cpu_device = "Some Processor, avx512; oneDNN 2.6.3";
  report.rows = {row_of(Device::cuda(0), 123456.7), row_of(Device::cpu(), 99999), row_of(Device::cpu(), 5)};
  report.rows[0].cell = {
      .level = Level::model, .batch = 1 << 20, .width = 4096, .depth = 128, .dtype = DType::bfloat16, .activation = "leaky_relu"};
  report.rows[0].timing->percentiles = {.p50_us = 123456.7,
                                        .p90_us = 234567.8,
                                        .p99_us = 345678.9,
                                        .calls = 100,
                                        .histogram = {.edges_us = {100000, 234567.8, 345678.9, 400000}, .counts = {80, 19, 1}}};
  report.rows[0].way = {.device = Device::cuda(0), .graphs = false};
  report.rows[0].cold = true;
  report.rows[0].speedup = 1234.5;
  report.rows[0].bound_by = "arithmetic";
  report.rows[1].error = "refused as noisy: spread 25 %, the limit is 10 %";
  report.rows[2].warning = "noisy: spread 25 %, the limit is 10 %";
  report.throughputs = {{.cell = {.level = Level::model, .file = "a/mlp, the \"best\".keras", .batch = 64},
                         .callers = 4,
                         .rows_per_s = 1234567.8,
                         .latency = {.p50_us = 10,
                                     .p90_us = 20,
                                     .p99_us = 30,
                                     .calls = 400,
                                     .histogram = {.edges_us = {10, 10.5, 30, 31.5}, .counts = {200, 0, 3}}}}};
  return report;
}

TEST(BenchTable, FitsAHundredColumnsAndExplainsThem) {
  std::istringstream lines(text_of(everything(), true));
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 100U) << line;
  const std::string text = text_of(everything());
  for (const char* column : {"\nmedian ", "\nspread ", "\nspeedup ", "\np50 ... ", "\nfloor ", "\nrows/s "})
    EXPECT_THAT(text, HasSubstr(column));
  EXPECT_THAT(text, AllOf(ContainsRegex("automatic, no graph, cold +123457 +25% +1234x +123457 +234568 +345679  25% arithmetic"),
                          HasSubstr("even p90 can be below the median"), Not(HasSubstr("####")),
                          ContainsRegex("\n  4 +1234568 +10.0 +20.0 +30.0 +400\n"), HasSubstr("stop other programs"),
                          HasSubstr("25%~"), HasSubstr("WARNING: noisy, not to be quoted: 1 row marked ~; ")));
}

TEST(BenchTable, ShowsHowLongSingleCallsTookIfAsked) {
  const std::string text = text_of(everything(), true);
  EXPECT_THAT(text, HasSubstr("leaky_relu bfloat16 1048576x4096x128, cuda:0, automatic, no graph, cold: 100 calls\n"
                              "      100000 to   234568      80  ########################################\n"
                              "      234568 to   345679      19  #########\n"
                              "      345679 to   400000       1  #\n"));
  EXPECT_THAT(text, ContainsRegex("cpu, 4 callers at once: 400 calls\n +10.0 to +10.5 +200  #+\n +10.5 to +30.0 +0\n"));
  EXPECT_THAT(markdown_of(everything(), true), HasSubstr("\n```text\nhow many single calls"));
  EXPECT_THAT(text_of({}, true), Not(HasSubstr("how many single calls")));
}

TEST(BenchTable, IsMarkdownWithTheSameNumberOfFieldsInEachRow) {
  std::istringstream lines(markdown_of(everything()));
  std::ptrdiff_t bars = 0;
  int rows = 0;
  for (std::string line; std::getline(lines, line);) {
    const std::ptrdiff_t found = std::count(line.begin(), line.end(), '|');
    if (found != 0 && bars != 0) {
      EXPECT_EQ(found, bars) << line;
    }
    bars = found;
    rows += found != 0;
  }
  EXPECT_EQ(rows, 3 * 2 + 4);  // heads with their rules, and the measurements
}

TEST(BenchCsv, HasALineForEachRowAndQuotesWhereNeeded) {
  std::istringstream lines(csv_of(everything()));
  std::vector<std::string> all;
  for (std::string line; std::getline(lines, line);) all.push_back(line);
  ASSERT_EQ(all.size(), 5U);
  const auto commas = std::count(all[0].begin(), all[0].end(), ',');
  EXPECT_EQ(std::count(all[1].begin(), all[1].end(), ','), commas);
  EXPECT_THAT(all[0], HasSubstr("level,model,batch,"));
  EXPECT_THAT(all[1], AllOf(HasSubstr("model,,1048576,4096,128,leaky_relu,bfloat16,cuda:0,automatic,automatic,cold,,123456.7,"),
                            HasSubstr(",123456.7,234567.8,345678.9,,1234.5,")));
  EXPECT_THAT(all[2], HasSubstr("\"refused as noisy: spread 25 %, the limit is 10 %\""));
  EXPECT_THAT(all[4], AllOf(HasSubstr("throughput,\"mlp, the \"\"best\"\".keras\",64,"), HasSubstr(",4,,,,10,20,30,1234567.8,")));
}

}  // namespace
}  // namespace lamella::bench
