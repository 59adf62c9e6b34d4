// SPDX-License-Identifier: Apache-2.0
// What is logged, to whom, and when: the function that is told may do anything.
#include <lamella/log.hpp>

#include <gmock/gmock.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <lamella/model.hpp>
#include <lamella/models.hpp>
#include <memory>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "core/log.hpp"
#include "core/tuning_records.hpp"
#include "model/model_support.hpp"

namespace lamella::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::StartsWith;
using Messages = std::vector<std::pair<LogLevel, std::string>>;

/// Collects messages while it lives.
class LogTest : public testing::Test {
 protected:
  LogTest() {
    set_log_function([this](LogLevel level, std::string_view message) {
      const std::lock_guard lock(mutex_);
      messages_.emplace_back(level, message);
    });
  }
  ~LogTest() override { set_log_function({}); }
  Messages taken() {
    const std::lock_guard lock(mutex_);
    return std::exchange(messages_, {});
  }

  std::mutex mutex_;
  Messages messages_;
};

Model small(Options options = {.device = Device::cpu(), .threads = 1}) {
  return Sequential({Input({6}), Dense(4, {.activation = "tanh", .name = "a"}), Dense(3, {.name = "b"})}, {.name = "small"})
      .compile(options);
}

TEST_F(LogTest, TellsOfModelsAndOfWhatIsPlanned) {
  const Model model = small();
  EXPECT_THAT(taken(), ElementsAre(Pair(LogLevel::info, "'small' is made for cpu: 3 layers, 43 elements of weights")));
  static_cast<void>(model.predict(random_input({5, 6})));
  EXPECT_THAT(taken(), ElementsAre(Pair(LogLevel::info,
                                        AllOf(StartsWith("'small' is planned for 5 rows in "), HasSubstr(" ms: 2 dense by ")))));
  static_cast<void>(model.predict(random_input({5, 6})));
  EXPECT_THAT(taken(), IsEmpty()) << "nothing new";
  static_cast<void>(small({.threads = 1}));
  const std::string why = why_no_cuda();
  EXPECT_THAT(taken()[0].second,
              why.empty() ? HasSubstr("is made for cuda:0") : HasSubstr("; no other device can be used: " + why));
}

TEST_F(LogTest, WarnsOnceOfProgramsThatArePlannedAgain) {
  const Model model = small({.device = Device::cpu(), .threads = 1, .cached_programs = 2});
  Messages warnings;
  for (const std::int64_t rows : {1, 2, 3, 4, 1, 2}) {
    static_cast<void>(model.predict(random_input({rows, 6})));
    for (auto& one : taken()) {
      if (one.first == LogLevel::warning) warnings.push_back(std::move(one));
    }
  }
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_THAT(warnings[0].second, StartsWith("'small' is called with more batch sizes than Options::cached_programs, 2:"));
}

TEST_F(LogTest, WarnsOfMeasurementsThatCannotBeKept) {
  const std::string path = testing::TempDir() + "lamella_log_tuning.json";
  std::ofstream(path) << "not measurements";
  core::TuningRecords records(path);
  {
    const core::LogDelivery call;
    for (int i = 0; i < 2; ++i) {
      records.add({"machine", "work" + std::to_string(i), "engine", {{"engine", 1.0}}});
      EXPECT_THAT(messages_, IsEmpty()) << "told before the call has ended";
    }
  }
  EXPECT_THAT(taken(), ElementsAre(Pair(LogLevel::warning, HasSubstr(path + ": is not a file of measurements; left unchanged"))));
  std::remove(path.c_str());
}

TEST_F(LogTest, WarnsOnceOfDamagedMeasurements) {
  const std::string path = testing::TempDir() + "lamella_log_damaged.json";
  core::TuningRecords(path).add({"machine", "work", "engine", {{"engine", 1.0}}});
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  std::string damaged = text.str();
  damaged.replace(damaged.find("engine\": 1"), 10, "engine\": 2");
  std::ofstream(path) << damaged;
  core::TuningRecords records(path);
  {
    const core::LogDelivery call;
    EXPECT_EQ(records.find("machine", "work"), std::nullopt);
    records.add({"machine", "other", "engine", {{"engine", 1.0}}});
  }
  EXPECT_THAT(taken(), ElementsAre(Pair(LogLevel::warning, HasSubstr(path + ": 1 of its entries cannot be used"))));
  std::remove(path.c_str());
}

