// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <sstream>

#include "tests/ptx/registry.hpp"
#include "world.hpp"

/// Launches of kernels that nvcc compiled: a grid waits in a stream's queue, and tests/ptx executes it in its turn.
namespace fake_cuda::inside {
namespace {

struct Grid {
  ptx::registry::Kernel kernel;
  int device;
  ptx::Launch how;
  std::vector<unsigned char> parameters;

  /// A finding breaks the device's context, as an illegal access does.
  void run() {
    World& w = world();
    how.parameters = parameters;
    ptx::MemoryMap& memory = w.memory.at(static_cast<std::size_t>(device));
    for (const ptx::Finding& finding : ptx::registry::launch(kernel, how, memory)) {
      std::ostringstream text;
      text << finding;
      misuse(text.str());
      w.lost = device;
    }
    for (const auto& [begin, written] : memory.take_used())
      w.used.push_back({w.allocations.at(begin), written ? How::write : How::read});
  }
};

cudaError_t launch_grid(const void* stub, dim3 grid, dim3 block, void** arguments, std::size_t shared, cudaStream_t stream) {
  return call("kernel", Kind::plain, [&] {
    const auto kernel = ptx::registry::find(stub);
    if (!kernel) return cudaErrorInvalidDeviceFunction;
    const auto& without = world().options.no_image;
    if (std::count(without.begin(), without.end(), thread().device) != 0) return cudaErrorNoKernelImageForDevice;
    const ptx::Launch how{.grid = {grid.x, grid.y, grid.z}, .block = {block.x, block.y, block.z}, .shared = shared};
    if (!ptx::registry::legal(*kernel, how)) return cudaErrorInvalidConfiguration;
    auto held = std::make_shared<Grid>(Grid{*kernel, thread().device, how, kernel->parameters(arguments)});
    return enqueue_kernel(stream, {.name = ptx::readable(kernel->name), .run = [held] { held->run(); }}, stub);
  });
}

}  // namespace
}  // namespace fake_cuda::inside

extern "C" {

cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments,  // NOLINT: its name is nvcc's
                               std::size_t shared, cudaStream_t stream) {
  using namespace fake_cuda::inside;
  return ptx::registry::guarded([&] { return launch_grid(kernel, grid, block, arguments, shared, stream); });
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* stub, void** arguments) {
  using namespace fake_cuda::inside;
  return ptx::registry::guarded(
      [&] { return launch_grid(stub, config->gridDim, config->blockDim, arguments, config->dynamicSmemBytes, config->stream); });
}
}
