// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <new>

#include "world.hpp"

namespace fake_cuda::inside {
namespace {

constexpr std::align_val_t kPinnedAlignment{4096};

Arena& arena_of(int device) { return *world().arenas.at(static_cast<std::size_t>(device)); }

/// Makes room for `bytes`: a pool uses free memory that it holds before it asks the device for more.
bool reserve(Arena& arena, std::size_t bytes, Pool* pool) {
  std::size_t more = bytes;
  if (pool != nullptr) {
    const std::size_t wanted = pool->used + bytes;
    more = wanted > pool->reserved ? wanted - pool->reserved : 0;
    if (pool->max_size != 0 && wanted > pool->max_size) return false;
  }
  if (more > arena.memory() - arena.used) return false;
  arena.used += more;
  if (pool != nullptr) {
    pool->used += bytes;
    pool->reserved += more;
  }
  return true;
}

void unreserve(Arena& arena, std::size_t bytes, Pool* pool) {
  if (pool == nullptr) {
    arena.used -= bytes;
    return;
  }
  pool->used -= bytes;
  bool alive = false;
  for (const auto& [number, other] : world().pools.all()) alive |= other.get() == pool;
  if (alive) return;  // a live pool keeps the memory until it is trimmed
  pool->reserved -= bytes;
  arena.used -= bytes;
}

cudaError_t allocate_pinned(void** pointer, std::size_t bytes) {
  if (pointer == nullptr) return cudaErrorInvalidValue;
  *pointer = nullptr;
  if (const auto error = check_unsafe("cudaHostAlloc")) return error;
  if (bytes == 0) return cudaSuccess;
  *pointer = ::operator new(bytes, kPinnedAlignment, std::nothrow);
  if (*pointer == nullptr) return cudaErrorMemoryAllocation;
  std::memset(*pointer, 0xFF, bytes);
  auto made = std::make_shared<Allocation>();
  made->number = world().allocations.next_number();
  made->base = reinterpret_cast<std::uintptr_t>(*pointer);
  made->bytes = bytes;
  made->device = thread().device;
  made->pinned = true;
  world().allocations.add(made);
  for (ptx::MemoryMap& memory : world().memory) memory.add(*pointer, bytes, name_of(*made));
  return cudaSuccess;
}

cudaError_t free_now(void* pointer, bool pinned, const char* name) {
  if (const auto error = check_unsafe("cudaHostAlloc")) return error;
  if (pointer == nullptr) return cudaSuccess;
  const auto found = find_to_free(pointer, pinned, name);
  if (!found) return cudaErrorInvalidValue;
  run_all();
  if (const auto user = found->history.unknown_to(world().host); !user.empty()) {
    misuse(std::string(name) + " of " + name_of(*found) + " without having waited for " + user);
  }
  release(*found);
  return cudaSuccess;
}

}  // namespace

AllocationPtr allocate(int device, std::size_t bytes, const std::shared_ptr<Pool>& pool) {
  World& w = world();
  Arena& arena = arena_of(device);
  if (bytes > arena.memory() || !reserve(arena, rounded(bytes), pool.get())) return nullptr;
  auto made = std::make_shared<Allocation>();
  made->base = arena.take(bytes);
  if (made->base == 0) {
    unreserve(arena, rounded(bytes), pool.get());
    return nullptr;
  }
  made->number = w.allocations.next_number();
  made->bytes = bytes;
  made->device = device;
  made->stream_ordered = pool != nullptr;
  made->pool = pool;
  w.allocations.add(made);
  w.memory.at(static_cast<std::size_t>(device))
      .add(reinterpret_cast<void*>(made->base), bytes, name_of(*made), ptx::MemoryMap::Access::write,
           ptx::MemoryMap::Contents::undefined);
  return made;
}

void release(Allocation& allocation) {
  World& w = world();
  allocation.freed = true;
  const auto keep = w.allocations.at(reinterpret_cast<void*>(allocation.base));
  w.allocations.remove(keep);
  for (ptx::MemoryMap& memory : w.memory) memory.remove(reinterpret_cast<void*>(allocation.base));
  if (allocation.pinned) {
    ::operator delete(reinterpret_cast<void*>(allocation.base), kPinnedAlignment);
    return;
  }
  Arena& arena = arena_of(allocation.device);
  if (!arena.give(allocation.base, allocation.bytes)) {
    misuse("overrun: something wrote just before or after " + name_of(allocation));
  }
  unreserve(arena, rounded(allocation.bytes), allocation.pool.get());
}

void is_written(const void* begin, std::size_t bytes) {
  for (ptx::MemoryMap& memory : world().memory) memory.written(begin, bytes);
}

AllocationPtr find_to_free(const void* pointer, bool pinned, const char* name) {
  auto found = world().allocations.at(pointer);
  if (found && found->pinned == pinned && !found->freeing) return found;
  misuse(std::string(name) +
         (found && found->freeing ? " of memory that is being freed already" : " of a pointer that it does not own (any more)"));
  return nullptr;
}

void add_uses(std::vector<Use>& uses, const std::vector<const void*>& pointers, How how, const char* what) {
  for (const void* const pointer : pointers) {
    if (pointer == nullptr) continue;
    if (auto found = world().allocations.find(pointer)) {
      uses.push_back({std::move(found), how});
    } else {
      misuse(std::string(what) + " is given a pointer that is not into live device or pinned memory");
    }
  }
}

bool inside_one(const void* pointer, std::size_t bytes, const char* what) {
  const auto found = world().allocations.find(pointer);
  if (!found) {
    misuse(std::string(what) + " is given a pointer that is not into live device or pinned memory");
    return false;
  }
  if (found->base + found->bytes - reinterpret_cast<std::uintptr_t>(pointer) >= bytes) return true;
  misuse(std::string(what) + " would go beyond the end of " + name_of(*found));
  return false;
}

}  // namespace fake_cuda::inside

