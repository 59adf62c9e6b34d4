// SPDX-License-Identifier: Apache-2.0
#include "malformed/corpus.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace lamella::malformed {
namespace {

[[noreturn]] void die(const char* why) {
  std::fprintf(stderr, "corpus: %s\n", why);
  std::exit(2);
}

}  // namespace

Corpus::Corpus(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (file < 0 || ::fstat(file, &status) != 0) die("cannot be opened");
  size_ = static_cast<std::size_t>(status.st_size);
  void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file, 0);
  if (mapped == MAP_FAILED) die("cannot be mapped");
  static_cast<void>(::close(file));
  data_ = static_cast<const char*>(mapped);
  if (size_ < 4 || std::memcmp(data_, "LMC1", 4) != 0) die("is none");
  for (std::size_t at = 4; at < size_;) {
    const std::size_t begin = at;
    if (number(at, 1) == 1) {
      const std::uint64_t id = number(at, 4);
      const std::size_t length = number(at, 4);
      bases_[id] = {at, length};
      at += length;
    } else {
      at_.push_back(begin + 1);
      static_cast<void>(parse(at));
    }
  }
}

Case Corpus::read(std::size_t index) const {
  std::size_t at = at_.at(index);
  return parse(at);
}

std::uint64_t Corpus::number(std::size_t& at, std::size_t bytes) const {
  if (bytes > size_ - at) die("is cut off");
  std::uint64_t value = 0;
  std::memcpy(&value, data_ + at, bytes);
  at += bytes;
  return value;
}

std::string Corpus::text(std::size_t& at, std::size_t length) const {
  if (length > size_ - at) die("is cut off");
  std::string result(data_ + at, length);
  at += length;
  return result;
}

Matrix Corpus::matrix(std::size_t& at) const {
  Matrix result;
  result.rows = static_cast<std::int64_t>(number(at, 4));
  result.columns = static_cast<std::int64_t>(number(at, 4));
  const std::string raw = text(at, static_cast<std::size_t>(result.rows * result.columns) * sizeof(float));
  result.values.resize(raw.size() / sizeof(float));
  if (!raw.empty()) std::memcpy(result.values.data(), raw.data(), raw.size());
  return result;
}

Case Corpus::parse(std::size_t& at) const {
  Case result;
  result.family = text(at, number(at, 2));
  result.verdict = static_cast<Verdict>(number(at, 1));
  result.codes = text(at, number(at, 2));
  const std::string words = text(at, number(at, 2));
  for (std::size_t begin = 0; begin < words.size();) {
    const std::size_t end = std::min(words.find('\x1F', begin), words.size());
    result.words.push_back(words.substr(begin, end - begin));
    begin = end + 1;
  }
  if (number(at, 1) == 0) {
    result.bytes = text(at, number(at, 4));
  } else {
    const auto& [base, length] = bases_.at(number(at, 4));
    result.bytes.assign(data_ + base, length);
    for (std::uint64_t edits = number(at, 2); edits > 0; --edits) {
      const std::size_t offset = number(at, 4);
      const std::size_t erase = number(at, 4);
      result.bytes.replace(offset, erase, text(at, number(at, 4)));
    }
  }
  if (result.verdict == Verdict::accepted) {
    result.x = matrix(at);
    result.y = matrix(at);
  }
  return result;
}

}  // namespace lamella::malformed
