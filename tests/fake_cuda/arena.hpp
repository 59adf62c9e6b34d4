// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "clocks.hpp"

namespace fake_cuda::inside {

struct Pool;

/// The record of a piece of device or pinned host memory. It outlives the memory, so that late uses can be reported.
struct Allocation {
  std::uint64_t number = 0;
  std::uintptr_t base = 0;
  std::size_t bytes = 0;
  int device = 0;
  bool pinned = false;
  bool stream_ordered = false;
  bool freeing = false;  ///< a cudaFreeAsync is queued
  bool freed = false;
  std::shared_ptr<Pool> pool;
  History history;

  bool holds(std::uintptr_t address) const { return address >= base && address < base + bytes; }
};
std::string name_of(const Allocation& allocation);

/// The memory of one device: reserved address space that the host can only access between open() and close().
class Arena {
 public:
  explicit Arena(std::size_t memory);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// Allocates `bytes` between two red zones, filled with 0xFF; 0 if the address space is used up. Ignores the memory limit.
  std::uintptr_t take(std::size_t bytes);
  /// Frees it and fills it with 0xFF. Returns false if a red zone was written to.
  bool give(std::uintptr_t address, std::size_t bytes);

  void open();
  void close();

  bool holds(std::uintptr_t address) const { return address >= base_ && address < base_ + size_; }
  std::size_t memory() const { return memory_; }
  std::size_t used = 0;  ///< bytes of memory() taken by cudaMalloc and by pools

 private:
  std::uintptr_t carve(std::size_t size);
  void protect(std::uintptr_t block, std::size_t size, bool accessible);
  std::uintptr_t base_ = 0;
  std::size_t size_ = 0;
  std::size_t memory_ = 0;
  std::size_t touched_ = 0;                   ///< bytes from base_ that have ever been handed out
  std::size_t held_ = 0;                      ///< bytes handed out, red zones included
  std::size_t cursor_ = 0;                    ///< where to look next, so that memory is reused late
  std::map<std::size_t, std::size_t> holes_;  ///< offset to size
  int opened_ = 0;
};

/// The live allocations, by address.
class Allocations {
 public:
  void add(const AllocationPtr& allocation);
  void remove(const AllocationPtr& allocation);
  /// The live allocation that holds `pointer`, or null.
  AllocationPtr find(const void* pointer) const;
  /// The live allocation that starts at `pointer`, or null.
  AllocationPtr at(const void* pointer) const;
  const auto& all() const { return by_base_; }
  void clear();
  std::uint64_t next_number() { return ++numbers_; }

 private:
  std::map<std::uintptr_t, AllocationPtr> by_base_;
  std::uint64_t numbers_ = 0;
};

std::size_t rounded(std::size_t bytes);  ///< what an allocation takes from the memory of a device

}  // namespace fake_cuda::inside
