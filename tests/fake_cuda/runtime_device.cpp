// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <cstring>

#include <map>

#include "tests/ptx/registry.hpp"
#include "world.hpp"

namespace fake_cuda::inside {
namespace {

constexpr int kProcessors = 132;
constexpr int kThreadsPerProcessor = 2048;
constexpr int kBlocksPerProcessor = 32;
constexpr int kSharedPerBlock = 48 << 10;
constexpr int kSharedPerBlockOptIn = 227 << 10;
constexpr int kSharedPerProcessor = 228 << 10;
constexpr int kRegisters = 65536;
constexpr int kL2 = 50 << 20;

bool exists(int device) { return device >= 0 && device < world().options.devices; }

void describe(cudaDeviceProp& properties, int device) {
  const Options& options = world().options;
  properties = {};
  std::snprintf(properties.name, sizeof properties.name, "Fake CUDA device %d", device);
  properties.uuid.bytes[15] = static_cast<char>(device);
  properties.totalGlobalMem = options.memory;
  properties.sharedMemPerBlock = kSharedPerBlock;
  properties.sharedMemPerBlockOptin = kSharedPerBlockOptIn;
  properties.sharedMemPerMultiprocessor = kSharedPerProcessor;
  properties.regsPerBlock = kRegisters;
  properties.regsPerMultiprocessor = kRegisters;
  properties.warpSize = 32;
  properties.maxThreadsPerBlock = 1024;
  std::copy_n(std::initializer_list<int>{1024, 1024, 64}.begin(), 3, properties.maxThreadsDim);
  std::copy_n(std::initializer_list<int>{2147483647, 65535, 65535}.begin(), 3, properties.maxGridSize);
  properties.major = options.compute_capability / 10;
  properties.minor = options.compute_capability % 10;
  properties.multiProcessorCount = kProcessors;
  properties.maxThreadsPerMultiProcessor = kThreadsPerProcessor;
  properties.maxBlocksPerMultiProcessor = kBlocksPerProcessor;
  properties.l2CacheSize = kL2;
  properties.memoryBusWidth = 5120;
  properties.pciBusID = device + 1;
  properties.unifiedAddressing = 1;
  properties.concurrentKernels = 1;
  properties.asyncEngineCount = 3;
  properties.canMapHostMemory = 1;
  properties.memoryPoolsSupported = options.pools ? 1 : 0;
  properties.streamPrioritiesSupported = 1;
  properties.cooperativeLaunch = 1;
}

/// False: the double does not know this attribute.
bool attribute_of(const cudaDeviceProp& properties, cudaDeviceAttr attribute, int& value) {
  const std::map<cudaDeviceAttr, int> known{
      {cudaDevAttrMaxThreadsPerBlock, properties.maxThreadsPerBlock},
      {cudaDevAttrMaxBlockDimX, properties.maxThreadsDim[0]},
      {cudaDevAttrMaxBlockDimY, properties.maxThreadsDim[1]},
      {cudaDevAttrMaxBlockDimZ, properties.maxThreadsDim[2]},
      {cudaDevAttrMaxGridDimX, properties.maxGridSize[0]},
      {cudaDevAttrMaxGridDimY, properties.maxGridSize[1]},
      {cudaDevAttrMaxGridDimZ, properties.maxGridSize[2]},
      {cudaDevAttrMaxSharedMemoryPerBlock, kSharedPerBlock},
      {cudaDevAttrMaxSharedMemoryPerBlockOptin, kSharedPerBlockOptIn},
      {cudaDevAttrMaxSharedMemoryPerMultiprocessor, kSharedPerProcessor},
      {cudaDevAttrMaxRegistersPerBlock, kRegisters},
      {cudaDevAttrWarpSize, properties.warpSize},
      {cudaDevAttrMultiProcessorCount, kProcessors},
      {cudaDevAttrMaxThreadsPerMultiProcessor, kThreadsPerProcessor},
      {cudaDevAttrMaxBlocksPerMultiprocessor, kBlocksPerProcessor},
      {cudaDevAttrL2CacheSize, kL2},
      {cudaDevAttrComputeCapabilityMajor, properties.major},
      {cudaDevAttrComputeCapabilityMinor, properties.minor},
      {cudaDevAttrPciBusId, properties.pciBusID},
      {cudaDevAttrPciDeviceId, properties.pciDeviceID},
      {cudaDevAttrClockRate, 1'980'000},
      {cudaDevAttrMemoryClockRate, 3'201'000},
      {cudaDevAttrGlobalMemoryBusWidth, properties.memoryBusWidth},
      {cudaDevAttrUnifiedAddressing, 1},
      {cudaDevAttrConcurrentKernels, 1},
      {cudaDevAttrCanMapHostMemory, 1},
      {cudaDevAttrStreamPrioritiesSupported, 1},
      {cudaDevAttrCooperativeLaunch, 1},
      {cudaDevAttrMemoryPoolsSupported, properties.memoryPoolsSupported},
      {cudaDevAttrIntegrated, 0},
      {cudaDevAttrManagedMemory, 0},
      {cudaDevAttrPageableMemoryAccess, 0},
      {cudaDevAttrEccEnabled, 0},
      {cudaDevAttrComputeMode, 0},
  };
  const auto found = known.find(attribute);
  if (found == known.end()) return false;
  value = found->second;
  return true;
}

}  // namespace
}  // namespace fake_cuda::inside

