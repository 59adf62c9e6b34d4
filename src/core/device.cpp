// SPDX-License-Identifier: Apache-2.0
#include <lamella/device.hpp>

#include "core/backend.hpp"
#include "core/check.hpp"
#include "core/number.hpp"

namespace lamella {

Device Device::cuda(int index) {
  LAMELLA_EXPECTS(index >= 0, value, "[Device::cuda] index: got {}, allowed 0..", index);
  return {DeviceKind::cuda, index};
}

Device Device::parse(std::string_view text) {
  if (text == "auto" || text == "automatic") return automatic();
  if (text == "cpu") return cpu();
  if (text == "cuda") return cuda(0);
  if (text.starts_with("cuda:")) {
    const std::string_view digits = text.substr(5);
    if (const auto index = core::number_in<int>(digits); index && digits.front() != '-') return cuda(*index);
  }
  core::throw_argument(ErrorCode::value, core::format("device: got '{}', allowed auto, cpu, cuda, cuda:N", core::escaped(text)));
}

std::string_view to_string(DeviceKind kind) noexcept {
  switch (kind) {
    case DeviceKind::automatic:
      return "automatic";
    case DeviceKind::cpu:
      return "cpu";
    case DeviceKind::cuda:
      return "cuda";
  }
  return "no device";
}

std::string to_string(Device device) {
  std::string text(to_string(device.kind()));
  if (device.is_cuda()) text += core::format(":{}", device.index());
  return text;
}

std::vector<Device> available_devices() {
  std::vector<Device> devices;
  if (why_no_cuda().empty()) {
    for (int i = 0; i < core::cuda_backend().device_count(); ++i) devices.push_back(Device::cuda(i));
  }
  devices.push_back(Device::cpu());
  return devices;
}

std::string why_no_cuda() { return core::why_no_cuda_backend(); }

std::string describe(Device device) {
  device = resolve(device);
  core::Backend& backend = core::backend(device);
  std::string text = backend.describe(device.index());
  const char* before = "; ";
  for (const std::string& library : backend.libraries()) {
    text += before + library;
    before = ", ";
  }
  return text;
}

std::string core::why_on_the_host() {
  std::string why = why_no_cuda();
  for (const Device& one : available_devices()) {
    const std::string reason = core::backend(one).why_unusable(one.index());
    if (!reason.empty()) why += (why.empty() ? "" : "; ") + reason;
  }
  return why;
}

Device resolve(Device device) {
  if (device.kind() == DeviceKind::automatic) {
    for (const Device& one : available_devices()) {
      if (core::backend(one).why_unusable(one.index()).empty()) return one;
    }
  }
  const int count = core::backend(device).device_count();
  if (device.index() >= count) {
    throw DeviceError(
        ErrorCode::device,
        core::format("[Device] {} does not exist; there are {} CUDA devices, the first is cuda:0", to_string(device), count));
  }
  return device;
}

}  // namespace lamella
