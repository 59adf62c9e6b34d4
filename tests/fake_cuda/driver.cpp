// SPDX-License-Identifier: Apache-2.0
// The few driver functions that the bench uses to measure time (src/cli/bench/cuda_clock.cpp), on the double's runtime: a plugin
// made of the double is also a driver. Its times count pieces of work and mean nothing. With LAMELLA_FAKE_DRIVER=no_copies copies
// fail.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include <cuda_runtime_api.h>

#define EXPORT extern "C" __attribute__((visibility("default"))) int

namespace {

void* pointer_of(std::uint64_t at) { return reinterpret_cast<void*>(at); }

}  // namespace

EXPORT cuInit(unsigned) {
  int devices = 0;
  return cudaGetDeviceCount(&devices);
}
EXPORT cuDeviceGet(int* device, int index) {
  *device = index;
  return cudaSetDevice(index);
}
EXPORT cuDeviceGetAttribute(int* value, int, int) {
  *value = 1 << 20;
  return 0;
}
EXPORT cuDevicePrimaryCtxRetain(void** context, int) {
  static char primary = 0;
  *context = &primary;
  return 0;
}
EXPORT cuCtxSetCurrent(void*) { return 0; }
EXPORT cuStreamCreate(void** stream, unsigned flags) {
  return cudaStreamCreateWithFlags(reinterpret_cast<cudaStream_t*>(stream), flags);
}
EXPORT cuStreamSynchronize(void* stream) { return cudaStreamSynchronize(static_cast<cudaStream_t>(stream)); }
EXPORT cuEventCreate(void** event, unsigned flags) {
  return cudaEventCreateWithFlags(reinterpret_cast<cudaEvent_t*>(event), flags);
}
EXPORT cuEventRecord(void* event, void* stream) {
  return cudaEventRecord(static_cast<cudaEvent_t>(event), static_cast<cudaStream_t>(stream));
}
EXPORT cuEventSynchronize(void* event) { return cudaEventSynchronize(static_cast<cudaEvent_t>(event)); }
EXPORT cuEventElapsedTime(float* ms, void* begin, void* end) {
  return cudaEventElapsedTime(ms, static_cast<cudaEvent_t>(begin), static_cast<cudaEvent_t>(end));
}
EXPORT cuMemAlloc_v2(std::uint64_t* at, std::size_t bytes) { return cudaMalloc(reinterpret_cast<void**>(at), bytes); }
EXPORT cuMemFree_v2(std::uint64_t at) { return cudaFree(pointer_of(at)); }
EXPORT cuMemcpyDtoDAsync_v2(std::uint64_t to, std::uint64_t from, std::size_t bytes, void* stream) {
  if (std::getenv("LAMELLA_FAKE_DRIVER") != nullptr) return cudaErrorUnknown;
  return cudaMemcpyAsync(pointer_of(to), pointer_of(from), bytes, cudaMemcpyDeviceToDevice, static_cast<cudaStream_t>(stream));
}
EXPORT cuMemsetD8Async(std::uint64_t at, unsigned char value, std::size_t bytes, void* stream) {
  return cudaMemsetAsync(pointer_of(at), value, bytes, static_cast<cudaStream_t>(stream));
}
