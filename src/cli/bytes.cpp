// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <lamella/error.hpp>

#include "cli/rows.hpp"
#include "core/format.hpp"

namespace lamella::cli {
namespace {

[[noreturn]] void refuse_file(const std::string& name, const char* what) {
  const std::string why = std::strerror(errno);
  throw LoadError(ErrorCode::io, core::format("{}: {}: {}", printable(name), what, why));
}

}  // namespace

ByteStream::ByteStream(const std::string& path) : name_(path) {
  if (path == "-") {
    name_ = "(standard input)";
    file_ = STDIN_FILENO;
    return;
  }
  if (path.find('\0') != std::string::npos)
    throw LoadError(ErrorCode::io, core::format("{}: the path holds a NUL byte", printable(path)));
  do file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  while (file_ < 0 && errno == EINTR);
  if (file_ < 0) refuse_file(path, "cannot be opened");
  own_ = true;
  struct stat status {};
  if (::fstat(file_, &status) != 0 || S_ISDIR(status.st_mode)) {
    ::close(file_);
    errno = EISDIR;
    refuse_file(path, "cannot be read");
  }
}

ByteStream::~ByteStream() {
  if (own_) ::close(file_);
}

/// Reads more data after what has not been consumed yet.
bool ByteStream::fill() {
  constexpr std::size_t kBlock = std::size_t{1} << 16U;
  buffer_.erase(0, at_);
  at_ = 0;
  const std::size_t have = buffer_.size();
  buffer_.resize(have + kBlock);
  ssize_t got = 0;
  do got = ::read(file_, buffer_.data() + have, kBlock);
  while (got < 0 && errno == EINTR);
  buffer_.resize(have + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  if (got < 0) refuse_file(name_, "cannot be read");
  return got > 0;
}

std::string_view ByteStream::peek(std::size_t bytes) {
  while (buffer_.size() - at_ < bytes && fill()) {
  }
  return std::string_view(buffer_).substr(at_, bytes);
}

std::string_view ByteStream::peek_line(std::size_t most) {
  std::size_t seen = 0;
  while (true) {
    const std::string_view there = std::string_view(buffer_).substr(at_);
    const std::size_t end = there.find('\n', seen);
    if (end != std::string_view::npos) return there.substr(0, end);
    if (there.size() >= most) return there.substr(0, most);
    seen = there.size();
    if (!fill()) return std::string_view(buffer_).substr(at_);
  }
}

std::string ByteStream::take_peeked() {
  std::string rest = buffer_.substr(at_);
  buffer_.clear();
  at_ = 0;
  return rest;
}

}  // namespace lamella::cli
