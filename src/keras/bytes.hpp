// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <lamella/error.hpp>

#include "core/check.hpp"

namespace lamella::keras {

using Bytes = std::span<const std::byte>;

/// Bytes and the owner of their memory.
struct OwnedBytes {
  std::shared_ptr<void> owner;
  Bytes bytes;
};

/// Throws LoadError(code) with the text `where: message`.
template <typename... Args>
[[noreturn]] void fail(ErrorCode code, std::string_view where, core::FormatString<Args...> message, const Args&... args) {
  throw LoadError(code, core::format("{}: {}", where, core::format(message, args...)));
}

/// Uninitialised or zeroed memory of `size` bytes, 64-byte aligned, writable through `data`. Requests large pages if it is
/// big.
struct Buffer {
  explicit Buffer(std::size_t size);
  [[nodiscard]] OwnedBytes freeze() const { return {owner, Bytes{data, size}}; }
  std::shared_ptr<void> owner;
  std::byte* data;
  std::size_t size;
};

/// A whole regular file, read once into our own memory, so that later changes of the file cannot affect us.
class FileBytes {
 public:
  /// Up to `most` bytes starting at `at`.
  using Glance = std::function<std::string(std::uint64_t at, std::size_t most)>;
  /// May throw if the file is not worth reading.
  using Look = std::function<void(const Glance& glance, std::uint64_t size)>;

  /// `look` is called before anything is read. Throws LoadError: io if it cannot be opened, is not a regular file, or shrinks
  /// while it is read; std::bad_alloc with the size if there is not enough memory.
  explicit FileBytes(const std::string& path, const Look& look = nullptr);

  [[nodiscard]] const OwnedBytes& contents() const noexcept { return contents_; }
  [[nodiscard]] Bytes bytes() const noexcept { return contents_.bytes; }

 private:
  OwnedBytes contents_;
};

[[nodiscard]] inline std::string_view as_text(Bytes bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// A little-endian cursor that never leaves its bytes: each overrun is LoadError(code) `where: what: ...`.
/// `where` and `what` must outlive the reader.
class ByteReader {
 public:
  ByteReader(Bytes bytes, ErrorCode code, std::string_view where, std::string_view what) noexcept
      : bytes_(bytes), where_(where), what_(what), code_(code) {}

  [[nodiscard]] std::uint8_t u8() { return static_cast<std::uint8_t>(uint(1)); }
  [[nodiscard]] std::uint16_t u16() { return static_cast<std::uint16_t>(uint(2)); }
  [[nodiscard]] std::uint32_t u32() { return static_cast<std::uint32_t>(uint(4)); }
  [[nodiscard]] std::uint64_t u64() { return uint(8); }
  /// An unsigned number of `size` bytes, 0..8.
  [[nodiscard]] std::uint64_t uint(std::size_t size);
  [[nodiscard]] Bytes bytes(std::uint64_t size);
  [[nodiscard]] std::string_view text(std::uint64_t size) { return as_text(bytes(size)); }
  void skip(std::uint64_t size) { static_cast<void>(bytes(size)); }
  void seek(std::uint64_t position);
  [[nodiscard]] std::size_t at() const noexcept { return position_; }
  [[nodiscard]] std::size_t left() const noexcept { return bytes_.size() - position_; }

 private:
  Bytes bytes_;
  std::string_view where_;
  std::string_view what_;
  std::size_t position_ = 0;
  ErrorCode code_;
};

}  // namespace lamella::keras
