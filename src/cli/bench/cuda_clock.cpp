// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/cuda_clock.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <cmath>
#include <lamella/error.hpp>

#include "core/format.hpp"

namespace lamella::bench {
namespace {

using Pointer = std::uint64_t;  // CUdeviceptr
using Handle = void*;           // CUcontext, CUstream, CUevent

/// The driver functions used here, by their exported names.
class Driver {
 public:
  explicit Driver(const std::string& path) : library_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (library_ == nullptr)
      throw DeviceError(ErrorCode::device, std::string("bench: the CUDA driver cannot be opened: ") + dlerror());
    find(init, "cuInit");
    find(device_get, "cuDeviceGet");
    find(device_attribute, "cuDeviceGetAttribute");
    find(primary_retain, "cuDevicePrimaryCtxRetain");
    find(set_current, "cuCtxSetCurrent");
    find(stream_create, "cuStreamCreate");
    find(stream_synchronize, "cuStreamSynchronize");
    find(event_create, "cuEventCreate");
    find(event_record, "cuEventRecord");
    find(event_synchronize, "cuEventSynchronize");
    find(event_elapsed, "cuEventElapsedTime");
    find(allocate, "cuMemAlloc_v2");
    find(free, "cuMemFree_v2");
    find(copy, "cuMemcpyDtoDAsync_v2");
    find(fill, "cuMemsetD8Async");
  }

  int (*init)(unsigned) = nullptr;
  int (*device_get)(int*, int) = nullptr;
  int (*device_attribute)(int*, int, int) = nullptr;
  int (*primary_retain)(Handle*, int) = nullptr;
  int (*set_current)(Handle) = nullptr;
  int (*stream_create)(Handle*, unsigned) = nullptr;
  int (*stream_synchronize)(Handle) = nullptr;
  int (*event_create)(Handle*, unsigned) = nullptr;
  int (*event_record)(Handle, Handle) = nullptr;
  int (*event_synchronize)(Handle) = nullptr;
  int (*event_elapsed)(float*, Handle, Handle) = nullptr;
  int (*allocate)(Pointer*, std::size_t) = nullptr;
  int (*free)(Pointer) = nullptr;
  int (*copy)(Pointer, Pointer, std::size_t, Handle) = nullptr;
  int (*fill)(Pointer, unsigned char, std::size_t, Handle) = nullptr;

 private:
  template <typename Function>
  void find(Function& function, const char* name) {
    function = reinterpret_cast<Function>(dlsym(library_, name));
    if (function == nullptr) throw DeviceError(ErrorCode::device, std::string("bench: the CUDA driver has no ") + name);
  }

  void* library_;  // stays open: the process may have work on it
};

void expect_done(int status, const char* what) {
  if (status != 0) throw DeviceError(ErrorCode::device, core::format("bench: {} failed: CUDA error {}", what, status));
}

/// Device memory for one measurement.
class Buffer {
 public:
  Buffer(const Driver& driver, std::size_t bytes) : driver_(driver) { expect_done(driver.allocate(&at, bytes), "cuMemAlloc"); }
  ~Buffer() { static_cast<void>(driver_.free(at)); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  Pointer at = 0;

 private:
  const Driver& driver_;
};

/// The stream and the events live as long as the process, as the primary context does.
class CudaClock final : public Clock {
 public:
  CudaClock(int index, const std::string& path) : driver_(path) {
    constexpr int kL2Bytes = 38;
    constexpr unsigned kNonBlocking = 1;
    int device = 0;
    int l2 = 0;
    Handle context = nullptr;
    expect_done(driver_.init(0), "cuInit");
    expect_done(driver_.device_get(&device, index), "cuDeviceGet");
    expect_done(driver_.device_attribute(&l2, kL2Bytes, device), "cuDeviceGetAttribute");
    expect_done(driver_.primary_retain(&context, device), "cuDevicePrimaryCtxRetain");
    expect_done(driver_.set_current(context), "cuCtxSetCurrent");
    expect_done(driver_.stream_create(&stream_, kNonBlocking), "cuStreamCreate");
    expect_done(driver_.event_create(&begin_, 0), "cuEventCreate");
    expect_done(driver_.event_create(&end_, 0), "cuEventCreate");
    evicted_ = std::make_unique<Buffer>(driver_, evicted_bytes_ = 2 * static_cast<std::size_t>(std::max(l2, 1 << 20)));
  }

  double time(const Call& call, std::int64_t calls) override {
    expect_done(driver_.event_record(begin_, stream_), "cuEventRecord");
    for (std::int64_t i = 0; i < calls; ++i) call();
    expect_done(driver_.event_record(end_, stream_), "cuEventRecord");
    expect_done(driver_.event_synchronize(end_), "the measured work");
    float ms = 0;
    expect_done(driver_.event_elapsed(&ms, begin_, end_), "cuEventElapsedTime");
    return static_cast<double>(ms) * 1e3;
  }

  void evict() override {
    expect_done(driver_.fill(evicted_->at, 1, evicted_bytes_, stream_), "cuMemsetD8Async");
    expect_done(driver_.stream_synchronize(stream_), "cuMemsetD8Async");
  }

  double copy_rate(std::size_t bytes) override {
    const Buffer from(driver_, bytes / 2);
    const Buffer to(driver_, bytes / 2);
    const Call copy = [&] { expect_done(driver_.copy(to.at, from.at, bytes / 2, stream_), "cuMemcpyDtoDAsync"); };
    static_cast<void>(time(copy, 3));
    const double once = std::max(time(copy, 1), 0.1);
    const auto calls = std::max<std::int64_t>(1, std::llround(2000 / once));
    double best = time(copy, calls);
    for (int i = 0; i < 10; ++i) best = std::min(best, time(copy, calls));
    return static_cast<double>(bytes) * static_cast<double>(calls) / best;
  }

  [[nodiscard]] void* stream() const noexcept override { return stream_; }

 private:
  Driver driver_;
  Handle stream_ = nullptr;
  Handle begin_ = nullptr;
  Handle end_ = nullptr;
  std::size_t evicted_bytes_ = 0;
  std::unique_ptr<Buffer> evicted_;
};

}  // namespace

std::unique_ptr<Clock> make_cuda_clock(int index, const std::string& driver) {
  return std::make_unique<CudaClock>(index, driver);
}

}  // namespace lamella::bench
