// SPDX-License-Identifier: Apache-2.0
#include "arena.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) (static_cast<void>(address), static_cast<void>(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) (static_cast<void>(address), static_cast<void>(size))
#endif

namespace fake_cuda::inside {
namespace {

constexpr std::size_t kGranule = 256;  // cudaMalloc aligns to at least 256 bytes
constexpr std::size_t kRedZone = 256;
constexpr int kPoison = 0xFF;  // NaN in every floating type
constexpr unsigned char kRed = 0xCB;
constexpr std::size_t kPage = 4096;
constexpr std::size_t kQuarantine = std::size_t{4} << 20;  // about as much is handed out before memory is reused

std::size_t round_up(std::size_t value, std::size_t step) { return (value + step - 1) / step * step; }
unsigned char* bytes_at(std::uintptr_t address) { return reinterpret_cast<unsigned char*>(address); }

bool all_red(const unsigned char* begin, const unsigned char* end) {
  return std::all_of(begin, end, [](unsigned char byte) { return byte == kRed; });
}

}  // namespace

std::string name_of(const Allocation& allocation) {
  return (allocation.pinned ? "pinned allocation " : "allocation ") + std::to_string(allocation.number) + " (" +
         std::to_string(allocation.bytes) + " bytes)";
}

std::size_t rounded(std::size_t bytes) { return round_up(bytes, kGranule); }

Arena::Arena(std::size_t memory) : size_(round_up(2 * memory + (std::size_t{64} << 20), kPage)), memory_(memory) {
  void* const region = mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (region == MAP_FAILED) throw std::bad_alloc();
  base_ = reinterpret_cast<std::uintptr_t>(region);
  holes_[0] = size_;
}

Arena::~Arena() {
  ASAN_UNPOISON_MEMORY_REGION(bytes_at(base_), touched_);
  munmap(bytes_at(base_), size_);
}

std::uintptr_t Arena::take(std::size_t bytes) {
  const std::size_t size = kRedZone + rounded(bytes) + kRedZone;
  if (size < bytes) return 0;
  const std::uintptr_t block = carve(size);
  if (block == 0) return 0;
  protect(block, size, true);
  ASAN_UNPOISON_MEMORY_REGION(bytes_at(block), size);
  std::memset(bytes_at(block), kRed, size);
  std::memset(bytes_at(block + kRedZone), kPoison, bytes);
  ASAN_POISON_MEMORY_REGION(bytes_at(block), kRedZone);
  ASAN_POISON_MEMORY_REGION(bytes_at(block + kRedZone + bytes), size - kRedZone - bytes);
  protect(block, size, false);
  return block + kRedZone;
}

/// Next fit from the cursor on, then from the start.
std::uintptr_t Arena::carve(std::size_t size) {
  if (cursor_ > 2 * held_ + kQuarantine) cursor_ = 0;
  for (int round = 0; round < 2; ++round) {
    for (auto hole = holes_.begin(); hole != holes_.end(); ++hole) {
      const auto [start, length] = *hole;
      const std::size_t from = std::max(start, cursor_);
      if (from >= start + length || start + length - from < size) continue;
      holes_.erase(hole);
      if (from > start) holes_[start] = from - start;
      if (from + size < start + length) holes_[from + size] = start + length - from - size;
      cursor_ = from + size;
      touched_ = std::max(touched_, cursor_);
      held_ += size;
      return base_ + from;
    }
    cursor_ = 0;
  }
  return 0;
}

bool Arena::give(std::uintptr_t address, std::size_t bytes) {
  const std::size_t size = kRedZone + rounded(bytes) + kRedZone;
  const std::uintptr_t block = address - kRedZone;
  protect(block, size, true);
  ASAN_UNPOISON_MEMORY_REGION(bytes_at(block), size);
  const bool intact = all_red(bytes_at(block), bytes_at(address)) && all_red(bytes_at(address + bytes), bytes_at(block + size));
  std::memset(bytes_at(block), kPoison, size);
  ASAN_POISON_MEMORY_REGION(bytes_at(block), size);
  protect(block, size, false);
  held_ -= size;

  auto hole = holes_.emplace(block - base_, size).first;
  if (const auto next = std::next(hole); next != holes_.end() && hole->first + hole->second == next->first) {
    hole->second += next->second;
    holes_.erase(next);
  }
  if (hole != holes_.begin()) {
    if (const auto previous = std::prev(hole); previous->first + previous->second == hole->first) {
      previous->second += hole->second;
      holes_.erase(hole);
    }
  }
  return intact;
}

void Arena::open() {
  if (opened_++ == 0) protect(base_, touched_, true);
}
void Arena::close() {
  if (--opened_ == 0) protect(base_, touched_, false);
}

/// Sets the protection of a block's pages; while the arena is open, all pages stay accessible.
void Arena::protect(std::uintptr_t block, std::size_t size, bool accessible) {
  const std::uintptr_t begin = block / kPage * kPage;
  const std::uintptr_t end = round_up(block + size, kPage);
  if (end > begin) mprotect(bytes_at(begin), end - begin, accessible || opened_ > 0 ? PROT_READ | PROT_WRITE : PROT_NONE);
}

void Allocations::add(const AllocationPtr& allocation) { by_base_[allocation->base] = allocation; }
void Allocations::remove(const AllocationPtr& allocation) { by_base_.erase(allocation->base); }

AllocationPtr Allocations::find(const void* pointer) const {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  auto after = by_base_.upper_bound(address);
  if (after == by_base_.begin()) return nullptr;
  const auto& candidate = std::prev(after)->second;
  return candidate->holds(address) ? candidate : nullptr;
}

AllocationPtr Allocations::at(const void* pointer) const {
  const auto found = by_base_.find(reinterpret_cast<std::uintptr_t>(pointer));
  return found == by_base_.end() ? nullptr : found->second;
}

void Allocations::clear() {
  by_base_.clear();
  numbers_ = 0;
}

}  // namespace fake_cuda::inside
