// SPDX-License-Identifier: Apache-2.0
// The number of processors that a process may use.
#include "core/processors.hpp"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

namespace lamella::core {
namespace {

class Processors : public ::testing::Test {
 protected:
  Processors() { std::filesystem::create_directories(root_); }
  ~Processors() override { std::filesystem::remove_all(root_); }
  void write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text << '\n';
  }
  [[nodiscard]] int quota(const std::string& groups) const {
    write("groups", groups);
    return quota_of_groups(root_ / "groups", root_);
  }
  const std::filesystem::path root_ =
      std::filesystem::temp_directory_path() / ("lamella_processors_" + std::to_string(::getpid()));
};

TEST_F(Processors, AreTheGroupsQuotaRoundedUp) {
  write("a/b/cpu.max", "150000 100000");
  EXPECT_EQ(quota("0::/a/b"), 2);
  write("a/b/cpu.max", "50000 100000");
  EXPECT_EQ(quota("0::/a/b"), 1);
  write("a/b/cpu.max", "max 100000");
  EXPECT_EQ(quota("0::/a/b"), 0);
}

TEST_F(Processors, AreLimitedByEnclosingGroups) {
  write("a/b/cpu.max", "800000 100000");
  write("a/cpu.max", "300000 100000");
  EXPECT_EQ(quota("0::/a/b"), 3);
  write("cpu.max", "200000 100000");  // a container sees its own group as the root
  EXPECT_EQ(quota("0::/not/seen/from/here"), 2);
}

TEST_F(Processors, AreReadFromBothVersionsOfControlGroups) {
  write("cpu/a/cpu.cfs_quota_us", "250000");
  write("cpu/a/cpu.cfs_period_us", "100000");
  EXPECT_EQ(quota("5:memory:/a\n4:cpu,cpuacct:/a\n1:name=systemd:/a"), 3);
  write("cpu/a/cpu.cfs_quota_us", "-1");
  EXPECT_EQ(quota("4:cpuacct,cpu:/a"), 0);
}

TEST_F(Processors, ShareTheLeastMemoryThatTheirGroupsAllow) {
  const auto memory = [&](const std::string& groups) {
    write("groups", groups);
    return memory_of_groups(root_ / "groups", root_);
  };
  write("a/b/memory.max", "max");
  EXPECT_EQ(memory("0::/a/b"), 0);
  write("a/memory.max", "8589934592");
  EXPECT_EQ(memory("0::/a/b"), 8589934592);
  write("a/b/memory.max", "4294967296");
  EXPECT_EQ(memory("0::/a/b"), 4294967296);
  write("memory.max", "1073741824");
  EXPECT_EQ(memory("0::/a/b"), 1073741824);
  write("memory/c/memory.limit_in_bytes", "2147483648");
  EXPECT_EQ(memory("5:cpu:/c\n4:memory:/c"), 2147483648);
  write("memory/c/memory.limit_in_bytes", "9223372036854771712");  // none
  EXPECT_EQ(memory("4:memory:/c"), 0);
  for (const char* text : {"", "abc", "-1", "0"}) {
    write("memory.max", text);
    EXPECT_EQ(memory("0::/"), 0) << text;
  }
}

TEST_F(Processors, AreUnlimitedIfTheQuotaCannotBeRead) {
  for (const char* groups : {"", "0::/a", "nonsense", "0:", "0::", "::", "4:cpu:"}) EXPECT_EQ(quota(groups), 0) << groups;
  for (const char* text : {"", "abc", "100", "0 100000", "100000 0", "-5 -5", "100000 max"}) {
    write("cpu.max", text);
    EXPECT_EQ(quota("0::/"), 0) << text;
  }
  EXPECT_EQ(quota_of_groups(root_ / "absent", root_), 0);
}

TEST_F(Processors, AreLimitedByTheAffinityMask) {
  cpu_set_t before;
  ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
  EXPECT_GE(usable_processors(), 1);
  EXPECT_LE(usable_processors(), CPU_COUNT(&before));
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  std::thread([&] {  // the affinity mask of this thread only
    if (::sched_setaffinity(0, sizeof one, &one) != 0) return;
    EXPECT_EQ(usable_processors(), 1);
  })
      .join();
}

}  // namespace
}  // namespace lamella::core
