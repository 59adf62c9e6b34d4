// SPDX-License-Identifier: Apache-2.0
// This program's definitions take precedence over the libraries'; the real functions are the next ones in lookup order.
#include "fault/faults.hpp"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {

std::atomic<bool> armed{false};
std::atomic<bool> forever{false};
std::atomic<std::size_t> countdown{0};
std::atomic<std::size_t> injected{0};
std::atomic<std::size_t> blocks{0};
std::atomic<bool> no_threads{false};
std::atomic<std::size_t> refused{0};
std::atomic<std::size_t> onednn_bytes{0};  ///< mapped by oneDNN since lamella last asked the system for memory
std::atomic<std::size_t> most_onednn_bytes{0};

/// Whether this call must fail.
bool fails() {
  if (!armed.load(std::memory_order_relaxed)) return false;
  const std::size_t left = countdown.load(std::memory_order_relaxed);
  if (left > 1) {
    countdown.store(left - 1, std::memory_order_relaxed);
    return false;
  }
  if (left == 0 && !forever.load(std::memory_order_relaxed)) return false;
  countdown.store(0, std::memory_order_relaxed);
  injected.fetch_add(1, std::memory_order_relaxed);
  return true;
}

template <typename F>
F next(const char* name) {
  return reinterpret_cast<F>(::dlsym(RTLD_NEXT, name));
}

template <typename R>
R failed(int error, R result) {
  errno = error;
  return result;
}

/// Whether a code address belongs to oneDNN.
bool is_onednn(const void* at) {
  struct Code {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
  };
  static const Code code = [] {
    Code found;
    static_cast<void>(::dl_iterate_phdr(
        [](dl_phdr_info* object, std::size_t, void* into) {
          if (std::strstr(object->dlpi_name, "libdnnl") == nullptr) return 0;
          for (int i = 0; i < object->dlpi_phnum; ++i) {
            const auto& part = object->dlpi_phdr[i];
            if (part.p_type != PT_LOAD || (part.p_flags & PF_X) == 0) continue;
            const std::uintptr_t begin = object->dlpi_addr + part.p_vaddr;
            *static_cast<Code*>(into) = {begin, begin + part.p_memsz};
          }
          return 1;
        },
        &found));
    return found;
  }();
  const auto address = reinterpret_cast<std::uintptr_t>(at);
  return address >= code.begin && address < code.end;
}

/// A header before each block says whether the block counts; it is as large as the block's alignment.
std::size_t room_before(std::size_t alignment) { return std::max(alignment, alignof(std::max_align_t)); }

void* allocate(std::size_t bytes, std::size_t alignment, const void* caller) {
  if (fails()) return nullptr;
  const std::size_t before = room_before(alignment);
  void* memory = nullptr;
  if (bytes > SIZE_MAX - before || ::posix_memalign(&memory, before, bytes + before) != 0) return nullptr;
  auto* const block = static_cast<std::byte*>(memory) + before;
  const bool counts = !is_onednn(caller);
  block[-1] = std::byte{counts};
  if (counts) blocks.fetch_add(1, std::memory_order_relaxed);
  return block;
}

void* allocate_or_throw(std::size_t bytes, std::size_t alignment, const void* caller) {
  void* memory = allocate(bytes, alignment, caller);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void release(void* memory, std::size_t alignment = 0) noexcept {
  if (memory == nullptr) return;
  auto* const block = static_cast<std::byte*>(memory);
  if (block[-1] != std::byte{0}) blocks.fetch_sub(1, std::memory_order_relaxed);
  std::free(block - room_before(alignment));
}

}  // namespace

namespace lamella::fault {

void arm(std::size_t n, bool for_ever) {
  injected = 0;
  countdown = n;
  forever = for_ever;
  armed = true;
}

std::size_t disarm() {
  armed = false;
  return injected;
}

void refuse_threads(bool refuse) { no_threads = refuse; }
std::size_t refused_threads() { return refused; }

std::size_t live_blocks() { return blocks; }
std::size_t most_bytes_of_onednn() { return most_onednn_bytes; }

std::size_t open_files() {
  DIR* folder = ::opendir("/proc/self/fd");
  std::size_t count = 0;
  while (::readdir(folder) != nullptr) ++count;
  static_cast<void>(::closedir(folder));
  return count;
}

}  // namespace lamella::fault

