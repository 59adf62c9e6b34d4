// SPDX-License-Identifier: Apache-2.0
// The functions of the CUDA driver that the bench opens, on host memory. Recording an event advances the clock by 100
// microseconds.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {
int moment = 0;
int events[2];
int made = 0;
}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default"))) int

EXPORT cuInit(unsigned) { return 0; }
EXPORT cuDeviceGet(int* device, int index) {
  *device = index;
  return index == 0 ? 0 : 101;
}
EXPORT cuDeviceGetAttribute(int* value, int, int) {
  *value = 1 << 20;
  return 0;
}
EXPORT cuDevicePrimaryCtxRetain(void** context, int) {
  *context = &moment;
  return 0;
}
EXPORT cuCtxSetCurrent(void* context) { return context == &moment ? 0 : 201; }
EXPORT cuStreamCreate(void** stream, unsigned) {
  *stream = &made;
  return 0;
}
EXPORT cuStreamSynchronize(void* stream) { return stream == &made ? 0 : 400; }
EXPORT cuEventCreate(void** event, unsigned) {
  *event = &events[made++ % 2];
  return 0;
}
EXPORT cuEventRecord(void* event, void* stream) {
  *static_cast<int*>(event) = ++moment;
  return stream == &made ? 0 : 400;
}
EXPORT cuEventSynchronize(void*) { return 0; }
EXPORT cuEventElapsedTime(float* ms, void* begin, void* end) {
  *ms = 0.1F * static_cast<float>(*static_cast<int*>(end) - *static_cast<int*>(begin));
  return 0;
}
EXPORT cuMemAlloc_v2(std::uint64_t* at, std::size_t bytes) {
  *at = reinterpret_cast<std::uint64_t>(std::malloc(bytes));
  return *at == 0 ? 2 : 0;
}
EXPORT cuMemFree_v2(std::uint64_t at) {
  std::free(reinterpret_cast<void*>(at));
  return 0;
}
EXPORT cuMemcpyDtoDAsync_v2(std::uint64_t to, std::uint64_t from, std::size_t bytes, void*) {
  std::memcpy(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), bytes);
  return 0;
}
EXPORT cuMemsetD8Async(std::uint64_t at, unsigned char value, std::size_t bytes, void*) {
  std::memset(reinterpret_cast<void*>(at), value, bytes);
  return 0;
}
