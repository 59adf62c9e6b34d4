// SPDX-License-Identifier: Apache-2.0
// Processes that end, fork, and work with little memory; they run process_subject.
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "effort.hpp"

extern char** environ;

namespace {

using Clock = std::chrono::steady_clock;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

/// How a process ended: "exit 0", "signal 11", ...; it is killed after `limit`.
std::string outcome(const std::vector<std::string>& words, std::chrono::seconds limit,
                    const std::vector<std::string>& variables = {}) {
  std::vector<char*> argv;
  std::string program = PROCESS_SUBJECT;
  argv.push_back(program.data());
  std::vector<std::string> copies = words;
  for (std::string& word : copies) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::vector<std::string> settings = variables;
  std::vector<char*> environment;
  for (std::string& setting : settings) environment.push_back(setting.data());
  for (char** variable = environ; *variable != nullptr; ++variable) environment.push_back(*variable);
  environment.push_back(nullptr);
  pid_t child = 0;
  if (::posix_spawn(&child, program.c_str(), nullptr, nullptr, argv.data(), environment.data()) != 0) return "not started";
  const auto until = Clock::now() + limit;
  int status = 0;
  while (::waitpid(child, &status, WNOHANG) == 0) {
    if (Clock::now() > until) {
      ::kill(child, SIGKILL);
      static_cast<void>(::waitpid(child, &status, 0));
      return "no end";
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return WIFEXITED(status) ? "exit " + std::to_string(WEXITSTATUS(status)) : "signal " + std::to_string(WTERMSIG(status));
}

TEST(ProcessInstructionSet, IsTheOneAllowed) {
  for (const char* allowed : {"", "generic", "avx2", "avx512"}) {
    const std::string variable = std::string("LAMELLA_MAX_CPU_ISA=") + allowed;
    EXPECT_EQ(outcome({"instruction_set"}, std::chrono::seconds(60), {variable}), "exit 0") << variable;
  }
  EXPECT_EQ(outcome({"instruction_set"}, std::chrono::seconds(60), {"LAMELLA_MAX_CPU_ISA=AVX2"}), "exit 1");
}

TEST(ProcessEnd, StaticObjectsPredictAfterEverythingElseIsDestroyed) {
  for (const char* engine : {"", "onednn_epilogue"}) {
    EXPECT_EQ(outcome({"static", engine}, std::chrono::seconds(60)), "exit 0") << engine;
    EXPECT_EQ(outcome({"static", engine}, std::chrono::seconds(60), {"ONEDNN_MAX_CPU_ISA=AVX2"}), "exit 0") << engine;
  }
}

TEST(ProcessEnd, IsCleanWhileOtherThreadsLoadAndPredict) {
  for (int i = 0; i < 20; i += lamella::test::kOneCaseOf) {
    for (const char* engine : {"", "onednn_epilogue"}) {
      EXPECT_EQ(outcome({"end", "exit", engine}, std::chrono::seconds(60)), "exit 0") << engine;
      EXPECT_EQ(outcome({"end", "exit", engine}, std::chrono::seconds(60), {"ONEDNN_MAX_CPU_ISA=AVX2"}), "exit 0") << engine;
    }
    EXPECT_EQ(outcome({"end", "quick"}, std::chrono::seconds(60)), "exit 0");
  }
}

TEST(Fork, WhileThreadsLoadAndPredictGivesAChildThatCanToo) {
  if (kSanitized) GTEST_SKIP() << "the sanitizer's own allocator may be locked in a child";
  EXPECT_EQ(outcome({"fork", "100"}, std::chrono::seconds(300)), "exit 0");
}

/// At every limit on memory there is an answer or one of the library's errors, and each of these occurs.
void sweep(const std::string& engine, const std::vector<std::string>& variables) {
  constexpr std::size_t kMiB = std::size_t{1} << 20U;
  int answers = 0;
  int errors = 0;
  for (std::size_t limit = 24 * kMiB; limit < 400 * kMiB && answers < 5; limit += kMiB * lamella::test::kOneCaseOf) {
    const std::string found = outcome({"memory", std::to_string(limit), engine}, std::chrono::seconds(60), variables);
    EXPECT_TRUE(found == "exit 0" || found == "exit 1") << found << " with " << limit << " bytes, engine '" << engine << "'";
    answers += found == "exit 0" ? 1 : 0;
    errors += found == "exit 1" ? 1 : 0;
  }
  EXPECT_GT(answers, 0) << engine;
  EXPECT_GT(errors, 0) << engine;
}

TEST(LittleMemory, EndsInAnAnswerOrAnErrorOfTheLibrary) {
  if (kSanitized) GTEST_SKIP() << "the sanitizer maps more than every limit here";
  for (const char* engine : {"", "onednn_epilogue", "reference"}) sweep(engine, {});
}

TEST(LittleMemory, DoesSoWithOtherInstructionSetsOfOneDnn) {
  if (kSanitized) GTEST_SKIP() << "the sanitizer maps more than every limit here";
  sweep("onednn_epilogue", {"ONEDNN_MAX_CPU_ISA=AVX2"});
  sweep("onednn_epilogue", {"ONEDNN_MAX_CPU_ISA=SSE41"});
}

TEST(LittleStack, Of64KiBIsEnough) { EXPECT_EQ(outcome({"stack", "65536"}, std::chrono::seconds(60)), "exit 0"); }

}  // namespace
