// SPDX-License-Identifier: Apache-2.0
// The driver functions that src/cuda gets from the runtime. A context is identified by its device.
#include <cuda.h>
#include <unistd.h>

#include <string_view>

#include "world.hpp"

namespace fake_cuda::inside {
namespace {

CUcontext context_of(int device) { return reinterpret_cast<CUcontext>(static_cast<std::uintptr_t>(device) + 0x100); }

CUresult driver_call(const char* name, Kind kind, const std::function<CUresult()>& body) {
  const Entry entry(name, kind);
  if (entry.outcome == Outcome::proceed) return body();
  if (entry.outcome == Outcome::fail && name == std::string_view("cuCtxPopCurrent")) static_cast<void>(body());
  return static_cast<CUresult>(entry.error);
}

CUresult device_get(CUdevice* device, int ordinal) {
  return driver_call("cuDeviceGet", Kind::ask, [&] {
    *device = ordinal;
    return ordinal >= 0 && ordinal < world().options.devices ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
  });
}

CUresult state_of(CUdevice device, unsigned* flags, int* active) {
  return driver_call("cuDevicePrimaryCtxGetState", Kind::ask, [&] {
    *flags = 0;
    *active = world().contexts.contains(device) ? 1 : 0;
    return CUDA_SUCCESS;
  });
}

CUresult retain(CUcontext* context, CUdevice device) {
  return driver_call("cuDevicePrimaryCtxRetain", Kind::ask, [&] {
    world().contexts.insert(device);
    *context = context_of(device);
    return CUDA_SUCCESS;
  });
}

/// Not counted, because it only reads the thread's state.
CUresult current(CUcontext* context) {
  const std::lock_guard lock(world().mutex);
  if (world().unloaded) return CUDA_ERROR_DEINITIALIZED;
  if (world().process != getpid()) return CUDA_ERROR_NOT_INITIALIZED;
  *context = thread().has_context ? context_of(thread().device) : nullptr;
  return CUDA_SUCCESS;
}

CUresult push(CUcontext context) {
  return driver_call("cuCtxPushCurrent", Kind::ask, [&] {
    thread().below.emplace_back(thread().device, thread().has_context);
    thread().device = static_cast<int>(reinterpret_cast<std::uintptr_t>(context) - 0x100);
    thread().has_context = true;
    return CUDA_SUCCESS;
  });
}

CUresult pop(CUcontext* context) {
  return driver_call("cuCtxPopCurrent", Kind::ask, [&] {
    if (thread().below.empty()) return CUDA_ERROR_INVALID_CONTEXT;
    *context = context_of(thread().device);
    std::tie(thread().device, thread().has_context) = thread().below.back();
    thread().below.pop_back();
    return CUDA_SUCCESS;
  });
}

template <typename F>
void* pointer_to(F* function) {
  return reinterpret_cast<void*>(function);
}

}  // namespace
}  // namespace fake_cuda::inside

extern "C" cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned, unsigned long long,
                                                        cudaDriverEntryPointQueryResult* result) {
  using namespace fake_cuda::inside;
  return call("cudaGetDriverEntryPointByVersion", Kind::ask, [&] {
    const std::map<std::string_view, void*> known{
        {"cuDeviceGet", pointer_to(device_get)},          {"cuDevicePrimaryCtxGetState", pointer_to(state_of)},
        {"cuDevicePrimaryCtxRetain", pointer_to(retain)}, {"cuCtxGetCurrent", pointer_to(current)},
        {"cuCtxPushCurrent", pointer_to(push)},           {"cuCtxPopCurrent", pointer_to(pop)}};
    const auto found = known.find(name);
    *function = found == known.end() ? nullptr : found->second;
    if (result != nullptr) *result = found == known.end() ? cudaDriverEntryPointSymbolNotFound : cudaDriverEntryPointSuccess;
    return cudaSuccess;
  });
}
