// SPDX-License-Identifier: Apache-2.0
#include "cuda/context.hpp"

#include <array>
#include <atomic>
#include <mutex>

#include <cudaTypedefs.h>

#include "cuda/status.hpp"
#include "cuda/trouble.hpp"

namespace lamella::cuda {
namespace {

/// The driver functions that lamella calls. It is not linked with the driver, which a machine may lack.
struct Driver {
  PFN_cuDeviceGet_v2000 device_get = nullptr;
  PFN_cuDevicePrimaryCtxRetain_v7000 retain = nullptr;
  PFN_cuCtxGetCurrent_v4000 current = nullptr;
  PFN_cuCtxPushCurrent_v4000 push = nullptr;
  PFN_cuCtxPopCurrent_v4000 pop = nullptr;
};

struct Contexts {
  std::mutex mutex;
  Driver driver;
  std::array<std::atomic<CUcontext>, kMostDevices> primary{};
};

Contexts& contexts() {
  static auto* const only = new Contexts;  // never destroyed
  return *only;
}

/// CUDA's runtime and driver use the same error numbers.
cudaError_t as_runtime(CUresult result) { return static_cast<cudaError_t>(result); }

template <typename F>
cudaError_t find(const char* name, unsigned version, F& function) {
  if (function != nullptr) return cudaSuccess;
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result{};
  const cudaError_t status = cudaGetDriverEntryPointByVersion(name, &found, version, cudaEnableLegacyStream, &result);
  if (status != cudaSuccess) return status;
  function = reinterpret_cast<F>(found);
  return found == nullptr ? cudaErrorSymbolNotFound : cudaSuccess;
}

/// The primary context of a device, which lamella retains from its first use on.
cudaError_t primary_context(int device, CUcontext& context) {
  Contexts& all = contexts();
  auto& known = primary_context_of(device);
  context = known.load(std::memory_order_acquire);
  if (context != nullptr) return cudaSuccess;
  const std::lock_guard lock(all.mutex);
  context = known.load(std::memory_order_relaxed);
  if (context != nullptr) return cudaSuccess;
  Driver& driver = all.driver;
  cudaError_t status = find("cuDeviceGet", 2000, driver.device_get);
  if (status == cudaSuccess) status = find("cuDevicePrimaryCtxRetain", 7000, driver.retain);
  if (status == cudaSuccess) status = find("cuCtxGetCurrent", 4000, driver.current);
  if (status == cudaSuccess) status = find("cuCtxPushCurrent", 4000, driver.push);
  if (status == cudaSuccess) status = find("cuCtxPopCurrent", 4000, driver.pop);
  if (status != cudaSuccess) return status;
  CUdevice handle = 0;
  status = as_runtime(driver.device_get(&handle, device));
  if (status == cudaSuccess) status = as_runtime(driver.retain(&context, handle));
  if (status == cudaSuccess) known.store(context, std::memory_order_release);
  return status;
}

cudaError_t enter(int device, bool& pushed) {
  CUcontext wanted = nullptr;
  if (const cudaError_t status = primary_context(device, wanted); status != cudaSuccess) return status;
  const Driver& driver = contexts().driver;
  CUcontext current = nullptr;
  if (const CUresult status = driver.current(&current); status != CUDA_SUCCESS) return as_runtime(status);
  if (current == wanted) return cudaSuccess;
  const CUresult status = driver.push(wanted);
  pushed = status == CUDA_SUCCESS;
  return as_runtime(status);
}

}  // namespace

std::atomic<CUcontext>& primary_context_of(int device) {
  return contexts().primary[static_cast<std::size_t>(device) % kMostDevices];
}

DeviceGuard::DeviceGuard(int device) : device_(device) {
  expect_alive(device);
  check(enter(device, pushed_), device, "cannot make the device current");
}

DeviceGuard::DeviceGuard(int device, std::nothrow_t) noexcept : device_(device) {
  if (!is_lost(device)) check_quietly(enter(device, pushed_), device, "cannot make the device current");
}

DeviceGuard::~DeviceGuard() {
  if (!pushed_) return;
  CUcontext popped = nullptr;
  check_quietly(as_runtime(contexts().driver.pop(&popped)), device_, "cuCtxPopCurrent");
}

}  // namespace lamella::cuda
