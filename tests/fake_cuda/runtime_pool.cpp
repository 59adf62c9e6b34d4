// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "world.hpp"

namespace fake_cuda::inside {

namespace {

void trim(Pool& pool, std::size_t keep) {
  const std::size_t rest = std::max(pool.used, std::min(pool.reserved, keep));
  world().arenas.at(static_cast<std::size_t>(pool.device))->used -= pool.reserved - rest;
  pool.reserved = rest;
}

cudaError_t allocate_async(void** pointer, std::size_t bytes, cudaStream_t handle, const std::shared_ptr<Pool>& pool) {
  if (pointer == nullptr) return cudaErrorInvalidValue;
  *pointer = nullptr;
  const auto stream = find_stream(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (const auto error = check_not_captured(*stream, "cudaMallocFromPoolAsync")) return error;
  if (const auto error = check_legacy_use(*stream, "cudaMallocFromPoolAsync")) return error;
  if (pool->device != stream->device) {
    misuse("cudaMallocFromPoolAsync on a stream of another device than the pool's");
    return cudaErrorInvalidValue;
  }
  if (bytes == 0) return cudaSuccess;
  auto made = allocate(pool->device, bytes, pool);
  if (!made) {
    run_all();  // runs queued frees, because the driver may wait for them
    made = allocate(pool->device, bytes, pool);
  }
  if (!made) return cudaErrorMemoryAllocation;
  *pointer = reinterpret_cast<void*>(made->base);
  return enqueue(stream, {.name = "cudaMallocFromPoolAsync", .uses = {{made, How::write}}});
}

cudaError_t free_async(void* pointer, cudaStream_t handle) {
  if (pointer == nullptr) return cudaSuccess;
  const auto stream = find_stream(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (const auto error = check_not_captured(*stream, "cudaFreeAsync")) return error;
  const auto found = find_to_free(pointer, false, "cudaFreeAsync");
  if (!found) return cudaErrorInvalidValue;
  if (!found->stream_ordered) {
    misuse("cudaFreeAsync of memory that cudaMalloc gave");
    return cudaErrorInvalidValue;
  }
  if (found->device != stream->device) misuse("cudaFreeAsync on a stream of another device than the memory's");
  found->freeing = true;
  return enqueue(stream, {.name = "cudaFreeAsync", .uses = {{found, How::write}}, .run = [found] { release(*found); }});
}

/// A call on one pool.
cudaError_t on_pool(const char* name, cudaMemPool_t handle, const std::function<cudaError_t(Pool&)>& body) {
  return call(name, Kind::plain, [&] {
    const auto pool = world().pools.find(handle);
    if (pool) return body(*pool);
    misuse(std::string(name) + " of a memory pool that does not exist (any more)");
    return cudaErrorInvalidValue;
  });
}

}  // namespace
}  // namespace fake_cuda::inside

using namespace fake_cuda::inside;

extern "C" {

cudaError_t cudaMallocFromPoolAsync(void** pointer, size_t bytes, cudaMemPool_t handle, cudaStream_t stream) {
  return call("cudaMallocFromPoolAsync", Kind::allocate, [&] {
    const auto pool = world().pools.find(handle);
    if (pool) return allocate_async(pointer, bytes, stream, pool);
    misuse("cudaMallocFromPoolAsync from a memory pool that does not exist (any more)");
    return cudaErrorInvalidValue;
  });
}

cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  return call("cudaFreeAsync", Kind::release, [&] { return free_async(pointer, stream); });
}

cudaError_t cudaMemPoolCreate(cudaMemPool_t* handle, const cudaMemPoolProps* properties) {
  return call("cudaMemPoolCreate", Kind::allocate, [&] {
    if (handle == nullptr || properties == nullptr || properties->allocType != cudaMemAllocationTypePinned ||
        properties->location.type != cudaMemLocationTypeDevice) {
      return cudaErrorInvalidValue;
    }
    if (properties->location.id < 0 || properties->location.id >= world().options.devices) return cudaErrorInvalidDevice;
    auto pool = std::make_shared<Pool>();
    pool->device = properties->location.id;
    pool->max_size = properties->maxSize;
    *handle = world().pools.add(std::move(pool));
    return cudaSuccess;
  });
}

cudaError_t cudaMemPoolDestroy(cudaMemPool_t handle) {
  return call("cudaMemPoolDestroy", Kind::release, [&] {
    const auto pool = world().pools.find(handle);
    if (!pool) {
      misuse("cudaMemPoolDestroy of a pool that cudaMemPoolCreate did not make, or that is gone");
      return cudaErrorInvalidValue;
    }
    trim(*pool, 0);
    world().pools.remove(handle);
    return cudaSuccess;
  });
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t handle, cudaMemPoolAttr attribute, void* value) {
  return on_pool("cudaMemPoolSetAttribute", handle, [&](Pool& pool) {
    // Other attributes are not modelled.
    if (value == nullptr || attribute != cudaMemPoolAttrReleaseThreshold) return cudaErrorInvalidValue;
    std::memcpy(&pool.threshold, value, sizeof pool.threshold);
    return cudaSuccess;
  });
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t handle, size_t keep) {
  return on_pool("cudaMemPoolTrimTo", handle, [&](Pool& pool) {
    trim(pool, keep);
    return cudaSuccess;
  });
}

}  // extern "C"
