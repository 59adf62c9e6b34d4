// SPDX-License-Identifier: Apache-2.0
#include "cuda/fake_backend.hpp"

#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "core/check.hpp"
#include "cuda/backend.hpp"
#include "cuda/status.hpp"
#include "cuda/trouble.hpp"

namespace lamella {
namespace {

struct State {
  std::mutex mutex;
  bool opened = false;
  std::unique_ptr<cuda::CudaBackend> backend;
  std::string why_not;

  /// Opens the backend as lamella_cuda_plugin_1 and its caller do.
  void open() {
    const std::lock_guard lock(mutex);
    if (std::exchange(opened, true)) return;
    why_not.clear();
    const int devices = cuda::usable_devices(why_not);
    if (devices > 0) backend = std::make_unique<cuda::CudaBackend>(devices);
  }
};

/// Never destroyed, because static objects of tests may own memory of the double.
State& state() {
  static auto* const state = new State;
  return *state;
}

/// As in a new process: nothing is known of any device.
void forget_devices() {
  for (int device = 0; device < static_cast<int>(cuda::kMostDevices); ++device) {
    cuda::Trouble& trouble = cuda::trouble_of(device);
    trouble.lost.store(false);
    trouble.undrained.store(false);
    trouble.pending.clear();
    trouble.untracked = false;
    cuda::primary_context_of(device).store(nullptr);
  }
}

}  // namespace

namespace test {

void stop_cuda() {
  state().backend.reset();
  state().opened = false;
}

void restart_cuda(const fake_cuda::Options& options) {
  stop_cuda();
  forget_devices();
  fake_cuda::reset(options);
}

}  // namespace test

namespace core {

Backend& cuda_backend() {
  state().open();
  if (!state().backend) throw DeviceError(ErrorCode::device, core::format("[cuda] {}", state().why_not));
  return *state().backend;
}

std::string why_no_cuda_backend() {
  state().open();
  return state().backend ? std::string() : state().why_not;
}

}  // namespace core
}  // namespace lamella
