// SPDX-License-Identifier: Apache-2.0
// Each allocation and each system call of the command's verbs fails in turn, alone or with all later ones: the exit code is a
// documented one, nothing leaks, and the output file is the old one or the new one.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>

#include "cli/verbs.hpp"
#include "effort.hpp"
#include "fault/faults.hpp"

namespace lamella::cli {
namespace {

/// Since version 2.2, CLI11 allocates memory in noexcept functions, so that a fault there ends the process. With it, faults start
/// after the command line is parsed.
constexpr bool kParserBearsFaults = CLI11_VERSION_MAJOR == 2 && CLI11_VERSION_MINOR < 2;
std::function<void()> at_run;  ///< called when the command line has been parsed

template <AddVerb add>
Registered watched(CLI::App& app) {
  Registered verb = add(app);
  verb.run = [run = std::move(verb.run)] {
    if (at_run) at_run();
    return run();
  };
  return verb;
}

constexpr AddVerb kVerbs[] = {watched<add_predict>, watched<add_summary>, watched<add_explain>,
                              watched<add_verify>,  watched<add_layers>,  watched<add_info>};
const std::string kModels = std::string(LAMELLA_SOURCE_DIR) + "/examples/models/";

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class CommandUnderFaults : public ::testing::Test {
 protected:
  CommandUnderFaults() { std::filesystem::create_directory(folder_); }
  ~CommandUnderFaults() override {
    std::filesystem::remove_all(folder_);
    for (const int file : {nothing_, console_, errors_}) ::close(file);
  }

  /// Runs the command without its output and returns the exit code.
  int command(const std::vector<std::string>& words, const std::function<void()>& begin = nullptr) const {
    return command_to(nothing_, words, begin);
  }
  int command_to(int out, const std::vector<std::string>& words, const std::function<void()>& begin = nullptr) const {
    std::vector<const char*> argv{"lamella"};
    for (const std::string& word : words) argv.push_back(word.c_str());
    print_to(out, nothing_);
    at_run = kParserBearsFaults ? nullptr : begin;
    if (begin && kParserBearsFaults) begin();
    const int code = run_command(static_cast<int>(argv.size()), argv.data(), kVerbs);
    injected_ = fault::disarm();
    print_to(console_, errors_);
    return code;
  }

  /// After each run, `check` inspects what is left; its argument says whether the run succeeded.
  void strike(const std::vector<std::string>& words, const std::function<void(bool)>& check = nullptr) {
    std::size_t total = 0;
    ASSERT_EQ(command(words), kOk);
    if (check) check(true);
    for (const bool forever : {false, true}) {
      for (std::size_t n = test::first_fault(); n < 200'000 && !HasFailure(); n += test::kOneFaultOf) {
        const std::size_t files = fault::open_files();
        const std::size_t blocks = fault::live_blocks();
        const int code = command(words, [&] { fault::arm(n, forever); });
        const std::size_t injected = injected_;
        total += injected;
        EXPECT_THAT(code, ::testing::AnyOf(kOk, kFile, kFailure)) << "a fault in call " << n;
        EXPECT_TRUE(code == kOk || injected > 0) << "failed without an injected fault at call " << n;
        EXPECT_EQ(fault::open_files(), files) << "a descriptor leaks after a fault in call " << n;
        EXPECT_EQ(fault::live_blocks(), blocks) << "memory leaks after a fault in call " << n;
        if (check) check(code == kOk);
        if (injected == 0) break;
      }
    }
    EXPECT_EQ(command(words), kOk);
    EXPECT_GT(total, (kParserBearsFaults ? 100U : 10U) / test::kOneFaultOf);
    RecordProperty("faults", static_cast<int>(total));
    std::printf("    %zu faults\n", total);
  }

  std::filesystem::path folder_ = std::filesystem::temp_directory_path() / ("cli_fault_" + std::to_string(::getpid()));

 private:
  static void print_to(int out, int err) {
    std::fflush(stdout);
    ::dup2(out, STDOUT_FILENO);
    ::dup2(err, STDERR_FILENO);
  }

  int nothing_ = ::open("/dev/null", O_WRONLY);
  int console_ = ::dup(STDOUT_FILENO);
  int errors_ = ::dup(STDERR_FILENO);
  mutable std::size_t injected_ = 0;
};

TEST_F(CommandUnderFaults, PredictLeavesTheOldFileOrTheNewOne) {
  const std::string output = (folder_ / "y.npy").string();
  const std::vector<std::string> words{"predict", kModels + "mlp.keras", "--input", kModels + "mlp_input.npy", "--output",
                                       output,    "--threads",           "1"};
  ASSERT_EQ(command(words), kOk);
  const std::string wanted = contents(output);
  ASSERT_FALSE(wanted.empty());
  const auto old = [&] { std::ofstream(output) << "old"; };
  old();
  strike(words, [&](bool done) {
    EXPECT_EQ(contents(output), done ? wanted : "old");
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1) << "something was left beside it";
    old();
  });
}

TEST_F(CommandUnderFaults, PredictFromCsvLeavesTheOldFileOrTheNewOne) {
  const std::string input = (folder_ / "x.csv").string();
  const std::string output = (folder_ / "y.csv").string();
  std::ofstream csv(input);
  for (int i = 0; i < 784; ++i) csv << (i == 0 ? "" : ",") << "\"column " << i << '"';
  for (int i = 0; i < 784; ++i) csv << (i == 0 ? "\r\n" : ",") << i % 7;
  csv.close();
  const std::vector<std::string> words{"predict", kModels + "mlp.keras", "-i", input, "-o", output, "--threads", "1"};
  ASSERT_EQ(command(words), kOk);
  const std::string wanted = contents(output);
  ASSERT_EQ(std::count(wanted.begin(), wanted.end(), '\n'), 2);
  const auto old = [&] { std::ofstream(output) << "old"; };
  old();
  strike(words, [&](bool done) {
    EXPECT_EQ(contents(output), done ? wanted : "old");
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 2) << "something was left beside it";
    old();
  });
}

TEST_F(CommandUnderFaults, VerifyNeverReportsAFalseDifference) {
  strike({"verify", kModels + "mlp.keras", "--input", kModels + "mlp_input.npy", "--expected", kModels + "mlp_expected.npy",
          "--threads", "1"});
}

TEST_F(CommandUnderFaults, Summary) { strike({"summary", kModels + "mlp.keras"}); }

TEST_F(CommandUnderFaults, Explain) { strike({"explain", kModels + "mlp.keras", "--threads", "1"}); }

TEST_F(CommandUnderFaults, ExplainAsJson) { strike({"explain", kModels + "mlp.keras", "--json", "--threads", "1"}); }

TEST_F(CommandUnderFaults, ReportsLostOutput) {
  const int full = ::open("/dev/full", O_WRONLY);
  ASSERT_GE(full, 0);
  EXPECT_EQ(command_to(full, {"summary", kModels + "mlp.keras"}), kFile);
  std::clearerr(stdout);
  EXPECT_EQ(command({"summary", kModels + "mlp.keras"}), kOk);
  ::close(full);
}

TEST_F(CommandUnderFaults, Layers) { strike({"layers"}); }

TEST_F(CommandUnderFaults, Info) { strike({"info", "--json"}); }

}  // namespace
}  // namespace lamella::cli
