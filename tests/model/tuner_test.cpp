// SPDX-License-Identifier: Apache-2.0
// Which engine measurements choose. Engines and their times are made up.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <lamella/lamella.hpp>

#include "core/backend.hpp"
#include "ops/select.hpp"

namespace lamella::ops {
namespace {

using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;

double g_now = 0;  // seconds
int g_executed = 0;

/// A plan that writes `value` into every result and takes `seconds` on the made-up clock.
class MadeUp final : public Engine<DenseDesc> {
 public:
  MadeUp(const char* name, double seconds, float value = 1) : name_(name), seconds_(seconds), value_(value) {}
  [[nodiscard]] std::string_view name() const noexcept override { return name_; }
  [[nodiscard]] std::string refuses(const DenseDesc&, const PlanContext&) const override { return never; }
  [[nodiscard]] std::optional<double> predicted_us(const DenseDesc&, const PlanContext&) const override { return predicted; }
  [[nodiscard]] std::unique_ptr<Plan> plan(const DenseDesc& d, std::shared_ptr<const Constants> constants,
                                           const PlanContext&) const override {
    ++plans;
    if (packed != 0) {
      static_cast<void>(constants->derived({.constant = packed}, [&] {
        constants->note_packed(packed);
        return Packed{std::make_shared<int>(), nullptr};
      }));
    }
    class Fill final : public Plan {
     public:
      Fill(std::int64_t results, double seconds, float value) : results_(results), seconds_(seconds), value_(value) {}
      void execute(const Args& args) const override {
        for (std::int64_t i = 0; i < results_; ++i) static_cast<float*>(args.dst)[i] = value_;
        g_now += seconds_;
        ++g_executed;
      }

     private:
      std::int64_t results_;
      double seconds_;
      float value_;
    };
    if (out_of_memory) throw Error(ErrorCode::out_of_memory, "[test] no memory");
    return std::make_unique<Fill>(d.batch * d.units, seconds_, value_);
  }

  std::string never;  ///< why the engine refuses
  std::optional<double> predicted;
  bool out_of_memory = false;
  std::size_t packed = 0;  ///< size in bytes, and number, of the packed form that it makes of the weights; 0: none
  mutable int plans = 0;   ///< made so far

 private:
  const char* name_;
  double seconds_;
  float value_;
};

class TunerTest : public ::testing::Test {
 protected:
  TunerTest() { std::filesystem::remove_all(folder_); }
  ~TunerTest() override { std::filesystem::remove_all(folder_); }

  Choice select(Tuning tuning, std::string_view forced = {}, std::int64_t batch = 8) {
    Tuner tuner(file(), [] { return g_now; });  // like a new process each time: earlier measurements come from the file only
    PlanContext context;
    context.backend = &core::cpu_backend();
    context.tuning = tuning;
    context.tuner = &tuner;
    const std::array<const Engine<DenseDesc>*, 4> engines{&first, &second, &third, &reference};
    g_executed = 0;
    DenseDesc desc;
    desc.batch = batch;
    desc.inputs = 3;
    desc.units = 5;
    desc.determinism = determinism;
    Choice choice = ops::select<DenseDesc>(engines, desc, constants_, context, forced);
    trouble = tuner.trouble();
    return choice;
  }
  [[nodiscard]] std::string file() const { return (folder_ / "deep" / "tuning.json").string(); }
  void write(const std::string& text) const {
    std::filesystem::create_directories(folder_ / "deep");
    std::ofstream(file()) << text;
  }
  [[nodiscard]] std::size_t packed_bytes() const { return constants_->packed_bytes(); }
  [[nodiscard]] bool has_form(std::size_t packed) const {
    bool has = true;
    static_cast<void>(constants_->derived({.constant = packed}, [&] {
      has = false;
      return Packed{std::make_shared<int>(), nullptr};
    }));
    return has;
  }
  [[nodiscard]] std::string content() const {
    std::ifstream stream(file());
    return {std::istreambuf_iterator<char>(stream), {}};
  }

  MadeUp first{"first", 9e-6};
  MadeUp second{"second", 4e-6};
  MadeUp third{"third", 6e-6};
  MadeUp reference{"reference", 1e-6};
  std::string trouble;
  Determinism determinism = Determinism::run_to_run;

