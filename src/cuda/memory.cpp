// SPDX-License-Identifier: Apache-2.0
#include "cuda/memory.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string_view>
#include <utility>
#include <vector>

#include "cuda/status.hpp"

namespace lamella::cuda {
namespace {

constexpr std::size_t kCanary = 256;  ///< bytes on either side; keeps the alignment
constexpr unsigned char kCanaryByte = 0xA5;

bool wants_plain(int device) {
  const char* text = std::getenv("LAMELLA_CUDA_ALLOCATOR");
  const std::string_view mode = text == nullptr ? "" : text;
  LAMELLA_EXPECTS(mode.empty() || mode == "pool" || mode == "plain", value, "LAMELLA_CUDA_ALLOCATOR: got '", core::escaped(mode),
                  "', allowed pool, plain");
  if (mode == "plain") return true;
  int pools = 0;
  check(cudaDeviceGetAttribute(&pools, cudaDevAttrMemoryPoolsSupported, device), device, "cudaDeviceGetAttribute");
  return pools == 0;
}

}  // namespace

/// Memory that could not be given back, because somebody failed to wait for what uses it: kept until waiting succeeds.
struct DeviceMemory::Unsettled {
  using Free = cudaError_t (*)(void*);

  explicit Unsettled(int device_index) : device(device_index) {}
  ~Unsettled() { give_back_kept(); }
  Unsettled(const Unsettled&) = delete;
  Unsettled& operator=(const Unsettled&) = delete;

  /// True when memory may be given back now; else it is kept, to be given back by `free`.
  [[nodiscard]] bool may_go(void* memory, Free free) noexcept {
    if (settle(device)) {
      give_back_kept();
      return true;
    }
    try {
      const std::lock_guard lock(mutex);
      kept.emplace_back(memory, free);
    } catch (const std::bad_alloc&) {
      // Then it is lost, which is better than given to somebody else.
    }
    return false;
  }
  void give_back_kept() noexcept {
    const std::lock_guard lock(mutex);
    if (kept.empty() || is_lost(device) || !settle(device)) return;
    for (const auto& [memory, free] : kept) check_quietly(free(memory), device, "giving memory back");
    kept.clear();
  }

