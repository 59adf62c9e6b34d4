// SPDX-License-Identifier: Apache-2.0
#include <sys/mman.h>

#include <cstdlib>
#include <limits>

#include "core/backend.hpp"
#include "core/host_memory_error.hpp"

namespace lamella::core {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20U;

}  // namespace

std::shared_ptr<void> allocate_host(std::size_t bytes) {
  const bool large = bytes >= 4 * kHugePage;
  const std::size_t alignment = large ? kHugePage : kAlignment;
  const bool fits = bytes <= std::numeric_limits<std::size_t>::max() / 2;
  const std::size_t rounded = fits ? (bytes + alignment - 1) / alignment * alignment : 0;
  void* memory = fits ? std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded) : nullptr;
  if (memory == nullptr) throw HostMemoryError("[cpu] cannot allocate", bytes);
  if (large) static_cast<void>(madvise(memory, rounded, MADV_HUGEPAGE));  // fewer page faults; a refusal costs nothing
  return {memory, [](void* p) { std::free(p); }};
}

}  // namespace lamella::core
