// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <cuda_runtime_api.h>

#include "core/check.hpp"

/// Every call to CUDA goes through check(): an error becomes an exception that names the call.
namespace lamella::cuda {

/// Makes a device current in this thread for as long as it lives. Throws DeviceError, also when the device is lost.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device);
  ~DeviceGuard();
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int before_ = -1;
};

/// Throws for anything but cudaSuccess: Error (out_of_memory), DeviceError (device), or DeviceError (device_lost) for an error
/// after which CUDA refuses all further work in this process; then `device` is marked lost with this call as the reason.
void check(cudaError_t status, int device, const char* call);

/// For destructors: a failure is not reported, only remembered when it means that the device is lost.
void check_quietly(cudaError_t status, int device, const char* call) noexcept;

/// Waits for a stream or an event in a destructor. When even a second attempt fails, what it held may still run: the device is
/// unsettled.
void wait_quietly(cudaStream_t stream, int device) noexcept;
void wait_quietly(cudaEvent_t event, int device) noexcept;
/// Whether no work can be under way that somebody failed to wait for: else memory may not be given back. Waits for the whole
/// device then.
[[nodiscard]] bool settle(int device) noexcept;

/// Throws DeviceError (device_lost) with the first reason when the device is lost.
void expect_alive(int device);
[[nodiscard]] bool is_lost(int device) noexcept;
/// Forgets all losses, as a new process would. For tests, which are many processes in one.
void restore_devices() noexcept;

/// How many devices can be used; 0 with a sentence that says what to do in `why_not`. Asks the driver.
[[nodiscard]] int usable_devices(std::string& why_not);

}  // namespace lamella::cuda
