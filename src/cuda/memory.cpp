// SPDX-License-Identifier: Apache-2.0
#include "cuda/memory.hpp"

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <utility>
#include <vector>

#include "cuda/context.hpp"
#include "cuda/status.hpp"

namespace lamella::cuda {
namespace {

/// Whether each allocation is a separate cudaMalloc: on request, or because the device has no pools.
bool wants_exact(int device) {
  const char* text = std::getenv("LAMELLA_CUDA_ALLOCATOR");
  const std::string_view mode = text == nullptr ? "" : text;
  LAMELLA_EXPECTS(mode.empty() || mode == "pool" || mode == "exact", value,
                  "LAMELLA_CUDA_ALLOCATOR: got '{}', allowed pool, exact", core::escaped(mode));
  if (mode == "exact") return true;
  int pools = 0;
  check(cudaDeviceGetAttribute(&pools, cudaDevAttrMemoryPoolsSupported, device), device, "cudaDeviceGetAttribute");
  return pools == 0;
}

}  // namespace

/// Memory that could not be freed, because waiting for the work that uses it failed: kept until waiting succeeds.
struct DeviceMemory::DeferredFrees {
  using Free = cudaError_t (*)(void*);

  explicit DeferredFrees(int device_index) : device(device_index) {}
  ~DeferredFrees() { give_back_kept(); }
  DeferredFrees(const DeferredFrees&) = delete;
  DeferredFrees& operator=(const DeferredFrees&) = delete;

  /// True if memory may be freed now; else it is kept, and `free` frees it later.
  [[nodiscard]] bool may_go(void* memory, Free free) noexcept {
    if (drain(device)) {
      give_back_kept();
      return true;
    }
    try {
      const std::lock_guard lock(mutex);
      kept.emplace_back(memory, free);
    } catch (const std::bad_alloc&) {
      // It then leaks, which is better than being reused while in use.
    }
    return false;
  }
  /// Frees now, or keeps the memory.
  void give_back(void* memory, Free free) noexcept {
    if (is_lost(device)) return;
    const DeviceGuard guard(device, std::nothrow);
    if (may_go(memory, free) && !is_lost(device)) check_quietly(free(memory), device, "cannot free memory");
  }
  void give_back_kept() noexcept {
    const std::lock_guard lock(mutex);
    if (kept.empty() || is_lost(device) || !drain(device)) return;
    const DeviceGuard guard(device, std::nothrow);
    for (const auto& [memory, free] : kept) check_quietly(free(memory), device, "cannot free memory");
    kept.clear();
  }

  int device;
  std::mutex mutex;
  std::vector<std::pair<void*, Free>> kept;
};

/// A pool and the stream that orders its allocations. Its users are ordered by waiting: allocate() returns when the memory is
/// available, and callers wait for their work before they free it.
struct DeviceMemory::Pool {
  Pool(int device_index, std::shared_ptr<DeferredFrees> keeper) : device(device_index), deferred(std::move(keeper)) {
    cudaMemPoolProps props{};
    props.allocType = cudaMemAllocationTypePinned;
    props.handleTypes = cudaMemHandleTypeNone;
    props.location.type = cudaMemLocationTypeDevice;
    props.location.id = device;
    check(cudaMemPoolCreate(&pool, &props), device, "cudaMemPoolCreate");
    try {
      auto kept = static_cast<std::uint64_t>(kKept);
      check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &kept), device, "cudaMemPoolSetAttribute");
      check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), device, "cudaStreamCreateWithFlags");
    } catch (...) {
      check_quietly(cudaMemPoolDestroy(pool), device, "cudaMemPoolDestroy");
      throw;
    }
  }
  ~Pool() {
    if (is_lost(device)) return;
    const DeviceGuard guard(device, std::nothrow);
    deferred->give_back_kept();
    destroy_when_done(stream, device);
    if (!is_lost(device)) check_quietly(cudaMemPoolDestroy(pool), device, "cudaMemPoolDestroy");
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  void* take(std::size_t bytes) const {
    void* memory = nullptr;
    cudaError_t status = cudaMallocFromPoolAsync(&memory, bytes, pool, stream);
    if (status == cudaErrorMemoryAllocation) {
      static_cast<void>(cudaGetLastError());
      // Memory freed on other streams may become available once this stream synchronises.
      check(cudaStreamSynchronize(stream), device, "cudaStreamSynchronize");
      check(cudaMemPoolTrimTo(pool, 0), device, "cudaMemPoolTrimTo");
      status = cudaMallocFromPoolAsync(&memory, bytes, pool, stream);
    }
    if (status == cudaErrorMemoryAllocation) {
      static_cast<void>(cudaGetLastError());
      return nullptr;
    }
    check(status, device, "cudaMallocFromPoolAsync");
    try {
      check(cudaStreamSynchronize(stream), device, "cudaStreamSynchronize");
    } catch (...) {
      give_back(memory);
      throw;
    }
    return memory;
  }
  void give_back(void* memory) const noexcept {
    if (is_lost(device)) return;
    const DeviceGuard guard(device, std::nothrow);
    const auto at_once = [](void* kept) { return cudaFree(kept); };
    if (!deferred->may_go(memory, at_once) || is_lost(device)) return;
    check_quietly(cudaFreeAsync(memory, stream), device, "cudaFreeAsync");
  }

  int device;
  std::shared_ptr<DeferredFrees> deferred;
  cudaMemPool_t pool = nullptr;
  cudaStream_t stream = nullptr;
};

