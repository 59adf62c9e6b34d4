// SPDX-License-Identifier: Apache-2.0
// The files that save_npy() leaves, with other users, links, pipes, devices and signals involved.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <lamella/lamella.hpp>
#include <string>
#include <thread>
#include <vector>

namespace lamella {
namespace {

namespace fs = std::filesystem;

class OutputFile : public ::testing::Test {
 protected:
  OutputFile() { fs::create_directories(folder_); }
  ~OutputFile() override { fs::remove_all(folder_); }
  [[nodiscard]] std::string at(const std::string& name) const { return (folder_ / name).string(); }
  [[nodiscard]] std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) names.push_back(entry.path().filename().string());
    return names;
  }
  static unsigned mode(const std::string& path) {
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 ? status.st_mode & 07777U : 0;
  }
  static std::string bytes(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  /// An array of `elements` elements, each of which is that number.
  static Tensor array(std::int64_t elements) {
    Tensor tensor{Shape{elements}};
    for (float& element : tensor.span<float>()) element = static_cast<float>(elements);
    return tensor;
  }
  static void expect_holds(const std::string& path, std::int64_t elements) {
    const Tensor found = load_npy(path);
    ASSERT_EQ(found.shape(), Shape{elements});
    for (const float element : found.span<float>()) ASSERT_EQ(element, static_cast<float>(elements));
  }

  fs::path folder_ = fs::temp_directory_path() / ("output_file_test_" + std::to_string(::getpid()));
};

TEST_F(OutputFile, GetsTheProcessDefaultModeIfNew) {
  const mode_t before = ::umask(027);
  save_npy(at("new.npy"), array(3));
  ::umask(before);
  EXPECT_EQ(mode(at("new.npy")), 0640U);
  EXPECT_THAT(files(), ::testing::ElementsAre("new.npy"));
}

TEST_F(OutputFile, KeepsTheModeOfTheReplacedFile) {
  for (const mode_t wanted : {0600U, 0604U, 0755U, 04711U}) {
    save_npy(at("y.npy"), array(3));
    ASSERT_EQ(::chmod(at("y.npy").c_str(), wanted), 0);
    save_npy(at("y.npy"), array(5));
    EXPECT_EQ(mode(at("y.npy")), wanted);
    expect_holds(at("y.npy"), 5);
    fs::remove(at("y.npy"));
  }
}

TEST_F(OutputFile, KeepsTheOwnerWhereThatIsAllowed) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root may change a file's owner";
  save_npy(at("y.npy"), array(3));
  ASSERT_EQ(::chown(at("y.npy").c_str(), 12345, 54321), 0);
  save_npy(at("y.npy"), array(5));
  struct stat status {};
  ASSERT_EQ(::stat(at("y.npy").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 12345U);
  EXPECT_EQ(status.st_gid, 54321U);
}

TEST_F(OutputFile, IsNotWrittenIfTheOldOneIsReadOnly) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write everything";
  save_npy(at("y.npy"), array(3));
  ASSERT_EQ(::chmod(at("y.npy").c_str(), 0444), 0);
  EXPECT_THROW(save_npy(at("y.npy"), array(5)), Error);
  expect_holds(at("y.npy"), 3);
}

TEST_F(OutputFile, LeavesTheOldContentToOtherLinks) {
  save_npy(at("y.npy"), array(3));
  fs::create_hard_link(at("y.npy"), at("other.npy"));
  save_npy(at("y.npy"), array(5));
  expect_holds(at("y.npy"), 5);
  expect_holds(at("other.npy"), 3);
}

TEST_F(OutputFile, FollowsSymlinksToExistingAndMissingFiles) {
  fs::create_directory(at("far"));
  save_npy(at("far/old.npy"), array(3));
  fs::create_symlink("far/old.npy", at("to_old"));
  fs::create_symlink("to_old", at("twice"));
  fs::create_symlink("far/new.npy", at("to_new"));
  fs::create_symlink(at("far/absolute.npy"), at("to_absolute"));
  for (const char* link : {"twice", "to_new", "to_absolute"}) {
    save_npy(at(link), array(5));
    EXPECT_TRUE(fs::is_symlink(at(link))) << link;
  }
  for (const char* file : {"far/old.npy", "far/new.npy", "far/absolute.npy"}) expect_holds(at(file), 5);
  EXPECT_TRUE(fs::is_symlink(at("to_old")));
  EXPECT_EQ(std::distance(fs::directory_iterator(at("far")), {}), 3);
}

