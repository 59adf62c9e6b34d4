// SPDX-License-Identifier: Apache-2.0
// profile --trace: the Trace Event Format, as Perfetto and chrome://tracing need it.
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/command_support.hpp"

namespace lamella::cli {
namespace {

using ::testing::HasSubstr;

struct Span {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

/// What a viewer makes of an event's microseconds: nanoseconds, cut or rounded.
Span span_of(const nlohmann::json& event, bool cut) {
  const auto nanoseconds = [&](const char* key) {
    const double value = event.at(key).get<double>() * 1000;
    EXPECT_NEAR(value, std::round(value), 1e-3) << key << " is not in whole nanoseconds: " << event;
    EXPECT_GE(value, 0) << event;
    return static_cast<std::int64_t>(cut ? std::floor(value) : std::round(value));
  };
  const std::int64_t begin = nanoseconds("ts");
  return {begin, begin + nanoseconds("dur")};
}

/// Each complete event is inside an earlier one or begins after its end; a viewer leaves out any other.
void expect_nested(const std::vector<nlohmann::json>& complete, bool cut) {
  std::vector<Span> open;
  std::int64_t last = 0;
  for (const auto& event : complete) {
    const Span span = span_of(event, cut);
    EXPECT_GE(span.begin, last) << "events are in order of time";
    last = span.begin;
    while (!open.empty() && open.back().end <= span.begin) open.pop_back();
    if (!open.empty()) {
      EXPECT_LE(span.end, open.back().end) << event;
    }
    open.push_back(span);
  }
}

void expect_fields(const nlohmann::json& event, const std::set<std::string>& allowed) {
  for (const auto& [key, value] : event.items()) EXPECT_TRUE(allowed.count(key) != 0) << key;
  EXPECT_FALSE(event.at("name").get<std::string>().empty());
  EXPECT_TRUE(event.at("pid").is_number_integer() && event.at("tid").is_number_integer());
}

/// Checks what the format demands, and returns the complete events.
std::vector<nlohmann::json> complete_events(const nlohmann::json& trace) {
  for (const auto& [key, value] : trace.items())
    EXPECT_TRUE(key == "traceEvents" || key == "displayTimeUnit" || key == "otherData") << key;
  EXPECT_TRUE(trace.at("displayTimeUnit") == "ns" || trace.at("displayTimeUnit") == "ms");
  EXPECT_TRUE(trace.at("otherData").is_object());
  std::vector<nlohmann::json> complete;
  std::set<std::string> labels;
  std::set<std::pair<int, int>> threads;
  for (const auto& event : trace.at("traceEvents")) {
    if (event.at("ph") == "M") {
      expect_fields(event, {"name", "ph", "pid", "tid", "args"});
      EXPECT_FALSE(event.at("args").at("name").get<std::string>().empty());
      labels.insert(event.at("name"));
      continue;
    }
    EXPECT_EQ(event.at("ph"), "X") << "neither a label nor a complete event";
    expect_fields(event, {"name", "cat", "ph", "ts", "dur", "pid", "tid", "args"});
    EXPECT_TRUE(event.at("cat").is_string());
    EXPECT_TRUE(!event.contains("args") || event.at("args").is_object());
    threads.emplace(event.at("pid"), event.at("tid"));
    complete.push_back(event);
  }
  EXPECT_EQ(labels, (std::set<std::string>{"process_name", "thread_name"}));
  EXPECT_EQ(threads.size(), 1U) << "the steps of one call nest on one thread";
  for (const bool cut : {true, false}) expect_nested(complete, cut);
  return complete;
}

TEST_F(CommandTest, ProfileWritesTheCallAsATrace) {
  const std::string path = file("trace.json");
  const auto words = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"profile", fixture("graph/model.keras"), "--device", "cpu", "--seconds", "0.01", "--json"});
    return more;
  };
  const Result result = command(words({"--trace", path, "--batch", "3"}));
  ASSERT_EQ(result.code, kOk) << result.err;
  const auto table = nlohmann::json::parse(result.out);
  std::ifstream stream(path);
  const std::vector<nlohmann::json> complete = complete_events(nlohmann::json::parse(stream));
  ASSERT_EQ(complete.size(), table.at("steps").size() + 1);
  constexpr double kNear = 0.003;  // microseconds: rounded, and what is left free between steps
  const double call = table.at("microseconds").at("median");
  EXPECT_NEAR(complete[0].at("dur"), call, kNear + 1e-4 * call);
  double at = complete[0].at("ts");
  for (std::size_t i = 1; i < complete.size(); ++i) {
    const auto& step = table.at("steps")[i - 1];
    EXPECT_NEAR(complete[i].at("ts"), at, kNear + 1e-4 * call);
    EXPECT_NEAR(complete[i].at("dur"), step.at("microseconds"), kNear + 1e-4 * call);
    EXPECT_EQ(complete[i].at("args").at("engine"), step.at("engine"));
    for (const auto& layer : step.at("layers"))
      EXPECT_THAT(complete[i].at("name").get<std::string>(), HasSubstr(layer.get<std::string>()));
    at += step.at("microseconds").get<double>();
  }
  EXPECT_NEAR(at, call, kNear + 1e-4 * call);
  expect_refused(words({"--trace", file("no/trace.json")}), kFile, "no/trace.json");
}

}  // namespace
}  // namespace lamella::cli