  int device;
  std::mutex mutex;
  std::vector<std::pair<void*, Free>> kept;
};

/// A pool and the stream that its allocations are ordered by. Users of the memory are ordered by waiting: allocate() returns when
/// the memory is there, and who frees has waited for what used it.
struct DeviceMemory::Pool {
  Pool(int device_index, std::shared_ptr<Unsettled> keeper) : device(device_index), unsettled(std::move(keeper)) {
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
    unsettled->give_back_kept();
    wait_quietly(stream, device);
    check_quietly(cudaStreamDestroy(stream), device, "cudaStreamDestroy");
    check_quietly(cudaMemPoolDestroy(pool), device, "cudaMemPoolDestroy");
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  void* take(std::size_t bytes) const {
    void* memory = nullptr;
    cudaError_t status = cudaMallocFromPoolAsync(&memory, bytes, pool, stream);
    if (status == cudaErrorMemoryAllocation) {
      static_cast<void>(cudaGetLastError());
      // What other streams gave back may only wait for this stream to notice.
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
    const auto at_once = [](void* kept) { return cudaFree(kept); };
    if (is_lost(device) || !unsettled->may_go(memory, at_once)) return;
    check_quietly(cudaFreeAsync(memory, stream), device, "cudaFreeAsync");
  }

  int device;
  std::shared_ptr<Unsettled> unsettled;
  cudaMemPool_t pool = nullptr;
  cudaStream_t stream = nullptr;
};

/// What the plain mode counts.
struct DeviceMemory::Plain {
  std::atomic<int> overruns{0};

  static void fill(int device, void* memory, std::size_t bytes) {
    auto* const at = static_cast<unsigned char*>(memory);
    check(cudaMemset(at, kCanaryByte, kCanary), device, "cudaMemset");
    check(cudaMemset(at + kCanary, 0xFF, bytes), device, "cudaMemset");
    check(cudaMemset(at + kCanary + bytes, kCanaryByte, kCanary), device, "cudaMemset");
    check(cudaDeviceSynchronize(), device, "cudaDeviceSynchronize");
  }
  void inspect_and_free(int device, void* memory, std::size_t bytes) noexcept {
    if (is_lost(device) || !settle(device)) return;
    unsigned char canaries[2 * kCanary];
    const auto* const at = static_cast<const unsigned char*>(memory);
    const bool read = cudaMemcpy(canaries, at, kCanary, cudaMemcpyDeviceToHost) == cudaSuccess &&
                      cudaMemcpy(canaries + kCanary, at + kCanary + bytes, kCanary, cudaMemcpyDeviceToHost) == cudaSuccess;
    if (read && !std::all_of(std::begin(canaries), std::end(canaries), [](unsigned char byte) { return byte == kCanaryByte; }))
      ++overruns;
    check_quietly(cudaFree(memory), device, "cudaFree");
  }
};

DeviceMemory::DeviceMemory(int device)
    : device_(device), is_plain_(wants_plain(device)), unsettled_(std::make_shared<Unsettled>(device)) {
  if (is_plain_) plain_ = std::make_shared<Plain>();
}
DeviceMemory::~DeviceMemory() = default;

std::shared_ptr<void> DeviceMemory::allocate(std::size_t bytes) {
  const DeviceGuard guard(device_);
  const std::size_t asked = std::max<std::size_t>(bytes, 1);
  return is_plain_ ? plain(asked) : from_pool(asked);
}

std::shared_ptr<void> DeviceMemory::from_pool(std::size_t bytes) {
  std::shared_ptr<Pool> pool;
  {
    const std::lock_guard lock(mutex_);
    if (!pool_) pool_ = std::make_shared<Pool>(device_, unsettled_);
    pool = pool_;
  }
  void* memory = pool->take(bytes);
  if (memory == nullptr) throw_out_of_memory(bytes);
  return {memory, [pool](void* p) { pool->give_back(p); }};
}

std::shared_ptr<void> DeviceMemory::plain(std::size_t bytes) {
  const auto total = core::checked_add(bytes, 2 * kCanary);
  void* memory = nullptr;
  const cudaError_t status = total ? cudaMalloc(&memory, *total) : cudaErrorMemoryAllocation;
  if (status == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
    throw_out_of_memory(bytes);
  }
  check(status, device_, "cudaMalloc");
  // From here on the memory has an owner, whatever fails.
  const std::shared_ptr<void> whole(
      memory, [counts = plain_, device = device_, bytes](void* p) { counts->inspect_and_free(device, p, bytes); });
  Plain::fill(device_, memory, bytes);
  return {whole, static_cast<unsigned char*>(memory) + kCanary};
}

void DeviceMemory::throw_out_of_memory(std::size_t bytes) const {
  std::size_t available = 0;
  std::size_t total = 0;
  const bool known = cudaMemGetInfo(&available, &total) == cudaSuccess;
  if (!known) static_cast<void>(cudaGetLastError());
  throw Error(ErrorCode::out_of_memory,
              core::concat("[cuda:", device_, "] cannot allocate ", bytes, " bytes of device memory; ",
                           known ? core::concat(available, " of ", total, " bytes are free") : "how much is free is not known",
                           "; a smaller Options::max_batch needs less"));
}

std::shared_ptr<void> DeviceMemory::allocate_pinned(std::size_t bytes) const {
  const DeviceGuard guard(device_);
  void* memory = nullptr;
  const cudaError_t status = cudaHostAlloc(&memory, std::max<std::size_t>(bytes, 1), cudaHostAllocPortable);
  if (status == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
    throw Error(ErrorCode::out_of_memory,
                core::concat("[cuda:", device_, "] cannot allocate ", bytes, " bytes of pinned host memory"));
  }
  check(status, device_, "cudaHostAlloc");
  return {memory, [unsettled = unsettled_](void* p) {
            const auto at_once = [](void* kept) { return cudaFreeHost(kept); };
            if (is_lost(unsettled->device) || !unsettled->may_go(p, at_once)) return;
            check_quietly(cudaFreeHost(p), unsettled->device, "cudaFreeHost");
          }};
}

int DeviceMemory::overruns() const { return plain_ ? plain_->overruns.load() : 0; }

}  // namespace lamella::cuda
