// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <lamella/error.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "keras/bytes.hpp"

namespace lamella::fuzz {

/// Reports a finding that no sanitizer sees: prints why and aborts.
[[noreturn]] inline void finding(std::string_view why) {
  std::fprintf(stderr, "FINDING: %.*s\n", static_cast<int>(why.size()), why.data());
  std::abort();
}

inline void expect(bool holds, std::string_view what) {
  if (!holds) finding(what);
}

/// Checks that a message is one line of printable text that ends in its code.
inline void check_message(const Error& error) {
  const std::string_view what = error.what();
  expect(what.ends_with("[" + std::string(to_string(error.code())) + "]"), "a message without its code");
  expect(what.size() < 16384, "a message of more than 16384 bytes");
  for (const char c : what) expect(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F, "a control byte in a message");
  expect(error.code() != ErrorCode::internal, what);
}

/// Runs f and returns whether it succeeded. It may only throw lamella's errors, and none with the code internal.
template <typename F>
bool survives(const F& f) {
  try {
    f();
    return true;
  } catch (const Error& error) {
    check_message(error);
  }
  return false;
}

/// The input in memory of exactly its size, so that the sanitizer catches a read past its end.
inline keras::OwnedBytes owned(const std::uint8_t* data, std::size_t size) {
  const keras::Buffer buffer(size);
  if (size != 0) std::memcpy(buffer.data, data, size);
  return buffer.freeze();
}

/// Takes an input apart, byte by byte; zeros when it is used up.
class Dice {
 public:
  Dice(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  [[nodiscard]] bool empty() const { return at_ >= size_; }
  std::uint8_t byte() { return empty() ? std::uint8_t{0} : data_[at_++]; }
  std::size_t below(std::size_t limit) { return limit == 0 ? 0 : (byte() | static_cast<std::size_t>(byte()) << 8U) % limit; }
  std::string text(std::size_t most) {
    std::string result;
    for (std::size_t left = below(most + 1); left > 0; --left) result += static_cast<char>(byte());
    return result;
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
  std::size_t at_ = 0;
};

}  // namespace lamella::fuzz
