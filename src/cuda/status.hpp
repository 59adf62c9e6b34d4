// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <cuda_runtime_api.h>

#include "core/check.hpp"

/// Every call to CUDA goes through check(): an error becomes an exception that names the call.
namespace lamella::cuda {

/// Throws for anything but cudaSuccess: Error (out_of_memory), DeviceError (device), or DeviceError (device_lost) for an error
/// after which CUDA refuses all further work in this process; then `device` is marked lost with this call as the reason.
void check(cudaError_t status, int device, const char* call);

/// For destructors: a failure is not reported, only remembered when it means that the device is lost.
void check_quietly(cudaError_t status, int device, const char* call) noexcept;

/// Waits for the work of a stream or an event, then destroys it, in a destructor. When even a second attempt to wait fails, the
/// device may still be at work: memory that the work may use is not given back until drain() has waited for it.
void destroy_when_done(cudaStream_t stream, int device) noexcept;
void destroy_when_done(cudaEvent_t event, int device) noexcept;
/// Waits likewise for a stream of the caller's, after an error; `id` is its cudaStreamGetId.
void wait_for_callers(cudaStream_t stream, unsigned long long id, int device) noexcept;
/// Whether everything that somebody failed to wait for is done by now: else memory may not be given back.
[[nodiscard]] bool drain(int device) noexcept;

/// Throws DeviceError (device_lost) with the first reason when the device is lost.
void expect_alive(int device);
/// Whether no call to CUDA has a purpose any more: after an error that the device did not survive, in a forked child, and when
/// CUDA has been unloaded at the end of the process.
[[nodiscard]] bool is_lost(int device) noexcept;
/// Forgets all losses, as a new process would. For tests, which are many processes in one.
void restore_devices() noexcept;

/// How many devices can be used; 0 with a sentence that says what to do in `why_not`. Asks the driver; makes no context.
[[nodiscard]] int usable_devices(std::string& why_not);

}  // namespace lamella::cuda