TEST_F(LogTest, WhatTheFunctionThrowsIsIgnored) {
  int called = 0;
  set_log_function([&](LogLevel, std::string_view) {
    ++called;
    throw std::runtime_error("in the log");
  });
  const Model model = small();
  EXPECT_EQ(model.predict(random_input({2, 6})).shape(), (Shape{2, 3}));
  set_log_function([&](LogLevel, std::string_view) {
    ++called;
    throw 3;
  });
  static_cast<void>(model.predict(random_input({3, 6})));
  EXPECT_EQ(called, 3);
  EXPECT_THROW(static_cast<void>(model.predict(random_input({3, 5}))), ArgumentError) << "a call's own error comes through";
}

TEST_F(LogTest, TheFunctionMayCallLamella) {
  std::optional<Model> model(small({.device = Device::cpu(), .threads = 1, .updatable = true}));
  Model other = *model;
  Messages found;
  std::int64_t rows = 100;
  set_log_function([&](LogLevel level, std::string_view message) {
    found.emplace_back(level, message);
    static_cast<void>(other.predict(random_input({++rows, 6})));  // which plans: not told, or it would never end
    other.update_weights(views_of(values_of(other)));             // waits for all calls of the model
    static_cast<void>(small());
  });
  static_cast<void>(model->predict(random_input({2, 6})));
  EXPECT_THAT(found, ElementsAre(Pair(LogLevel::info, HasSubstr("for 2 rows"))));
  set_log_function([&](LogLevel, std::string_view) {
    set_log_function({});
    found.clear();
  });
  static_cast<void>(model->predict(random_input({3, 6})));
  EXPECT_THAT(found, IsEmpty());
  static_cast<void>(model->predict(random_input({4, 6})));
  EXPECT_THAT(found, IsEmpty()) << "it removed itself";
}

TEST_F(LogTest, AFunctionLivesUntilTheLastThreadHasLeftIt) {
  struct Watched {
    std::atomic<int>& ended;
    std::atomic<bool> alive{true};
    ~Watched() {
      alive = false;
      ++ended;
    }
  };
  std::atomic<int> ended{0};
  std::atomic<int> dead{0};
  std::atomic<int> told{0};
  std::atomic<bool> ends{false};
  const Model model = small({.device = Device::cpu(), .threads = 1, .cached_programs = 1});
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (std::int64_t rows = 1; !ends; ++rows) static_cast<void>(model.predict(random_input({rows % 7 + t + 1, 6})));
    });
  }
  int set = 0;
  for (; set < 200 || told < 20; ++set) {
    const auto watched = std::make_shared<Watched>(ended);
    set_log_function([&, watched](LogLevel, std::string_view) {
      if (!watched->alive) ++dead;
      std::this_thread::yield();
      ++told;
    });
    if (set % 3 == 0) set_log_function({});
  }
  set_log_function({});
  ends = true;
  for (std::thread& thread : threads) thread.join();
  const int before = told;
  static_cast<void>(model.predict(random_input({50, 6})));
  EXPECT_EQ(told, before) << "removed";
  EXPECT_EQ(dead, 0);
  EXPECT_EQ(ended, set) << "each was destroyed once";
}

TEST_F(LogTest, AFunctionThatRemovesItselfLivesUntilItReturns) {
  auto owned = std::make_shared<int>(1);
  const std::weak_ptr<int> watched = owned;
  bool lives = false;
  set_log_function([&watched, &lives, owned = std::move(owned)](LogLevel, std::string_view) {
    auto& to = lives;  // nothing of the function's own may be touched if it is gone
    const auto& from = watched;
    set_log_function({});
    to = !from.expired();
  });
  static_cast<void>(small());
  EXPECT_TRUE(lives);
  EXPECT_TRUE(watched.expired());
}

TEST_F(LogTest, WhatWasLoggedBeforeAFunctionWasSetIsDropped) {
  set_log_function({});
  EXPECT_FALSE(core::is_logging());
  core::log(LogLevel::warning, "to nobody");
  set_log_function([this](LogLevel level, std::string_view message) { messages_.emplace_back(level, message); });
  { const core::LogDelivery call; }
  EXPECT_THAT(taken(), IsEmpty());
}

}  // namespace
}  // namespace lamella::test
