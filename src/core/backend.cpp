// SPDX-License-Identifier: Apache-2.0
#include "core/backend.hpp"

#include "core/check.hpp"

namespace lamella::core {

Backend& backend(Device device) {
  LAMELLA_ASSERT(device.kind() != DeviceKind::automatic, "Device::automatic() must be resolved first");
  return device.is_cpu() ? cpu_backend() : cuda_backend();
}

bool is_host(Device device) noexcept { return device.is_cpu(); }

}  // namespace lamella::core