using namespace fake_cuda::inside;

extern "C" {

cudaError_t cudaDriverGetVersion(int* version) {
  const std::lock_guard lock(world().mutex);
  if (version == nullptr) return set_error(cudaErrorInvalidValue);
  *version = world().options.driver_version;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  const std::lock_guard lock(world().mutex);
  if (version == nullptr) return set_error(cudaErrorInvalidValue);
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  if (count != nullptr) *count = 0;
  return call("cudaGetDeviceCount", Kind::ask, [&] {
    if (count == nullptr) return cudaErrorInvalidValue;
    *count = world().options.devices;
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int device) {
  return call("cudaSetDevice", Kind::ask, [&] {
    if (!exists(device)) return cudaErrorInvalidDevice;
    thread().device = device;
    thread().has_context = true;
    world().contexts.insert(device);
    return cudaSuccess;
  });
}

cudaError_t cudaGetDevice(int* device) {
  return call("cudaGetDevice", Kind::ask, [&] {
    if (device == nullptr) return cudaErrorInvalidValue;
    *device = thread().device;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return call("cudaGetDeviceProperties", Kind::ask, [&] {
    if (properties == nullptr) return cudaErrorInvalidValue;
    if (!exists(device)) return cudaErrorInvalidDevice;
    describe(*properties, device);
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return call("cudaDeviceGetAttribute", Kind::ask, [&] {
    if (value == nullptr) return cudaErrorInvalidValue;
    if (!exists(device)) return cudaErrorInvalidDevice;
    cudaDeviceProp properties;
    describe(properties, device);
    if (attribute_of(properties, attribute, *value)) return cudaSuccess;
    misuse("cudaDeviceGetAttribute: the double does not know attribute " + std::to_string(static_cast<int>(attribute)));
    return cudaErrorInvalidValue;
  });
}

cudaError_t cudaDeviceSynchronize() {
  return call("cudaDeviceSynchronize", Kind::synchronize, [&] {
    if (const auto error = check_device_wait(thread().device, "cudaDeviceSynchronize")) return error;
    synchronize_device(thread().device);
    return cudaSuccess;
  });
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  return call("cudaFuncSetAttribute", Kind::plain, [&] {
    if (function == nullptr || attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        value > kSharedPerBlockOptIn)
      return cudaErrorInvalidValue;
    world().most_shared[{thread().device, function}] = static_cast<std::size_t>(value);
    return cudaSuccess;
  });
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  return call("cudaFuncGetAttributes", Kind::plain, [&] {
    if (attributes == nullptr || function == nullptr) return cudaErrorInvalidValue;
    *attributes = {};
    attributes->ptxVersion = std::min(ptx::registry::architecture(function), world().options.compute_capability);
    const auto& without = world().options.no_image;
    return std::count(without.begin(), without.end(), thread().device) == 0 ? cudaSuccess : cudaErrorNoKernelImageForDevice;
  });
}

}  // extern "C"
