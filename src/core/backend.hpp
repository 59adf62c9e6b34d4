// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include <lamella/device.hpp>

namespace lamella::ops {
class OpSet;
}

namespace lamella::core {

/// Work in order on one device. A CPU stream runs work at once, in the calling thread.
class Stream {
 public:
  virtual ~Stream() = default;
  /// Returns when everything enqueued so far is done. Throws DeviceError for what went wrong since the last call.
  virtual void synchronize() = 0;
  /// The vendor's handle (cudaStream_t), null on the CPU.
  [[nodiscard]] virtual void* native() const noexcept = 0;
};

/// One kind of device: its memory, its streams and its operations. One object per process and kind; thread-safe.
class Backend {
 public:
  virtual ~Backend() = default;
  /// How many devices of this kind can be used.
  [[nodiscard]] virtual int device_count() const = 0;
  /// "NVIDIA H200, 139 GiB": for people.
  [[nodiscard]] virtual std::string describe(int index) const = 0;
  /// At least `bytes` of device memory, freed when the last owner goes. Throws Error (out_of_memory), DeviceError.
  [[nodiscard]] virtual std::shared_ptr<void> allocate(int index, std::size_t bytes) = 0;
  /// Copies between this device and the host, or within the device; returns when the copy is complete.
  virtual void copy(int index, void* dst, const void* src, std::size_t bytes) = 0;
  /// Fills device memory with a byte; returns when done.
  virtual void fill(int index, void* dst, int byte, std::size_t bytes) = 0;
  [[nodiscard]] virtual std::unique_ptr<Stream> create_stream(int index) = 0;
  [[nodiscard]] virtual ops::OpSet& ops() = 0;
};

/// Host memory of the CPU device, aligned to 64 bytes. Throws Error (out_of_memory).
[[nodiscard]] std::shared_ptr<void> allocate_host(std::size_t bytes);

/// The CUDA backend, opened on first use. Throws DeviceError with the reason when there is none.
[[nodiscard]] Backend& cuda_backend();
/// Why cuda_backend() would throw; empty when it would not.
[[nodiscard]] std::string why_no_cuda_backend();

}  // namespace lamella::core
