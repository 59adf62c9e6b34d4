// SPDX-License-Identifier: Apache-2.0
// Whether layers run in one step or one by one by measurement. Engines and their times are made up.
#include "ops/weigh.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <lamella/lamella.hpp>
#include <nlohmann/json.hpp>

#include "core/backend.hpp"
#include "core/log.hpp"
#include "core/tuning_records.hpp"

namespace lamella::ops {
namespace {

using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;

double g_now = 0;  // seconds
int g_executed = 0;

/// Writes `value` into every result but the last, which gets `last`, and takes `seconds` on the made-up clock.
class Fill final : public Plan {
 public:
  Fill(const StackDesc& d, double seconds, float value, float last)
      : results_(d.batch * d.layers.back().units), seconds_(seconds), value_(value), last_(last) {}
  void execute(const Args& args) const override {
    auto* const dst = static_cast<float*>(args.dst);
    std::fill_n(dst, results_ - 1, value_);
    dst[results_ - 1] = last_;
    g_now += seconds_;
    ++g_executed;
  }

 private:
  std::int64_t results_;
  double seconds_;
  float value_;
  float last_;
};

class MadeUp final : public Engine<StackDesc> {
 public:
  MadeUp(const char* name, double takes) : seconds(takes), name_(name) {}
  [[nodiscard]] std::string_view name() const noexcept override { return name_; }
  [[nodiscard]] std::string refuses(const StackDesc&, const PlanContext&) const override { return never; }
  [[nodiscard]] std::optional<double> predicted_us(const StackDesc&, const PlanContext&) const override { return predicted; }
  [[nodiscard]] std::unique_ptr<Plan> plan(const StackDesc& d, std::shared_ptr<const Constants>,
                                           const PlanContext&) const override {
    return std::make_unique<Fill>(d, seconds, 1, last);
  }
  double seconds;
  float last = 1;     ///< the last result; others have 1
  std::string never;  ///< why the engine refuses
  double predicted = 1;

 private:
  const char* name_;
};

class WeighTest : public ::testing::Test {
 protected:
  WeighTest() { std::filesystem::remove(file_); }
  ~WeighTest() override { std::filesystem::remove(file_); }

  /// As in a new process each time: earlier measurements come from the file only.
  std::optional<Weighed> weigh(Tuning tuning, std::int64_t batch = 8) {
    Tuner tuner(file_.string(), [] { return g_now; });
    PlanContext context;
    context.backend = &core::cpu_backend();
    context.tuning = tuning;
    context.tuner = &tuner;
    StackDesc desc;
    desc.batch = batch;
    desc.layers = {{.inputs = 3, .units = 5, .has_bias = true, .activation = {}}, {.inputs = 5, .units = 7, .activation = {}}};
    desc.softmax = softmax;
    const std::array<const Engine<StackDesc>*, 2> engines{&first, &second};
    g_executed = 0;
    layers_planned = 0;
    return Scales(engines, desc, std::make_shared<const Constants>(std::vector<std::shared_ptr<const Tensor>>{}), context,
                  together)
        .weighed([&]() -> std::unique_ptr<Plan> {
          ++layers_planned;
          if (no_memory) throw Error(ErrorCode::out_of_memory, "[test] no memory");
          return std::make_unique<Fill>(desc, layers, 1.0F, 1.0F);
        });
  }
  void replace(const std::string& what, const std::string& by) const {
    std::ifstream stream(file_);
    std::string text(std::istreambuf_iterator<char>(stream), {});
    const std::size_t at = text.find(what);
    ASSERT_NE(at, std::string::npos) << text;
    std::ofstream(file_) << text.replace(at, what.size(), by);
  }
  /// In the one record, which gets its checksum anew.
  void set_engine(const std::string& name) const {
    const nlohmann::json old = nlohmann::json::parse(std::ifstream(file_)).at("records").at(0);
    core::TuningRecords(file_.string()).add({old.at("machine"), old.at("work"), name, {{name, 1.0}}});
  }

  MadeUp first{"first", 9e-6};
  MadeUp second{"second", 4e-6};
  double layers = 6e-6;  ///< seconds of the layers one by one
  bool together = true;  ///< by rule
  bool softmax = false;
  bool no_memory = false;
  int layers_planned = 0;

