// SPDX-License-Identifier: Apache-2.0
#include "cuda/status.hpp"

#include <array>
#include <atomic>
#include <mutex>

namespace lamella::cuda {
namespace {

constexpr int kMostDevices = 64;

/// The first error that lost a device. Kept for ever: only a new process gets the device back.
struct Loss {
  std::atomic<bool> lost{false};
  std::atomic<bool> unsettled{false};
  std::mutex mutex;
  std::string reason;
};

Loss& loss_of(int device) {
  static std::array<Loss, kMostDevices> losses;
  return losses[static_cast<std::size_t>(device) % kMostDevices];
}

/// Errors that CUDA's documentation says leave the process in an inconsistent state.
bool is_sticky(cudaError_t status) {
  switch (status) {
    case cudaErrorECCUncorrectable:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorIllegalAddress:
    case cudaErrorAssert:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContextIsDestroyed:
      return true;
    default:
      return false;
  }
}

std::string described(cudaError_t status, int device, const char* call) {
  return core::concat("[cuda:", device, "] ", call, ": ", cudaGetErrorName(status), ", ", cudaGetErrorString(status));
}

void remember(int device, const std::string& reason) {
  Loss& loss = loss_of(device);
  const std::lock_guard lock(loss.mutex);
  if (loss.lost.load(std::memory_order_relaxed)) return;
  loss.reason = reason;
  loss.lost.store(true, std::memory_order_release);
}

std::string version_text(int version) { return core::concat(version / 1000, ".", version % 1000 / 10); }

/// cudaGetDeviceCount's error in words. A missing driver is told by its version being 0: the error alone says "too old".
std::string driver_problem(cudaError_t status, int driver) {
  int runtime = 0;
  static_cast<void>(cudaRuntimeGetVersion(&runtime));
  if (driver == 0) return "no NVIDIA driver was found on this machine";
  switch (status) {
    case cudaErrorInsufficientDriver:
      return core::concat("the NVIDIA driver supports CUDA ", version_text(driver), ", this build of lamella needs CUDA ",
                          runtime / 1000, ".0 or later; update the driver");
    case cudaErrorNoDevice:
      return "the NVIDIA driver is there, but no GPU is visible; look at CUDA_VISIBLE_DEVICES, and at the container's GPU access";
    case cudaErrorSystemDriverMismatch:
      return "the NVIDIA kernel module and the driver's libraries are of different versions; reboot, or reload the module";
    case cudaErrorCompatNotSupportedOnDevice:
      return "a CUDA compatibility package is installed that this GPU does not support; remove it";
    case cudaErrorSymbolNotFound:
      return "the NVIDIA driver's library is incomplete; reinstall the driver";
    default:
      return core::concat("the NVIDIA driver does not start: ", cudaGetErrorName(status), ", ", cudaGetErrorString(status));
  }
}

}  // namespace

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
    // The next call that can throw meets the same error.
  }
}

bool is_lost(int device) noexcept { return loss_of(device).lost.load(std::memory_order_acquire); }

namespace {

template <typename Wait>
void wait_twice(int device, const Wait& wait) noexcept {
  for (int attempt = 0; attempt < 2; ++attempt) {
    const cudaError_t status = wait();
    if (status == cudaSuccess) return;
    check_quietly(status, device, "waiting");
    if (is_lost(device)) return;
  }
  loss_of(device).unsettled.store(true, std::memory_order_release);
}

}  // namespace

void wait_quietly(cudaStream_t stream, int device) noexcept {
  wait_twice(device, [&] { return cudaStreamSynchronize(stream); });
}
void wait_quietly(cudaEvent_t event, int device) noexcept {
  wait_twice(device, [&] { return cudaEventSynchronize(event); });
}

bool settle(int device) noexcept {
  auto& unsettled = loss_of(device).unsettled;
  if (!unsettled.load(std::memory_order_acquire)) return true;
  int before = -1;
  const bool switched = cudaGetDevice(&before) == cudaSuccess && cudaSetDevice(device) == cudaSuccess;
  const cudaError_t status = switched ? cudaDeviceSynchronize() : cudaErrorUnknown;
  if (before >= 0) check_quietly(cudaSetDevice(before), before, "cudaSetDevice");
  check_quietly(status, device, "cudaDeviceSynchronize");
  if (status != cudaSuccess) return false;
  unsettled.store(false, std::memory_order_release);
  return true;
}

void restore_devices() noexcept {
  for (int device = 0; device < kMostDevices; ++device) {
    loss_of(device).lost.store(false);
    loss_of(device).unsettled.store(false);
  }
}

void expect_alive(int device) {
  if (!is_lost(device)) return;
  Loss& loss = loss_of(device);
  const std::lock_guard lock(loss.mutex);
  throw DeviceError(
      ErrorCode::device_lost,
      core::concat(
          "[cuda:", device,
          "] the device is lost until this process is started anew; the first error, caused at or before it: ", loss.reason));
}

DeviceGuard::DeviceGuard(int device) {
  expect_alive(device);
  int current = -1;
  const cudaError_t status = cudaGetDevice(&current);
  if (is_sticky(status)) current = -1;  // another device is lost, and was current: there is nothing to go back to
  if (!is_sticky(status)) check(status, device, "cudaGetDevice");
  if (current == device) return;
  check(cudaSetDevice(device), device, "cudaSetDevice");
  before_ = current;
}

DeviceGuard::~DeviceGuard() {
  if (before_ >= 0) check_quietly(cudaSetDevice(before_), before_, "cudaSetDevice");
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
