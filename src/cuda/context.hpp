// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <new>

namespace lamella::cuda {

/// Makes a device's primary context current in this thread for as long as it lives, and leaves the thread as it was: also one
/// without a context, for which cudaSetDevice() would make one on the device that it goes back to.
class DeviceGuard {
 public:
  /// Throws DeviceError, also when the device is lost.
  explicit DeviceGuard(int device);
  /// For destructors: where it fails, is_lost() or the calls that follow say so.
  DeviceGuard(int device, std::nothrow_t) noexcept;
  ~DeviceGuard();
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int device_;
  bool pushed_ = false;
};

/// Forgets the contexts, as a new process would. For tests.
void forget_contexts() noexcept;

}  // namespace lamella::cuda