TEST_F(OutputFile, RefusesFoldersAndLinksInACircle) {
  fs::create_directory(at("folder"));
  fs::create_symlink("circle", at("circle"));
  for (const std::string& path : {at("folder"), at("folder/"), at("circle"), at("none/y.npy"), std::string(), at("y.npy/")}) {
    try {
      save_npy(path, array(5));
      ADD_FAILURE() << path;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::io) << error.what();
    }
  }
  EXPECT_THAT(files(), ::testing::UnorderedElementsAre("folder", "circle"));
}

TEST_F(OutputFile, AcceptsTheLongestNames) {
  const std::string name(255, 'n');
  save_npy(at(name), array(3));
  save_npy(at(name), array(5));
  expect_holds(at(name), 5);
  EXPECT_EQ(files().size(), 1U);
}

TEST_F(OutputFile, IsWrittenIntoAFifo) {
  save_npy(at("wanted.npy"), array(100'000));
  ASSERT_EQ(::mkfifo(at("fifo").c_str(), 0600), 0);
  std::string read;
  std::thread reader([&] { read = bytes(at("fifo")); });
  save_npy(at("fifo"), array(100'000));
  reader.join();
  EXPECT_EQ(read, bytes(at("wanted.npy")));
  EXPECT_TRUE(fs::is_fifo(at("fifo")));
}

TEST_F(OutputFile, FailsWithoutASignalWhenTheReaderOfAFifoIsGone) {
  ASSERT_EQ(::mkfifo(at("fifo").c_str(), 0600), 0);
  std::thread reader([&] {
    const int file = ::open(at("fifo").c_str(), O_RDONLY);
    std::array<char, 10> some{};
    EXPECT_GT(::read(file, some.data(), some.size()), 0);
    ::close(file);
  });
  EXPECT_THROW(save_npy(at("fifo"), array(1'000'000)), Error);
  reader.join();
}

TEST_F(OutputFile, IsWrittenIntoDevicesWithoutReplacingThem) {
  // Uses a device node made for the test: root could lose the machine's own in /dev.
  if (::geteuid() == 0 && ::mknod(at("null").c_str(), S_IFCHR | 0600, makedev(1, 3)) != 0)
    GTEST_SKIP() << "device nodes cannot be made here";
  const std::string null = ::geteuid() == 0 ? at("null") : "/dev/null";
  try {
    save_npy(null, array(5));
  } catch (const Error& error) {
    GTEST_SKIP() << "devices cannot be opened here: " << error.what();
  }
  EXPECT_TRUE(fs::is_character_file(null));
}

TEST_F(OutputFile, IsWrittenIntoADescriptorAtItsPosition) {
  save_npy(at("wanted.npy"), array(5));
  const int file = ::open(at("y").c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_EQ(::write(file, "before", 6), 6);
  save_npy("/dev/fd/" + std::to_string(file), array(5));
  ASSERT_EQ(::write(file, "behind", 6), 6) << "the descriptor was closed";
  ::close(file);
  EXPECT_EQ(bytes(at("y")), "before" + bytes(at("wanted.npy")) + "behind");
  EXPECT_THROW(save_npy("/dev/fd/987", array(5)), Error);
}

TEST_F(OutputFile, IsTheOldOneWhenThereIsNoSpaceLeft) {
  save_npy(at("y.npy"), array(3));
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100'000, 100'000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      save_npy(at("y.npy"), array(1'000'000));
    } catch (const Error& error) {
      ::_exit(error.code() == ErrorCode::io ? 0 : 2);
    }
    ::_exit(1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  expect_holds(at("y.npy"), 3);
  EXPECT_THAT(files(), ::testing::ElementsAre("y.npy"));
}

TEST_F(OutputFile, LeavesNothingBehindWhenASignalEndsTheProcess) {
  save_npy(at("y.npy"), array(1000));
  for (int i = 0; i < 40; ++i) {
    std::array<int, 2> begun{};
    ASSERT_EQ(::pipe(begun.data()), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      const Tensor large = array(3'000'000);
      ASSERT_EQ(::write(begun[1], "x", 1), 1);
      save_npy(at(i % 2 == 0 ? "y.npy" : "new.npy"), large);
      ::pause();
    }
    char byte = 0;
    ASSERT_EQ(::read(begun[0], &byte, 1), 1);
    ::usleep(static_cast<useconds_t>(i * 300));
    ::kill(child, i % 4 < 2 ? SIGINT : SIGTERM);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ::close(begun[0]);
    ::close(begun[1]);
    for (const std::string& name : files()) {
      ASSERT_TRUE(name == "y.npy" || name == "new.npy") << name;
      const std::int64_t elements = load_npy(at(name)).shape()[0];
      ASSERT_TRUE(elements == 3'000'000 || (elements == 1000 && name == "y.npy")) << elements;
    }
    fs::remove(at("new.npy"));
  }
}

}  // namespace
}  // namespace lamella
