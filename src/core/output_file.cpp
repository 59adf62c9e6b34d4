// SPDX-License-Identifier: Apache-2.0
#include "core/output_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <optional>
#include <string_view>
#include <utility>

#include "core/check.hpp"
#include "core/format.hpp"
#include "core/number.hpp"

namespace lamella::core {
namespace {

/// The descriptor that a path such as /dev/stdout or /dev/fd/3 names.
std::optional<int> descriptor_of(std::string_view path) {
  if (path == "/dev/stdout") return STDOUT_FILENO;
  if (path == "/dev/stderr") return STDERR_FILENO;
  for (const std::string_view folder : {"/dev/fd/", "/proc/self/fd/"}) {
    if (!path.starts_with(folder)) continue;
    if (const auto number = number_in<int>(path.substr(folder.size())); number && *number >= 0) return number;
  }
  return std::nullopt;
}

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

/// The path with the symlinks at its end followed, even if the last one dangles.
std::string followed(std::string path) {
  constexpr int kMostLinks = 40;  // the kernel's limit
  for (int i = 0; i < kMostLinks; ++i) {
    std::array<char, 4096> target{};
    const ssize_t length = ::readlink(path.c_str(), target.data(), target.size());
    if (length <= 0 || static_cast<std::size_t>(length) == target.size()) break;
    const std::string next(target.data(), static_cast<std::size_t>(length));
    path = next[0] == '/' ? next : folder_of(path) + "/" + next;
  }
  return path;
}

/// Writing to a pipe without a reader fails, instead of ending the process by a signal.
class WithoutSigpipe {
 public:
  WithoutSigpipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~WithoutSigpipe() {
    const timespec now{};
    if (!was_pending_) static_cast<void>(sigtimedwait(&pipe_, nullptr, &now));
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  WithoutSigpipe(const WithoutSigpipe&) = delete;
  WithoutSigpipe& operator=(const WithoutSigpipe&) = delete;

 private:
  sigset_t pipe_{};
  sigset_t before_{};
  bool was_pending_ = false;
};

}  // namespace

OutputFile::OutputFile(const std::string& path) : path_(path) {
  if (const std::optional<int> descriptor = descriptor_of(path)) {
    in_place_ = true;
    file_ = ::fcntl(*descriptor, F_DUPFD_CLOEXEC, 0);
    if (file_ < 0) fail("cannot open");
    return;
  }
  target_ = followed(path);
  struct stat status {};
  const bool exists = ::stat(target_.c_str(), &status) == 0;
  if (!exists && errno != ENOENT) fail("cannot open");
  in_place_ = exists && !S_ISREG(status.st_mode);
  if (in_place_) {
    do file_ = ::open(target_.c_str(), O_WRONLY | O_CLOEXEC);
    while (file_ < 0 && errno == EINTR);
    if (file_ < 0) fail("cannot open");
    return;
  }
  if (exists && ::access(target_.c_str(), W_OK) != 0) fail("cannot open");
  open_beside(exists);
  if (!exists) return;
  // Changing the owner needs privileges that most processes lack; the mode is set afterwards, because chown() clears bits of it.
  if (status.st_uid != ::geteuid() || status.st_gid != ::getegid())
    static_cast<void>(::fchown(file_, status.st_uid, status.st_gid) == 0);
  static_cast<void>(::fchmod(file_, status.st_mode & 07777));
}

OutputFile::~OutputFile() {
  if (!temporary_.empty()) static_cast<void>(::unlink(temporary_.c_str()));
  if (file_ >= 0) static_cast<void>(::close(file_));
}

void OutputFile::open_beside(bool replaces) {
  replaces_ = replaces;
  // An unnamed file leaves nothing behind, whatever ends the process. It is linked through /proc.
  if (::access("/proc/self/fd", X_OK) == 0) file_ = ::open(folder_of(target_).c_str(), O_WRONLY | O_TMPFILE | O_CLOEXEC, 0666);
  if (file_ >= 0) return;
  file_ =
      with_new_name([](const std::string& name) { return ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); });
  if (file_ < 0) fail("cannot create a temporary file beside it");
}

void OutputFile::write(const void* data, std::size_t bytes) {
  std::optional<WithoutSigpipe> without;
  if (in_place_) without.emplace();
  const auto* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(file_, at, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail("cannot write");
    at += written;
    bytes -= static_cast<std::size_t>(written);
  }
}

void OutputFile::finish() {
  if (in_place_) {
    const int file = file_;
    file_ = -1;
    if (::close(file) != 0) fail("cannot finish writing");
    return;
  }
  if (::fsync(file_) != 0) fail("cannot finish writing");  // or a system crash could leave the new name without content
  put_in_place();
}

void OutputFile::put_in_place() {
  if (temporary_.empty()) {
    const std::string unnamed = core::format("/proc/self/fd/{}", file_);
    const auto link = [&](const std::string& name) {
      return ::linkat(AT_FDCWD, unnamed.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW);
    };
    if (!replaces_ && link(target_) == 0) return;
    if (!replaces_ && errno != EEXIST) fail("cannot link into place");
    if (with_new_name(link) != 0) fail("cannot create a temporary file beside it");
  }
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail("cannot rename into place");
  temporary_.clear();
}

template <typename Make>
int OutputFile::with_new_name(const Make& make) {
  constexpr std::string_view kCharacters = "abcdefghijklmnopqrstuvwxyz0123456789";
  static std::atomic<std::uint64_t> counter{0};
  std::string name =
      folder_of(target_) + ".lamella-XXXXXX";  // short, because the target's name may already have the maximum length
  for (int attempt = 0; attempt < 100; ++attempt) {
    std::uint64_t number = (static_cast<std::uint64_t>(::getpid()) << 16U) + ++counter;
    for (std::size_t i = name.size() - 6; i < name.size(); ++i, number /= kCharacters.size())
      name[i] = kCharacters[number % kCharacters.size()];
    const int result = make(name);
    if (result >= 0) {
      temporary_ = std::move(name);
      return result;
    }
    if (errno != EEXIST && errno != EINTR) return result;
  }
  return -1;
}

void OutputFile::fail(const char* what) const {
  const std::string why = std::strerror(errno);
  throw Error(ErrorCode::io, core::format("{}: {}: {}", escaped(path_, 4096), what, why));
}

}  // namespace lamella::core
