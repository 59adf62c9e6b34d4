// SPDX-License-Identifier: Apache-2.0
#include "keras/bytes.hpp"
#include "core/host_memory_error.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>

#include "keras/where.hpp"

namespace lamella::keras {

namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kLargePage = std::size_t{2} << 20U;
constexpr std::size_t kBig = 4 * kLargePage;
constexpr std::size_t kReadAtOnce = std::size_t{1} << 30U;

std::shared_ptr<void> small_memory(std::size_t size) {
  void* memory = ::operator new (std::max<std::size_t>(size, 1), std::align_val_t{kAlignment});
  return {memory, [](void* p) { ::operator delete (p, std::align_val_t{kAlignment}); }};
}

/// Aligned to a large page, so that the kernel can use large pages.
std::shared_ptr<void> big_memory(std::size_t size) {
  const auto length = core::checked_add(size, kLargePage);
  if (!length) throw std::bad_alloc();
  void* base = ::mmap(nullptr, *length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) throw std::bad_alloc();
  const auto unmap = [base, bytes = *length](void*) { static_cast<void>(::munmap(base, bytes)); };
  const std::size_t past = reinterpret_cast<std::uintptr_t>(base) % kLargePage;
  std::byte* aligned = static_cast<std::byte*>(base) + (past == 0 ? 0 : kLargePage - past);
  static_cast<void>(::madvise(aligned, size, MADV_HUGEPAGE));
  return {aligned, unmap};
}

class Descriptor {
 public:
  explicit Descriptor(const std::string& path) {
    if (path.find('\0') != std::string::npos) return;
    do {
      value_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    } while (value_ < 0 && errno == EINTR);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (value_ >= 0) static_cast<void>(::close(value_));
  }
  [[nodiscard]] int value() const noexcept { return value_; }

 private:
  int value_ = -1;
};

std::string_view kind_of(mode_t mode) {
  return S_ISDIR(mode) ? "a directory" : S_ISFIFO(mode) ? "a fifo" : S_ISSOCK(mode) ? "a socket" : "a device";
}

/// pread of exactly `size` bytes; false if it fails.
bool read_at(int file, void* into, std::size_t size, std::size_t at) {
  for (std::size_t done = 0; done < size;) {
    const ssize_t got = ::pread(file, static_cast<std::byte*>(into) + done, size - done, static_cast<off_t>(at + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    done += static_cast<std::size_t>(got);
  }
  return true;
}

/// How far to shift an archive in memory so that its largest member, the weights, begins at a multiple of 64 and can be used in
/// place. Only a hint from the local headers, which are not trusted: a wrong hint costs a copy later.
std::size_t shift_of(int file, std::size_t size) {
  constexpr std::size_t kHeader = 30;
  constexpr int kMembers = 8;
  std::size_t at = 0;
  for (int member = 0; member < kMembers && at + kHeader <= size; ++member) {
    std::array<unsigned char, kHeader> header{};
    if (!read_at(file, header.data(), header.size(), at)) return 0;
    const auto number = [&](std::size_t from, std::size_t bytes) {
      std::size_t value = 0;
      for (std::size_t i = bytes; i-- > 0;) value = value << 8U | header[from + i];
      return value;
    };
    if (number(0, 4) != 0x04034B50U) return 0;
    const std::size_t packed = number(18, 4);
    const std::size_t data = at + kHeader + number(26, 2) + number(28, 2);
    if (packed > size / 2) return (kAlignment - data % kAlignment) % kAlignment;
    if (packed == 0 && (number(6, 2) & 8U) != 0) return 0;  // its size follows its data
    at = data + packed;
  }
  return 0;
}

/// The size of an open regular file.
std::size_t opened_size(const Descriptor& file, const std::string& path, const Where& where) {
  if (path.find('\0') != std::string::npos) where.fail(ErrorCode::io, "the path holds a NUL byte");
  if (file.value() < 0) where.fail(ErrorCode::io, "cannot be opened: {}", std::strerror(errno));
  struct stat status {};
  if (::fstat(file.value(), &status) != 0) where.fail(ErrorCode::io, "cannot be examined: {}", std::strerror(errno));
  if (!S_ISREG(status.st_mode)) where.fail(ErrorCode::io, "is {}, expected a regular file", kind_of(status.st_mode));
  return static_cast<std::size_t>(status.st_size);
}

Buffer memory_for(std::size_t size, const Where& where) {
  try {
    return Buffer(size);
  } catch (const std::bad_alloc&) {
    throw core::HostMemoryError(core::format("{}: cannot allocate", where.text()).c_str(), size);
  }
}

}  // namespace

Buffer::Buffer(std::size_t bytes) : owner(bytes < kBig ? small_memory(bytes) : big_memory(bytes)), data(), size(bytes) {
  data = static_cast<std::byte*>(owner.get());
}

FileBytes::FileBytes(const std::string& path, const Look& look) {
  const Where where(path);
  const Descriptor file(path);
  const std::size_t size = opened_size(file, path, where);
  if (look) {
    const Glance glance = [&](std::uint64_t at, std::size_t most) {
      std::string bytes(at >= size ? 0 : std::min<std::uint64_t>(most, size - at), '\0');
      if (!read_at(file.value(), bytes.data(), bytes.size(), at)) where.fail(ErrorCode::io, "cannot be read at byte {}", at);
      return bytes;
    };
    look(glance, size);
  }
  const std::size_t shift = shift_of(file.value(), size);
  const Buffer buffer = memory_for(size + shift, where);
  std::byte* const data = buffer.data + shift;
  for (std::size_t done = 0; done < size;) {
    const ssize_t got = ::pread(file.value(), data + done, std::min(size - done, kReadAtOnce), static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) where.fail(ErrorCode::io, "cannot be read at byte {}: {}", done, std::strerror(errno));
    if (got == 0) where.fail(ErrorCode::io, "ended at byte {} while it was read; it had {} bytes when opened", done, size);
    done += static_cast<std::size_t>(got);
  }
  contents_ = {buffer.owner, Bytes{data, size}};
}

std::uint64_t ByteReader::uint(std::size_t size) {
  LAMELLA_ASSERT(size <= 8, "a number of {} bytes", size);
  const Bytes raw = bytes(size);
  std::uint64_t value = 0;
  for (std::size_t i = size; i-- > 0;) value = value << 8U | std::to_integer<std::uint64_t>(raw[i]);
  return value;
}

Bytes ByteReader::bytes(std::uint64_t size) {
  if (size > left()) {
    fail(code_, where_, "{} is truncated: {} bytes needed at its byte {}, {} left", what_, size, position_, left());
  }
  const Bytes result = bytes_.subspan(position_, static_cast<std::size_t>(size));
  position_ += static_cast<std::size_t>(size);
  return result;
}

void ByteReader::seek(std::uint64_t position) {
  if (position > bytes_.size()) fail(code_, where_, "{}: byte {} is past its end at {}", what_, position, bytes_.size());
  position_ = static_cast<std::size_t>(position);
}

}  // namespace lamella::keras
