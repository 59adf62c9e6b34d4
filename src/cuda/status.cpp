// SPDX-License-Identifier: Apache-2.0
#include "cuda/status.hpp"

#include <algorithm>
#include <array>
#include <mutex>
#include <vector>

#include "core/log.hpp"
#include "cuda/context.hpp"
#include "cuda/trouble.hpp"

namespace lamella::cuda {
namespace {

/// Errors that leave the process in an inconsistent state according to CUDA's documentation, the error of every call in a forked
/// child (initialization error), and the error after CUDA has been unloaded at process exit.
bool is_sticky(cudaError_t status) {
  switch (status) {
    case cudaErrorInitializationError:
    case cudaErrorCudartUnloading:
    case cudaErrorECCUncorrectable:
    case cudaErrorContained:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorIllegalAddress:
    case cudaErrorAssert:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorTensorMemoryLeak:
    case cudaErrorMpsClientTerminated:
    case cudaErrorExternalDevice:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContextIsDestroyed:
      return true;
    default:
      return false;
  }
}

std::string described(cudaError_t status, int device, const char* call) {
  const char* const more = status == cudaErrorInitializationError ? " (CUDA does not survive a fork())" : "";
  return core::format("[cuda:{}] {}: {}, {}{}", device, call, cudaGetErrorName(status), cudaGetErrorString(status), more);
}

void remember(int device, const std::string& reason) {
  Trouble& trouble = trouble_of(device);
  const std::lock_guard lock(trouble.mutex);
  if (trouble.lost.load(std::memory_order_relaxed)) return;
  trouble.reason = reason;
  trouble.lost.store(true, std::memory_order_release);
  core::log(LogLevel::warning, "cuda:{} is lost until this process is restarted: {}", device, reason);
}

/// Explains cudaGetDeviceCount's error. A missing driver is recognised by version 0: the error alone says "too old".
std::string driver_problem(cudaError_t status, int driver) {
  int runtime = 0;
  static_cast<void>(cudaRuntimeGetVersion(&runtime));
  if (driver == 0) return "no NVIDIA driver was found on this machine";
  switch (status) {
    case cudaErrorInsufficientDriver:
      return core::format("the NVIDIA driver supports CUDA {}, this build of lamella needs CUDA {}.0 or later; update the driver",
                          version_text(static_cast<std::size_t>(driver), 1000), runtime / 1000);
    case cudaErrorNoDevice:
      return "the NVIDIA driver is installed, but no GPU is visible; check CUDA_VISIBLE_DEVICES and the container's GPU access";
    case cudaErrorSystemDriverMismatch:
      return "the NVIDIA kernel module and the driver's libraries are of different versions; reboot, or reload the module";
    case cudaErrorCompatNotSupportedOnDevice:
      return "a CUDA compatibility package is installed that this GPU does not support; remove it";
    case cudaErrorSymbolNotFound:
      return "the NVIDIA driver's library is incomplete; reinstall the driver";
    default:
      return core::format("the NVIDIA driver does not start: {}, {}", cudaGetErrorName(status), cudaGetErrorString(status));
  }
}

}  // namespace

Trouble& trouble_of(int device) {
  static auto* const all = new std::array<Trouble, kMostDevices>;  // never destroyed
  return (*all)[static_cast<std::size_t>(device) % kMostDevices];
}

void check(cudaError_t status, int device, const char* call) {
  if (status == cudaSuccess) return;
  const std::string message = described(status, device, call);
  if (is_sticky(status)) {
    remember(device, message);
    expect_alive(device);
  }
  static_cast<void>(cudaGetLastError());  // else the next launch would report it again
  if (status == cudaErrorMemoryAllocation) throw Error(ErrorCode::out_of_memory, message);
  throw DeviceError(ErrorCode::device, message);
}

void check_quietly(cudaError_t status, int device, const char* call) noexcept {
  if (status == cudaSuccess) return;
  try {
    if (is_sticky(status)) remember(device, described(status, device, call));
    static_cast<void>(cudaGetLastError());
  } catch (const std::bad_alloc&) {
    // The next call that can throw reports the same error.
  }
}

bool is_lost(int device) noexcept { return trouble_of(device).lost.load(std::memory_order_acquire); }

namespace {

/// Whether the device is idle as far as these records show: the second attempt is for transient errors, such as a capture that
/// forbids waiting.
template <typename Wait>
bool wait_twice(int device, const Wait& wait) noexcept {
  for (int attempt = 0; attempt < 2; ++attempt) {
    const cudaError_t status = wait();
    if (status == cudaSuccess) return true;
    check_quietly(status, device, "waiting");
    if (is_lost(device)) return true;
  }
  return false;
}

void wait_later(const Pending& pending, int device) noexcept {
  Trouble& trouble = trouble_of(device);
  trouble.undrained.store(true, std::memory_order_release);
  try {
    const std::lock_guard lock(trouble.mutex);
    trouble.pending.push_back(pending);
  } catch (const std::bad_alloc&) {
    const std::lock_guard lock(trouble.mutex);
    trouble.untracked = true;
  }
}

cudaError_t wait_for(const Pending& pending) {
  if (pending.event != nullptr) return cudaEventSynchronize(pending.event);
  unsigned long long id = 0;
  if (pending.callers_id != 0) {
    if (const cudaError_t status = cudaStreamGetId(pending.stream, &id); status != cudaSuccess) return status;
    if (id != pending.callers_id) return cudaErrorInvalidResourceHandle;  // the handle now belongs to another stream
  }
  return cudaStreamSynchronize(pending.stream);
}

void destroy(const Pending& pending, int device) {
  if (pending.event != nullptr) check_quietly(cudaEventDestroy(pending.event), device, "cudaEventDestroy");
  const bool ours = pending.stream != nullptr && pending.callers_id == 0;
  if (ours) check_quietly(cudaStreamDestroy(pending.stream), device, "cudaStreamDestroy");
}

void finish(const Pending& pending, int device) noexcept {
  if (is_lost(device)) return;
  if (!wait_twice(device, [&] { return wait_for(pending); }))
    wait_later(pending, device);
  else if (!is_lost(device))
    destroy(pending, device);
}

}  // namespace

void destroy_when_done(cudaStream_t stream, int device) noexcept { finish({.stream = stream}, device); }
void destroy_when_done(cudaEvent_t event, int device) noexcept { finish({.event = event}, device); }
void wait_for_callers(cudaStream_t stream, unsigned long long id, int device) noexcept {
  finish({.stream = stream, .callers_id = id}, device);
}

bool drain(int device) noexcept {
  Trouble& trouble = trouble_of(device);
  if (!trouble.undrained.load(std::memory_order_acquire)) return true;
  const DeviceGuard guard(device, std::nothrow);
  const std::lock_guard alone(trouble.draining);
  std::vector<Pending> pending;
  {
    const std::lock_guard lock(trouble.mutex);
    pending.swap(trouble.pending);
  }
  std::erase_if(pending, [device](const Pending& one) {
    const cudaError_t status = wait_for(one);
    check_quietly(status, device, "waiting");
    if (status == cudaSuccess) destroy(one, device);
    return status == cudaSuccess;
  });
  const std::lock_guard lock(trouble.mutex);
  if (pending.empty() && trouble.pending.empty() && !trouble.untracked) {
    trouble.undrained.store(false, std::memory_order_release);
    return true;
  }
  try {
    trouble.pending.insert(trouble.pending.end(), pending.begin(), pending.end());
  } catch (const std::bad_alloc&) {
    trouble.untracked = true;
  }
  return false;
}

void expect_alive(int device) {
  if (!is_lost(device)) return;
  Trouble& trouble = trouble_of(device);
  const std::lock_guard lock(trouble.mutex);
  throw DeviceError(ErrorCode::device_lost, core::format("[cuda:{}] the device is lost until this process is restarted; the "
                                                         "first error, caused by this call or an earlier one: {}",
                                                         device, trouble.reason));
}

std::string version_text(std::size_t version, std::size_t unit) {
  return core::format("{}.{}", version / unit, version % unit * 100 / unit);
}

int usable_devices(std::string& why_not) {
  int driver = 0;
  static_cast<void>(cudaDriverGetVersion(&driver));
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess && count > 0) return count;
  static_cast<void>(cudaGetLastError());
  why_not = driver_problem(status == cudaSuccess ? cudaErrorNoDevice : status, driver);
  return 0;
}

}  // namespace lamella::cuda