#define CALLER __builtin_return_address(0)
void* operator new(std::size_t bytes) { return allocate_or_throw(bytes, 0, CALLER); }
void* operator new[](std::size_t bytes) { return allocate_or_throw(bytes, 0, CALLER); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return allocate_or_throw(bytes, static_cast<std::size_t>(alignment), CALLER);
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return allocate_or_throw(bytes, static_cast<std::size_t>(alignment), CALLER);
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return allocate(bytes, 0, CALLER); }
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept { return allocate(bytes, 0, CALLER); }
void operator delete(void* memory) noexcept { release(memory); }
void operator delete[](void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete[](void* memory, std::size_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t alignment) noexcept { release(memory, static_cast<std::size_t>(alignment)); }
void operator delete[](void* memory, std::align_val_t alignment) noexcept {
  release(memory, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory, std::size_t, std::align_val_t alignment) noexcept {
  release(memory, static_cast<std::size_t>(alignment));
}
void operator delete[](void* memory, std::size_t, std::align_val_t alignment) noexcept {
  release(memory, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory, const std::nothrow_t&) noexcept { release(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { release(memory); }

extern "C" {

/// Memory that oneDNN leaks when memory runs out inside it is not counted as ours, nor by the leak sanitizer.
__attribute__((visibility("default"))) const char* __lsan_default_suppressions() {  // NOLINT(bugprone-reserved-identifier)
  return "leak:libdnnl\n";
}

void* aligned_alloc(std::size_t alignment, std::size_t bytes) noexcept {
  void* memory = nullptr;
  return !fails() && ::posix_memalign(&memory, alignment, bytes) == 0 ? memory : nullptr;
}

char* strdup(const char* text) noexcept {
  static const auto real = next<char* (*)(const char*)>("strdup");
  return fails() ? failed<char*>(ENOMEM, nullptr) : real(text);
}

int inflateInit2_(z_streamp stream, int bits, const char* version, int size) {
  static const auto real = next<int (*)(z_streamp, int, const char*, int)>("inflateInit2_");
  return fails() ? Z_MEM_ERROR : real(stream, bits, version, size);
}

int open(const char* path, int flags, ...) {  // NOLINT(cert-dcl50-cpp): as POSIX declares it
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(more, mode_t) : 0;
  va_end(more);
  static const auto real = next<int (*)(const char*, int, ...)>("open");
  return fails() ? failed(EMFILE, -1) : real(path, flags, mode);
}

int fstat(int file, struct stat* status) noexcept {
  static const auto real = next<int (*)(int, struct stat*)>("fstat");
  return fails() ? failed(EIO, -1) : real(file, status);
}

ssize_t pread(int file, void* into, std::size_t bytes, off_t at) {
  static const auto real = next<ssize_t (*)(int, void*, std::size_t, off_t)>("pread");
  if (fails()) return failed<ssize_t>(EIO, -1);
  // Short reads are legal, so every read here is short.
  return real(file, into, bytes > 4096 && armed ? bytes / 2 : bytes, at);
}

ssize_t read(int file, void* into, std::size_t bytes) {
  static const auto real = next<ssize_t (*)(int, void*, std::size_t)>("read");
  return fails() ? failed<ssize_t>(EIO, -1) : real(file, into, bytes);
}

ssize_t write(int file, const void* from, std::size_t bytes) {
  static const auto real = next<ssize_t (*)(int, const void*, std::size_t)>("write");
  if (file > 2 && fails()) return failed<ssize_t>(ENOSPC, -1);
  return real(file, from, bytes > 64 && file > 2 && armed ? bytes / 2 : bytes);
}

int rename(const char* from, const char* to) noexcept {
  static const auto real = next<int (*)(const char*, const char*)>("rename");
  return fails() ? failed(EXDEV, -1) : real(from, to);
}

int fsync(int file) {
  static const auto real = next<int (*)(int)>("fsync");
  return fails() ? failed(EIO, -1) : real(file);
}

int linkat(int from_folder, const char* from, int to_folder, const char* to, int flags) noexcept {
  static const auto real = next<int (*)(int, const char*, int, const char*, int)>("linkat");
  return fails() ? failed(ENOSPC, -1) : real(from_folder, from, to_folder, to, flags);
}

int close(int file) {
  static const auto real = next<int (*)(int)>("close");
  const int result = real(file);  // even if close() fails, the file is closed
  return fails() ? failed(EIO, -1) : result;
}

// Called by libstdc++, so it needs default visibility.
__attribute__((visibility("default"))) int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                                                          void* (*start)(void*), void* argument) noexcept {
  static const auto real = next<int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*)>("pthread_create");
  if (no_threads || fails()) {
    refused.fetch_add(1, std::memory_order_relaxed);
    return EAGAIN;
  }
  return real(thread, attributes, start, argument);
}

#ifndef __SANITIZE_THREAD__  // its runtime maps memory before instrumented code can run
// Intercepts oneDNN's calls too. These do not fail, because oneDNN would write through the failed mapping; their bytes are
// counted.
__attribute__((visibility("default"))) void* mmap(void* at, std::size_t bytes, int protection, int flags, int file,
                                                  off_t offset) noexcept {
  static const auto real = next<void* (*)(void*, std::size_t, int, int, int, off_t)>("mmap");
  if (is_onednn(CALLER)) {
    onednn_bytes += bytes;
    most_onednn_bytes = std::max(most_onednn_bytes.load(), onednn_bytes.load());
    return real(at, bytes, protection, flags, file, offset);
  }
  onednn_bytes = 0;
  return fails() ? failed(ENOMEM, MAP_FAILED) : real(at, bytes, protection, flags, file, offset);
}
#endif

}  // extern "C"
