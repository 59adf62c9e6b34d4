// SPDX-License-Identifier: Apache-2.0
// An edited config.json of a fixture, and how it is refused.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>

#include "keras/refused.hpp"
#include "keras/repacked.hpp"

namespace lamella::test {

using Json = nlohmann::json;
using E = ErrorCode;

struct Case {
  const char* name;
  const char* from;
  std::function<void(Json&)> edit;  ///< edits the whole config.json
  ErrorCode code;
  std::vector<std::string> words;
};

inline void PrintTo(const Case& item, std::ostream* out) { *out << item.name; }

inline std::function<void(Json&)> set(const char* key, const Json& value) {
  return [key, value](Json& config) { dense(config)[key] = value; };
}
inline std::function<void(Json&)> become(const char* class_name, const Json& config) {
  return [class_name, config](Json& model) {
    Json& object = layer(model, 1);
    object["class_name"] = class_name;
    object["config"] = config;
    object["config"]["name"] = "dense";
  };
}
inline Json function(const Json& config) {
  return {{"module", "builtins"}, {"class_name", "function"}, {"config", config}, {"registered_name", "f"}};
}

inline std::string case_name(const ::testing::TestParamInfo<Case>& item) { return item.param.name; }

class MalformedConfig : public ::testing::TestWithParam<Case> {};

TEST_P(MalformedConfig, IsRefused) {
  Json config = Json::parse(member(fixture(GetParam().from), "config.json"));
  GetParam().edit(config);
  const TemporaryFile file(repacked(GetParam().from, config.dump()));
  expect_refused(file.path(), GetParam().code, GetParam().words);
}

}  // namespace lamella::test