 private:
  std::filesystem::path folder_ = std::filesystem::temp_directory_path() / ("lamella_tuner_" + std::to_string(::getpid()));
  std::shared_ptr<const Constants> constants_ = std::make_shared<const Constants>(std::vector<std::shared_ptr<const Tensor>>{});
};

TEST_F(TunerTest, UsesTheMeasuredPlanAndFreesWhatOthersPacked) {
  first.packed = 100;
  second.packed = 20;
  third.packed = 3;
  const Choice choice = select(Tuning::measure);
  EXPECT_EQ(choice.engine, "second");
  EXPECT_EQ(choice.by_rule, "first");
  ASSERT_NE(choice.plan, nullptr);
  EXPECT_EQ(second.plans, 1);
  EXPECT_EQ(packed_bytes(), 20U);
  EXPECT_TRUE(has_form(20));
  EXPECT_FALSE(has_form(100));
  EXPECT_FALSE(has_form(3));
  const Choice again = select(Tuning::cached);  // chosen from the file, so there is no plan left from a measurement
  EXPECT_EQ(again.engine, "second");
  EXPECT_EQ(again.by_rule, "first");
  EXPECT_EQ(second.plans, 2);
  EXPECT_EQ(first.plans, 1);
}

TEST_F(TunerTest, MeasuresNothingUnlessRequested) {
  for (const Tuning tuning : {Tuning::off, Tuning::cached}) {
    const Choice choice = select(tuning);
    EXPECT_EQ(choice.engine, "first");
    EXPECT_EQ(choice.measured, "");
    EXPECT_EQ(g_executed, 0);
  }
  EXPECT_FALSE(std::filesystem::exists(file()));
}

TEST_F(TunerTest, TakesTheFastestAndRemembersItInTheNextProcess) {
  const Choice choice = select(Tuning::measure);
  EXPECT_EQ(choice.engine, "second");
  EXPECT_EQ(choice.measured, "4 us, measured");
  EXPECT_THAT(choice.refused,
              ElementsAre(Field(&Refusal::why, "9 us"), Field(&Refusal::why, "6 us"), Field(&Refusal::why, "not measured")));
  for (const Tuning tuning : {Tuning::cached, Tuning::measure}) {
    const Choice again = select(tuning);
    EXPECT_EQ(again.engine, "second");
    EXPECT_EQ(again.measured, "4 us, measured before");
    EXPECT_EQ(g_executed, 0);
  }
  EXPECT_EQ(trouble, "");
}

TEST_F(TunerTest, KnowsNothingOfOtherSizes) {
  (void)select(Tuning::measure);
  EXPECT_EQ(select(Tuning::cached, {}, 9).engine, "first");
  EXPECT_EQ(select(Tuning::measure, {}, 9).engine, "second");
  EXPECT_EQ(select(Tuning::cached, {}, 8).engine, "second") << "the first record is still there";
}

TEST_F(TunerTest, UsesTheOrderAmongEquals) {
  first = MadeUp("first", 4.05e-6);
  EXPECT_EQ(select(Tuning::measure).engine, "first");
}

TEST_F(TunerTest, TriesEnginesPredictedToBeSlowButNotImpossibleOnes) {
  first.predicted = 3;
  second.predicted = 9;
  third.never = "it cannot";
  EXPECT_EQ(select(Tuning::off).engine, "first");
  const Choice choice = select(Tuning::measure);
  EXPECT_EQ(choice.engine, "second");
  EXPECT_EQ(choice.by_rule, "first");
  EXPECT_THAT(choice.refused, testing::Contains(Field(&Refusal::why, "it cannot")));
}

TEST_F(TunerTest, WithoutMeasurementsTheLeastPredictedTimeDecides) {
  first.predicted = 5;
  third.predicted = 2.5;
  const Choice choice = select(Tuning::off);
  EXPECT_EQ(choice.engine, "third");
  EXPECT_EQ(choice.predicted_us, std::optional(2.5));
  EXPECT_THAT(choice.refused, ElementsAre(Field(&Refusal::predicted_us, std::optional(5.0)))) << "nothing is known of the others";
  third.never = "it cannot";
  EXPECT_EQ(select(Tuning::off).engine, "first");
  first.predicted = std::nullopt;
  second.predicted = 1e6;
  EXPECT_EQ(select(Tuning::off).engine, "second") << "what is predicted comes before what is not";
  EXPECT_EQ(select(Tuning::off, "first").engine, "first") << "but not before what is forced";
}

TEST_F(TunerTest, PredictionsDoNotDecideWhereTheBatchSizeMayNot) {
  first.predicted = 5;
  third.predicted = 2.5;
  determinism = Determinism::batch_invariant;
  const Choice choice = select(Tuning::off);
  EXPECT_EQ(choice.engine, "first");
  EXPECT_EQ(choice.predicted_us, std::nullopt);
}

TEST_F(TunerTest, DropsEnginesThatContradictTheReference) {
  second = MadeUp("second", 1e-7, 1.01F);
  EXPECT_EQ(select(Tuning::measure).engine, "third");
}

TEST_F(TunerTest, LeavesOutEnginesWithoutMemoryToMeasure) {
  third.out_of_memory = true;
  EXPECT_EQ(select(Tuning::measure).engine, "second");
}

TEST_F(TunerTest, TheReferenceIsMeasuredTooIfItPredictsItsTime) {
  EXPECT_EQ(select(Tuning::measure).engine, "second");
  first.predicted = 9;
  reference.predicted = 3;
  const Choice choice = select(Tuning::measure, {}, 16);
  EXPECT_EQ(choice.engine, "reference");
  EXPECT_EQ(choice.by_rule, "reference");
  EXPECT_THAT(choice.refused, testing::Not(testing::Contains(Field(&Refusal::why, "not measured"))));
}

TEST_F(TunerTest, SpendsLittleTimeOnSlowEngines) {
  first = MadeUp("first", 1.0);
  EXPECT_EQ(select(Tuning::measure).engine, "second");
  EXPECT_LT(g_now, 1e6);
  const double before = g_now;
  (void)select(Tuning::measure, {}, 10);
  EXPECT_LT(g_now - before, 3.5) << "it is called to warm up, once to be timed, and once to be compared";
}

TEST_F(TunerTest, MeasuresNothingIfAnEngineIsForced) {
  (void)select(Tuning::measure);
  EXPECT_EQ(select(Tuning::measure, "third").engine, "third");
  EXPECT_EQ(g_executed, 0);
}

TEST_F(TunerTest, LeavesFilesOfOtherProgramsUnchanged) {
  for (const char* text : {"# notes", "{}", "[1, 2", R"({"format": "lamella tuning 9", "records": []})", R"({"format": 3})"}) {
    write(text);
    EXPECT_EQ(select(Tuning::measure).engine, "second") << text;
    EXPECT_THAT(trouble, HasSubstr("is not a file of measurements; left unchanged"));
    EXPECT_EQ(content(), text);
  }
  write(std::string(200'000, '['));
  EXPECT_EQ(select(Tuning::measure).engine, "second");
  EXPECT_THAT(trouble, HasSubstr("is not a file of measurements"));
}

TEST_F(TunerTest, IgnoresInvalidRecords) {
  (void)select(Tuning::measure);
  std::string text = content();
  const auto replaced = [&](const std::string& what, const std::string& by) {
    std::string changed = text;
    const std::size_t at = changed.find(what);
    EXPECT_NE(at, std::string::npos);
    return changed.replace(at, what.size(), by);
  };
  for (const std::string& changed :
       {replaced("\"engine\": \"second\"", "\"engine\": \"removed\""),
        replaced("\"engine\": \"second\"", "\"engine\": \"third\""), replaced("\"second\": 4", "\"second\": 5"),
        replaced("\"engine\": \"second\"", "\"engine\": 3"), replaced("\"microseconds\": {", "\"microseconds\": {\"x\": -1, "),
        replaced("\"records\": [", "\"records\": [3, [[1]],"), replaced("lamella 0", "lamella 9")}) {
    write(changed);
    const Choice choice = select(Tuning::cached);
    EXPECT_EQ(choice.engine, changed.find("[[1") == std::string::npos ? "first" : "second") << changed;
    EXPECT_EQ(trouble, "");
  }
}

TEST_F(TunerTest, WorksIfNothingCanBeStored) {
  write("");
  std::filesystem::remove(file());
  std::filesystem::create_directory(file());  // a folder of that name makes writing fail
  EXPECT_EQ(select(Tuning::measure).engine, "second");
  EXPECT_THAT(trouble, HasSubstr("tuning.json"));
}

TEST(TuningFile, IsWhereTheEnvironmentSays) {
  const auto set = [](const char* file, const char* cache, const char* home) {
    const auto one = [](const char* name, const char* value) { value == nullptr ? ::unsetenv(name) : ::setenv(name, value, 1); };
    one("LAMELLA_TUNING_FILE", file);
    one("XDG_CACHE_HOME", cache);
    one("HOME", home);
    return core::tuning_file();
  };
  EXPECT_EQ(set("/a/b.json", "/cache", "/home"), "/a/b.json");
  EXPECT_EQ(set("", "/cache", "/home"), "") << "nothing may be stored";
  EXPECT_EQ(set(nullptr, "/cache", "/home"), "/cache/lamella/tuning.json");
  EXPECT_EQ(set(nullptr, "relative", "/home"), "/home/.cache/lamella/tuning.json");
  EXPECT_EQ(set(nullptr, nullptr, nullptr), "");
}

TEST(ModelTuning, GivesTheModelsResultsAndSaysWhatItMeasured) {
  ::setenv("LAMELLA_TUNING_FILE", "", 1);
  Sequential net({Dense(40, {.activation = "tanh"}), Dense(30, {.activation = "softmax"})});
  net.build({20}, {.seed = 3});
  Tensor x = Tensor::zeros({64, 20});
  for (std::size_t i = 0; i < x.span<float>().size(); ++i) x.span<float>()[i] = static_cast<float>(i % 13) / 13 - 0.5F;
  const Model plain = net.compile({.device = Device::cpu()});
  const Model tuned = net.compile({.device = Device::cpu(), .tuning = Tuning::measure});
  const Tensor wanted = plain.predict(x);
  const Tensor got = tuned.predict(x);
  for (std::size_t i = 0; i < wanted.span<float>().size(); ++i) EXPECT_NEAR(got.span<float>()[i], wanted.span<float>()[i], 1e-5);
  EXPECT_THAT(tuned.explain({.batch = 64}), HasSubstr(" us, measured"));
  EXPECT_THAT(plain.explain({.batch = 64}), ::testing::Not(HasSubstr(" us, measured")));
  const Model invariant =
      net.compile({.device = Device::cpu(), .determinism = Determinism::batch_invariant, .tuning = Tuning::measure});
  EXPECT_THAT(invariant.explain({.batch = 64}), ::testing::Not(HasSubstr(" us, measured")));
}

}  // namespace
}  // namespace lamella::ops
