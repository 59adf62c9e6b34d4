// SPDX-License-Identifier: Apache-2.0
// Invalid CUDA plugins. A process opens the plugin once, so each case runs in its own process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>

#include "core/backend.hpp"

namespace lamella::core {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

/// why_no_cuda() in a process with this LAMELLA_CUDA_PLUGIN, which is killed after ten seconds.
std::string why_not(
    const std::string& path, const std::function<void()>& before = [] {}) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) return "no pipe";
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(10);
    ::setenv("LAMELLA_CUDA_PLUGIN", path.c_str(), 1);
    before();
    const std::string why = why_no_cuda_backend();
    const ssize_t written = ::write(ends[1], why.data(), why.size());
    ::_exit(written == static_cast<ssize_t>(why.size()) ? 0 : 1);
  }
  ::close(ends[1]);
  std::string why;
  std::array<char, 512> part{};
  for (ssize_t n = 0; (n = ::read(ends[0], part.data(), part.size())) > 0;) why.append(part.data(), static_cast<std::size_t>(n));
  ::close(ends[0]);
  int status = 0;
  if (::waitpid(child, &status, 0) != child || status != 0) return "ended with " + std::to_string(status);
  return why;
}

TEST(Plugin, ThatIsNotARegularFileIsNotOpened) {
  const auto folder = std::filesystem::temp_directory_path() / ("plugin_test_" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  const std::string fifo = (folder / "fifo").string();
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_THAT(why_not(fifo), HasSubstr("not a regular file"));
  EXPECT_THAT(why_not(folder.string()), HasSubstr("not a regular file"));
  EXPECT_THAT(why_not("/dev/zero"), HasSubstr("not a regular file"));
  EXPECT_THAT(why_not("/nowhere/at/all.so"), HasSubstr("cannot be opened"));
  std::filesystem::remove_all(folder);
}

TEST(Plugin, ThatIsMissingIsNamedWithWhereItComesFrom) {
  const std::string missing = why_not("liblamella_cuda.so");
  EXPECT_THAT(missing, HasSubstr("liblamella_cuda.so: cannot open shared object file"));
  EXPECT_THAT(missing, EndsWith(": install it"));
  EXPECT_THAT(why_not("/nowhere/at/all.so"), Not(HasSubstr("install it")));
}

TEST(Plugin, ThatThrowsIsAbsent) {
  EXPECT_THAT(why_not(THROWING_PLUGIN), HasSubstr("failed: thrown by \\x1B[31mthe plugin"));
  EXPECT_THAT(why_not(THROWING_PLUGIN, [] { ::setenv("THROW_A_NUMBER", "1", 1); }), HasSubstr("an exception of unknown type"));
}

constexpr int kRefused = 17;  ///< exit statuses of a copy of this program
constexpr int kThrown = 18;

/// What a copy of this program found: whether it opened the throwing plugin.
int answer_of(const std::filesystem::path& copy, const std::function<void()>& before) {
  const pid_t child = ::fork();
  if (child == 0) {
    before();
    ::setenv("PLUGIN_TEST_ASKS", "1", 1);
    for (const char* shards : {"GTEST_TOTAL_SHARDS", "GTEST_SHARD_INDEX"})
      ::unsetenv(shards);  // the copy runs one test, whatever the shard
    ::execl(copy.c_str(), copy.c_str(), "--gtest_filter=Plugin.OfTheEnvironment*", nullptr);
    ::_exit(19);
  }
  int status = 0;
  return ::waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Plugin, OfTheEnvironmentIsIgnoredByProgramsWithMoreRightsThanTheirCaller) {
  if (std::getenv("PLUGIN_TEST_ASKS") != nullptr)
    ::_exit(why_no_cuda_backend().find("thrown by") == std::string::npos ? kRefused : kThrown);
  if (::geteuid() != 0) GTEST_SKIP() << "only root can make a program that has other rights";
  const auto copy = std::filesystem::temp_directory_path() / ("plugin_test_setuid_" + std::to_string(::getpid()));
  std::filesystem::copy_file("/proc/self/exe", copy);
  const auto with_plugin = [] { ::setenv("LAMELLA_CUDA_PLUGIN", THROWING_PLUGIN, 1); };
  EXPECT_EQ(answer_of(copy, with_plugin), kThrown) << "as a program like any other";
  ASSERT_EQ(::chown(copy.c_str(), 65534, 65534), 0);
  ASSERT_EQ(::chmod(copy.c_str(), 04755), 0);
  EXPECT_EQ(answer_of(copy, with_plugin), kRefused) << "with rights of another user";
  std::filesystem::remove(copy);
}

TEST(Plugin, BesideTheLibraryIsOpenedOnlyWhereThereIsADriver) {
  if (::access("/dev/nvidiactl", F_OK) == 0) GTEST_SKIP() << "this machine has a driver";
  const auto folder = std::filesystem::temp_directory_path() / ("plugin_test_beside_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder / "driver");
  std::filesystem::copy_file("/proc/self/exe", folder / "program");
  std::filesystem::copy_file(THROWING_PLUGIN, folder / "liblamella_cuda.so");
  std::filesystem::copy_file(THROWING_PLUGIN, folder / "driver/libcuda.so.1");
  EXPECT_EQ(answer_of(folder / "program", [] { ::unsetenv("LAMELLA_CUDA_PLUGIN"); }), kRefused);
  const auto with_driver = [&] {
    ::unsetenv("LAMELLA_CUDA_PLUGIN");
    ::setenv("LD_LIBRARY_PATH", (folder / "driver").c_str(), 1);
  };
  EXPECT_EQ(answer_of(folder / "program", with_driver), kThrown);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace lamella::core
