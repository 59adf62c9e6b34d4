// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <new>

namespace lamella::cuda {

/// Makes a device's primary context current in this thread while it lives, then restores the previous state, including that of a
/// thread without a context, for which cudaSetDevice() would create one on the restored device.
class DeviceGuard {
 public:
  /// Throws DeviceError, also if the device is lost.
  explicit DeviceGuard(int device);
  /// For destructors: after a failure, is_lost() or later calls report it.
  DeviceGuard(int device, std::nothrow_t) noexcept;
  ~DeviceGuard();
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int device_;
  bool pushed_ = false;
};

}  // namespace lamella::cuda