using namespace fake_cuda::inside;

extern "C" {

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  return call("cudaMalloc", Kind::allocate, [&] {
    if (pointer == nullptr) return cudaErrorInvalidValue;
    *pointer = nullptr;
    if (const auto error = check_unsafe("cudaMalloc")) return error;
    if (bytes == 0) return cudaSuccess;
    const auto made = allocate(thread().device, bytes, nullptr);
    if (!made) return cudaErrorMemoryAllocation;
    *pointer = reinterpret_cast<void*>(made->base);
    return cudaSuccess;
  });
}

cudaError_t cudaFree(void* pointer) {
  return call("cudaFree", Kind::release, [&] { return free_now(pointer, false, "cudaFree"); });
}

cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned int) {
  return call("cudaHostAlloc", Kind::allocate, [&] { return allocate_pinned(pointer, bytes); });
}

cudaError_t cudaFreeHost(void* pointer) {
  return call("cudaFreeHost", Kind::release, [&] { return free_now(pointer, true, "cudaFreeHost"); });
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  return call("cudaMemGetInfo", Kind::plain, [&] {
    if (free == nullptr || total == nullptr) return cudaErrorInvalidValue;
    const Arena& arena = arena_of(thread().device);
    *free = arena.memory() - arena.used;
    *total = arena.memory();
    return cudaSuccess;
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  return call("cudaPointerGetAttributes", Kind::plain, [&] {
    if (attributes == nullptr) return cudaErrorInvalidValue;
    *attributes = {};
    attributes->type = cudaMemoryTypeUnregistered;
    attributes->device = cudaInvalidDeviceId;
    const auto found = world().allocations.find(pointer);
    if (!found) return cudaSuccess;
    attributes->type = found->pinned ? cudaMemoryTypeHost : cudaMemoryTypeDevice;
    attributes->device = found->device;
    attributes->devicePointer = const_cast<void*>(pointer);
    if (found->pinned) attributes->hostPointer = const_cast<void*>(pointer);
    return cudaSuccess;
  });
}

}  // extern "C"
