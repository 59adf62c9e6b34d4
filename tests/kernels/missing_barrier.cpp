// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdio>
#include <cstring>

#include "kernels/device.hpp"

namespace {

using lamella::kernels::barrier;
using lamella::kernels::shared_memory;
using lamella::kernels::thread_index;

constexpr unsigned kThreads = 64;

/// Every thread reads what its neighbour has written, after a barrier if there is one.
[[maybe_unused]] LAMELLA_KERNEL(kThreads) rotate_kernel(int* dst, bool with_barrier) {
  auto& values = shared_memory<std::array<int, kThreads>>();
  barrier();
  values[thread_index()] = static_cast<int>(thread_index());
  if (with_barrier) barrier();
  dst[thread_index()] = values[(thread_index() + 1) % kThreads];
}

}  // namespace

/// missing_barrier with|without: the exit status is 77 where nothing watches for races.
int main(int count, char** arguments) {
#ifdef __SANITIZE_THREAD__
  const bool with_barrier = count > 1 && std::strcmp(arguments[1], "with") == 0;
  std::array<int, kThreads> dst{};
  const lamella::kernels::Launch how{.threads = kThreads, .shared = sizeof(dst), .barriers = true};
  return lamella::kernels::launch(how, rotate_kernel, dst.data(), with_barrier) == cudaSuccess ? 0 : 1;
#else
  static_cast<void>(count);
  static_cast<void>(arguments);
  std::puts("not built with ThreadSanitizer");
  return 77;
#endif
}
