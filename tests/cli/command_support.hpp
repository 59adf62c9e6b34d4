// SPDX-License-Identifier: Apache-2.0
// Runs the command inside the test's process.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <lamella/npy.hpp>
#include <string>
#include <vector>

#include "cli/verbs.hpp"

namespace lamella::cli {

inline constexpr AddVerb kVerbs[] = {add_predict, add_verify,  add_summary, add_explain, add_profile,
                                     add_tune,    add_convert, add_layers,  add_info,    add_completion};

class CommandTest : public ::testing::Test {
 protected:
  struct Result {
    int code = -1;
    std::string out, err;
  };

  CommandTest() {
    ::setenv("LAMELLA_TUNING_FILE", measurements().c_str(), 1);
    std::filesystem::create_directory(folder_);
  }
  ~CommandTest() override { std::filesystem::remove_all(folder_); }

  /// Where the process keeps its measurements: one file for all tests, because the variable is read once per process.
  static std::string measurements() {
    return (std::filesystem::temp_directory_path() / ("command_test_" + std::to_string(::getpid()) + ".json")).string();
  }
  static Result command(const std::vector<std::string>& words) {
    std::vector<const char*> argv{"lamella"};
    for (const std::string& word : words) argv.push_back(word.c_str());
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    Result result;
    result.code = run_command(static_cast<int>(argv.size()), argv.data(), kVerbs);
    result.out = ::testing::internal::GetCapturedStdout();
    result.err = ::testing::internal::GetCapturedStderr();
    return result;
  }
  /// Expects this exit code, an empty stdout, and one line on stderr that contains all of `words`.
  template <typename... Words>
  static void expect_refused(const std::vector<std::string>& arguments, int code, const Words&... words) {
    const Result result = command(arguments);
    EXPECT_EQ(result.code, code) << result.err;
    EXPECT_THAT(result.out, ::testing::IsEmpty());
    EXPECT_THAT(result.err, ::testing::AllOf(::testing::StartsWith("lamella: "), ::testing::HasSubstr(words)...));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
  [[nodiscard]] std::string file(const std::string& name) const { return (folder_ / name).string(); }
  static std::string fixture(const std::string& name) { return std::string(LAMELLA_FIXTURES) + "/keras3/" + name; }
  static Tensor fixture_array(const std::string& name, const std::string& array) {
    return std::move(load_npz(fixture(name + "/arrays.npz")).at(array));
  }
  /// Writes an array of a fixture to an npy file and returns its path.
  [[nodiscard]] std::string extracted(const std::string& name, const std::string& array) const {
    const std::string path = file("fixture_" + name + "_" + array + ".npy");
    save_npy(path, fixture_array(name, array));
    return path;
  }
  [[nodiscard]] std::vector<std::string> verify_dense(const std::string& expected) const {
    return {"verify", fixture("dense/model.keras"), "--input", extracted("dense", "x"), "--expected", expected};
  }

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path folder_ = std::filesystem::temp_directory_path() / ("command_test_" + std::to_string(::getpid()));
};

}  // namespace lamella::cli