 private:
  std::filesystem::path file_ = std::filesystem::temp_directory_path() / ("lamella_weigh_" + std::to_string(::getpid()));
};

TEST_F(WeighTest, TheFasterWayIsTakenAndByTheNextProcessToo) {
  const auto measured = weigh(Tuning::measure);
  ASSERT_TRUE(measured);
  EXPECT_EQ(measured->engine, "second");
  EXPECT_EQ(measured->measured, "4 us, measured");
  EXPECT_EQ(measured->by_rule, "first");
  EXPECT_NEAR(measured->gain_us, 2, 1e-6);
  EXPECT_THAT(measured->others, ElementsAre(Field(&Refusal::why, "9 us"), Field(&Refusal::why, "6 us")));
  for (const Tuning tuning : {Tuning::cached, Tuning::measure}) {
    const auto again = weigh(tuning);
    EXPECT_EQ(again->engine, "second");
    EXPECT_EQ(again->measured, "4 us, measured before");
    EXPECT_NEAR(again->gain_us, 2, 1e-6);
    EXPECT_EQ(g_executed + layers_planned, 0);
  }
}

TEST_F(WeighTest, LayersOneByOneAreTakenWhereTheyAreFaster) {
  layers = 3e-6;
  const auto measured = weigh(Tuning::measure);
  EXPECT_EQ(measured->engine, "");
  EXPECT_EQ(measured->gain_us, 0);
  EXPECT_EQ(measured->measured, "3 us for 2 layers, measured; first, by rule, 9 us; second 4 us");
  EXPECT_EQ(weigh(Tuning::cached)->engine, "");
  EXPECT_EQ(weigh(Tuning::cached)->measured, "3 us for 2 layers, measured before; first, by rule, 9 us; second 4 us");
  EXPECT_EQ(g_executed, 0);
}

TEST_F(WeighTest, NothingIsMeasuredUnlessRequestedAndOtherSizesAreUnknown) {
  EXPECT_EQ(weigh(Tuning::cached)->measured, "");
  EXPECT_EQ(g_executed + layers_planned, 0);
  static_cast<void>(weigh(Tuning::measure));
  EXPECT_EQ(weigh(Tuning::cached, 9)->measured, "");
  softmax = true;
  EXPECT_EQ(weigh(Tuning::cached)->measured, "");
  EXPECT_EQ(g_executed, 0);
}

TEST_F(WeighTest, AmongEqualsTheRuleDecides) {
  second.seconds = 6.05e-6;
  second.predicted = 0.5;
  const auto same = weigh(Tuning::measure);
  EXPECT_EQ(same->engine, "second");
  EXPECT_EQ(same->by_rule, "second");
  EXPECT_GT(same->gain_us, 0) << "else it would be left alone";
  together = false;
  second.seconds = 5.95e-6;
  const auto apart = weigh(Tuning::measure, 9);
  EXPECT_EQ(apart->engine, "");
  EXPECT_EQ(apart->by_rule, kOneByOne);
}

TEST_F(WeighTest, AWrongStackIsNeverTaken) {
  second.last = 1.5F;  // the last row only, which a comparison of the first few would not see
  const auto measured = weigh(Tuning::measure, 1000);
  EXPECT_EQ(measured->engine, "");
  EXPECT_EQ(measured->measured, "6 us for 2 layers, measured; first, by rule, 9 us; second not measured");
  EXPECT_EQ(weigh(Tuning::cached, 1000)->engine, "");
  first.last = second.last;
  layers = 1e-3;
  EXPECT_EQ(weigh(Tuning::measure, 1001)->engine, "");
}

TEST_F(WeighTest, EnginesThatRefuseAreNotMeasured) {
  second.never = "it cannot";
  const auto measured = weigh(Tuning::measure);
  EXPECT_EQ(measured->engine, "");
  first.never = "it cannot either";
  EXPECT_FALSE(weigh(Tuning::measure));
}

TEST_F(WeighTest, WithoutMemoryForBothWaysNothingIsKnown) {
  no_memory = true;
  const auto measured = weigh(Tuning::measure);
  ASSERT_TRUE(measured);
  EXPECT_EQ(measured->measured, "");
}

TEST_F(WeighTest, DamagedAndForeignEntriesAreIgnoredWithOneWarning) {
  std::vector<std::string> logged;
  set_log_function([&](LogLevel level, std::string_view text) {
    if (level == LogLevel::warning) logged.emplace_back(text);
  });
  static_cast<void>(weigh(Tuning::measure));
  replace("\"second\": 4", "\"second\": 5");
  {
    const core::LogDelivery call;
    EXPECT_EQ(weigh(Tuning::cached)->measured, "");
  }
  EXPECT_THAT(logged, ElementsAre(HasSubstr("1 of its entries cannot be used")));
  EXPECT_EQ(weigh(Tuning::measure)->engine, "second");
  set_engine("unknown");
  EXPECT_EQ(weigh(Tuning::cached)->measured, "");
  EXPECT_EQ(weigh(Tuning::measure)->engine, "second") << "it is measured again";
  replace("lamella 0", "lamella 9");
  EXPECT_EQ(weigh(Tuning::cached)->measured, "");
  set_log_function({});
}

}  // namespace
}  // namespace lamella::ops