DeviceMemory::DeviceMemory(int device)
    : device_(device), is_exact_(wants_exact(device)), deferred_(std::make_shared<DeferredFrees>(device)) {}
DeviceMemory::~DeviceMemory() = default;

std::shared_ptr<void> DeviceMemory::allocate(std::size_t bytes) {
  const DeviceGuard guard(device_);
  const std::size_t asked = std::max<std::size_t>(bytes, 1);
  return is_exact_ ? exact(asked) : from_pool(asked);
}

std::shared_ptr<void> DeviceMemory::from_pool(std::size_t bytes) {
  std::shared_ptr<Pool> pool;
  {
    const std::lock_guard lock(mutex_);
    if (!pool_) pool_ = std::make_shared<Pool>(device_, deferred_);
    pool = pool_;
  }
  void* memory = pool->take(bytes);
  if (memory == nullptr) throw_out_of_memory(bytes);
  return {memory, [pool](void* p) { pool->give_back(p); }};
}

std::shared_ptr<void> DeviceMemory::exact(std::size_t bytes) {
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, bytes);
  if (status == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
    throw_out_of_memory(bytes);
  }
  check(status, device_, "cudaMalloc");
  return {memory, [deferred = deferred_](void* p) { deferred->give_back(p, [](void* kept) { return cudaFree(kept); }); }};
}

void DeviceMemory::throw_out_of_memory(std::size_t bytes) const {
  std::size_t available = 0;
  std::size_t total = 0;
  const bool known = cudaMemGetInfo(&available, &total) == cudaSuccess;
  if (!known) static_cast<void>(cudaGetLastError());
  throw Error(
      ErrorCode::out_of_memory,
      core::format("[cuda:{}] cannot allocate {} bytes of device memory; {}; a smaller Options::max_batch needs less", device_,
                   bytes,
                   known ? core::format("{} of {} bytes are free", available, total) : "the amount of free memory is unknown"));
}

std::shared_ptr<void> DeviceMemory::allocate_pinned(std::size_t bytes) const {
  const DeviceGuard guard(device_);
  void* memory = nullptr;
  const cudaError_t status = cudaHostAlloc(&memory, std::max<std::size_t>(bytes, 1), cudaHostAllocPortable);
  if (status == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
    throw Error(ErrorCode::out_of_memory,
                core::format("[cuda:{}] cannot allocate {} bytes of pinned host memory", device_, bytes));
  }
  check(status, device_, "cudaHostAlloc");
  return {memory, [deferred = deferred_](void* p) { deferred->give_back(p, [](void* kept) { return cudaFreeHost(kept); }); }};
}

}  // namespace lamella::cuda
