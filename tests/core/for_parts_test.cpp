// SPDX-License-Identifier: Apache-2.0
#include "core/threads.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

namespace lamella::core {
namespace {

constexpr double kMuch = 1e9;  ///< nanoseconds: enough work to wake all threads

/// How often each part was done.
std::vector<int> counts(std::int64_t parts, int threads, double nanoseconds) {
  std::vector<std::atomic<int>> done(static_cast<std::size_t>(parts));
  for_parts(parts, threads, nanoseconds, [&](std::int64_t i) { ++done[static_cast<std::size_t>(i)]; });
  return {done.begin(), done.end()};
}

TEST(ForParts, DoesEveryPartOnce) {
  for (const std::int64_t parts : {0, 1, 2, 3, 7, 127, 1027}) {
    for (const int threads : {1, 2, 3, 8}) {
      for (const double nanoseconds : {0.0, kMuch}) {
        EXPECT_EQ(counts(parts, threads, nanoseconds), std::vector<int>(static_cast<std::size_t>(parts), 1))
            << parts << " parts, " << threads << " threads";
      }
    }
  }
}

TEST(ForParts, UsesNoMoreThreadsThanAllowed) {
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  for_parts(200, 3, kMuch, [&](std::int64_t) {
    const int now = ++inside;
    for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
    }
    std::this_thread::yield();
    --inside;
  });
  EXPECT_LE(most, 3);
}

TEST(ForParts, ThrowsAPartsExceptionAfterAllPartsHaveEnded) {
  for (int repeat = 0; repeat < 50; ++repeat) {
    std::atomic<int> inside{0};
    const auto failing = [&] {
      for_parts(16, 4, kMuch, [&](std::int64_t i) {
        ++inside;
        if (i == 5) {
          --inside;
          throw std::runtime_error("part 5");
        }
        --inside;
      });
    };
    EXPECT_THROW(failing(), std::runtime_error);
    EXPECT_EQ(inside, 0);
  }
  EXPECT_EQ(counts(16, 4, kMuch), std::vector<int>(16, 1));
}

TEST(ForParts, MayBeCalledFromManyThreadsAndFromItsOwnParts) {
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int t = 0; t < 8; ++t) {
    callers.emplace_back([&] {
      for (int repeat = 0; repeat < 200; ++repeat) {
        std::atomic<int> done{0};
        for_parts(4, 4, kMuch, [&](std::int64_t) { for_parts(3, 2, kMuch, [&](std::int64_t) { ++done; }); });
        if (done != 12) ++wrong;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
}

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)  // as below
TEST(ForParts, HelpersIgnoreTheFloatingPointSettingsOfTheirCreator) {
  const pid_t child = fork();  // the child has no helpers yet and makes them now
  if (child == 0) {
    _mm_setcsr(0x6000U);  // rounds towards 0 and unmasks exceptions, which then raise a signal
    std::vector<std::atomic<unsigned>> seen(64);
    const auto caller = std::this_thread::get_id();
    for_parts(64, 4, kMuch, [&](std::int64_t i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      seen[static_cast<std::size_t>(i)] = std::this_thread::get_id() == caller ? 0x1F80U : _mm_getcsr() & ~0x3FU;
    });
    _exit(std::all_of(seen.begin(), seen.end(), [](const auto& part) { return part == 0x1F80U; }) ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}
#endif

#ifndef __SANITIZE_THREAD__  // which does not support forking a process with threads
TEST(ForParts, WorksInAChildProcess) {
  EXPECT_EQ(counts(64, 4, kMuch), std::vector<int>(64, 1));
  const pid_t child = fork();
  if (child == 0) _exit(counts(64, 4, kMuch) == std::vector<int>(64, 1) ? 0 : 1);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}
#endif

}  // namespace
}  // namespace lamella::core
