// SPDX-License-Identifier: Apache-2.0
// tune and convert: what they print, and the files that later commands use.
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/command_support.hpp"

namespace lamella::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(CommandTest, TuneMeasuresWhatExplainAndPredictThenUse) {
  const std::string model = fixture("dense/model.keras");
  const std::vector<std::string> explain{"explain", model, "--device", "cpu", "--batch", "7"};
  EXPECT_THAT(command(explain).out, Not(HasSubstr(" us, measured")));
  const Result tuned = command({"tune", model, "--device", "cpu", "--batch", "7,3"});
  EXPECT_EQ(tuned.code, kOk) << tuned.err;
  EXPECT_EQ(tuned.err, "");
  EXPECT_THAT(tuned.out,
              AllOf(HasSubstr("batch 7 on cpu"), HasSubstr("batch 3 on cpu"), HasSubstr("[dense"), HasSubstr(" us, measured")));
  EXPECT_THAT(command(explain).out, HasSubstr(" us, measured before"));
  std::vector<std::string> by_rule = explain;
  by_rule.insert(by_rule.end(), {"--tuning", "off"});
  EXPECT_THAT(command(by_rule).out, Not(HasSubstr(" us, measured")));
  std::ifstream kept(measurements());
  EXPECT_EQ(nlohmann::json::parse(kept).at("format"), "lamella tuning 1");
  const Result as_json = command({"tune", model, "--device", "cpu", "--batch", "7", "--json"});
  const nlohmann::json tuned_json = nlohmann::json::parse(as_json.out).at(0);
  EXPECT_EQ(tuned_json.at("batch"), 7);
  const nlohmann::json ruled =
      nlohmann::json::parse(command({"explain", model, "--device", "cpu", "--batch", "7", "--tuning", "off", "--json"}).out);
  EXPECT_EQ(tuned_json.at("steps").at(0).at("by_rule"), ruled.at("steps").at(0).at("engine"));
  EXPECT_EQ(
      command({"verify", model, "-i", extracted("dense", "x"), "--expected", extracted("dense", "y"), "--tuning", "measure"})
          .code,
      kOk);
  std::filesystem::remove(measurements());
  expect_refused({"tune", model, "--batch", "0"}, kUsage, "--batch");
  expect_refused({"explain", model, "--tuning", "on"}, kUsage, "off, cached, measure");
}

TEST_F(CommandTest, ConvertWritesWhatVerifyAccepts) {
  const std::string model = fixture("dense/model.keras");
  for (const char* name : {"m.keras", "m.weights.h5"}) {
    const Result converted = command({"convert", model, "-o", file(name)});
    EXPECT_EQ(converted.code, kOk) << converted.err;
    EXPECT_EQ(converted.out + converted.err, "");
  }
  EXPECT_EQ(command(verify_dense(extracted("dense", "y"))).code, kOk);
  EXPECT_EQ(command({"verify", file("m.keras"), "-i", extracted("dense", "x"), "--expected", extracted("dense", "y")}).code, kOk);
  EXPECT_EQ(command({"convert", model, "--weights", file("m.weights.h5"), "-o", file("again.keras")}).code, kOk);
  EXPECT_EQ(command({"verify", file("again.keras"), "-i", extracted("dense", "x"), "--expected", extracted("dense", "y")}).code,
            kOk);
  expect_refused({"convert", model, "-o", file("m.onnx")}, kUsage, "allowed NAME.keras, NAME.weights.h5");
  expect_refused({"convert", std::string(LAMELLA_FIXTURES) + "/keras2/h5_dense/model.h5", "-o", file("old.keras")}, kInput,
                 "NAME.weights.h5");
  EXPECT_FALSE(std::filesystem::exists(file("old.keras")));
}

}  // namespace
}  // namespace lamella::cli
