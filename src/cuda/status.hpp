// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include <cuda_runtime_api.h>

#include "core/check.hpp"

/// Every call to CUDA goes through check(): an error becomes an exception that names the call.
namespace lamella::cuda {

/// Throws for anything but cudaSuccess: Error (out_of_memory), DeviceError (device), or DeviceError (device_lost) for an error
/// after which CUDA refuses all further work in this process; then `device` is marked lost with this call as the reason.
void check(cudaError_t status, int device, const char* call);

/// For destructors: a failure is not reported, but recorded if it means that the device is lost.
void check_quietly(cudaError_t status, int device, const char* call) noexcept;

/// Waits for the work of a stream or an event, then destroys it, in a destructor. If a second attempt to wait fails too, the
/// device may still be working: memory that the work may use is not freed until drain() has waited for it.
void destroy_when_done(cudaStream_t stream, int device) noexcept;
void destroy_when_done(cudaEvent_t event, int device) noexcept;
/// Does the same for a caller's stream, after an error; `id` is its cudaStreamGetId.
void wait_for_callers(cudaStream_t stream, unsigned long long id, int device) noexcept;
/// Whether all work for which waiting failed is done by now; if not, memory must not be freed.
[[nodiscard]] bool drain(int device) noexcept;

/// Throws DeviceError (device_lost) with the first reason if the device is lost.
void expect_alive(int device);
/// Whether calls to CUDA are pointless: after an error that the device did not survive, in a forked child, and after CUDA has
/// been unloaded at process exit.
[[nodiscard]] bool is_lost(int device) noexcept;

/// "13.0": how CUDA and its libraries encode versions, major * unit + minor * unit / 100 + patch.
[[nodiscard]] std::string version_text(std::size_t version, std::size_t unit);

/// The length of tables of devices: more than a machine has.
inline constexpr std::size_t kMostDevices = 64;

/// The number of usable devices; 0 with a sentence in `why_not` that says what to do. Asks the driver; creates no context.
[[nodiscard]] int usable_devices(std::string& why_not);

}  // namespace lamella::cuda
