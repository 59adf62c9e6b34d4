// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <lamella/export.hpp>

namespace lamella {

/// A kind of device; `automatic` is resolved to one of the others.
enum class DeviceKind { automatic, cpu, cuda };

/// Where memory resides and work runs: the CPU, one CUDA device, or `automatic`, which a Model resolves once when it is made.
class LAMELLA_API Device {
 public:
  Device() noexcept = default;  ///< the CPU
  [[nodiscard]] static Device automatic() noexcept { return {DeviceKind::automatic, 0}; }
  [[nodiscard]] static Device cpu() noexcept { return {}; }
  /// The index-th CUDA device. Throws ArgumentError (value) for a negative index; whether the device exists is checked on use.
  [[nodiscard]] static Device cuda(int index = 0);
  /// "auto", "automatic", "cpu", "cuda" or "cuda:N". Throws ArgumentError (value) for anything else.
  [[nodiscard]] static Device parse(std::string_view text);

  [[nodiscard]] DeviceKind kind() const noexcept { return kind_; }
  [[nodiscard]] int index() const noexcept { return index_; }
  [[nodiscard]] bool is_cpu() const noexcept { return kind_ == DeviceKind::cpu; }
  [[nodiscard]] bool is_cuda() const noexcept { return kind_ == DeviceKind::cuda; }
  friend bool operator==(Device a, Device b) noexcept = default;

 private:
  Device(DeviceKind kind, int index) noexcept : kind_(kind), index_(index) {}
  DeviceKind kind_ = DeviceKind::cpu;
  int index_ = 0;
};

/// "automatic", "cpu", "cuda"; "no device" for a number outside the enumeration.
[[nodiscard]] LAMELLA_API std::string_view to_string(DeviceKind kind) noexcept;
/// "cpu", "cuda:0", "automatic": what Device::parse() reads.
[[nodiscard]] LAMELLA_API std::string to_string(Device device);

/// The devices that this process can use now, best first; the CPU is always among them.
[[nodiscard]] LAMELLA_API std::vector<Device> available_devices();
/// Why no CUDA device can be used, as one sentence; empty when one can.
[[nodiscard]] LAMELLA_API std::string why_no_cuda();
/// A device as logs and result files describe it. For a GPU: name, compute capability, memory and multiprocessors, then the
/// versions of driver, runtime and libraries, "; " before the first and ", " between them. Throws DeviceError when it cannot be
/// used.
[[nodiscard]] LAMELLA_API std::string describe(Device device);
/// What Device::automatic() means on this machine: the first CUDA device that works, else the CPU. Other devices are returned as
/// they are. Throws DeviceError for one that does not exist.
[[nodiscard]] LAMELLA_API Device resolve(Device device);

}  // namespace lamella
