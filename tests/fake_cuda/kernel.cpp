// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <memory>
#include <sstream>
#include <utility>

#include "tests/ptx/attributes.hpp"
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
  bool overlaps = false;
  std::unique_ptr<ptx::EarlyGrid> early = {};  ///< begun

  bool begin() {
    how.parameters = parameters;
    early = ptx::registry::launch_early(kernel, how, memory());
    note_uses();
    return early->lets_next_begin();
  }
  /// A finding breaks the device's context, as an illegal access does.
  void run() {
    if (overlaps && !early) static_cast<void>(begin());
    how.parameters = parameters;
    for (const ptx::Finding& finding : early ? early->finish() : ptx::registry::launch(kernel, how, memory())) {
      std::ostringstream text;
      text << finding;
      misuse(text.str());
      world().lost = device;
    }
    early.reset();
    note_uses();
  }

 private:
  [[nodiscard]] ptx::MemoryMap& memory() const { return world().memory.at(static_cast<std::size_t>(device)); }
  void note_uses() const {
    World& w = world();
    for (const auto& [begin, written] : memory().take_used())
      w.used.push_back({w.allocations.at(begin), written ? How::write : How::read});
  }
};

bool has_clusters() { return world().options.compute_capability >= 90 && world().options.clusters > 0; }

cudaError_t launch_grid(const void* stub, dim3 grid, dim3 block, void** arguments, std::size_t shared, cudaStream_t stream,
                        const ptx::Attributes& attributes = {}) {
  return call("kernel", Kind::plain, [&] {
    const auto kernel = ptx::registry::find(stub);
    if (!kernel) return cudaErrorInvalidDeviceFunction;
    const auto& without = world().options.no_image;
    if (std::count(without.begin(), without.end(), thread().device) != 0) return cudaErrorNoKernelImageForDevice;
    const ptx::Launch how{
        .grid = {grid.x, grid.y, grid.z}, .block = {block.x, block.y, block.z}, .cluster = attributes.cluster, .shared = shared};
    const auto allowed = world().most_shared.find({thread().device, stub});
    const std::size_t most = allowed == world().most_shared.end() ? ptx::registry::kMostShared : allowed->second;
    if (attributes.cluster > 1 && !has_clusters()) return cudaErrorInvalidClusterSize;
    if (!ptx::registry::legal(*kernel, how, most)) return cudaErrorInvalidConfiguration;
    if (!attributes.known) return cudaErrorNotSupported;
    Work work{.name = ptx::readable(kernel->name)};
    if (attributes.overlaps && (world().options.compute_capability < 90 || ptx::registry::architecture(stub) < 90))
      misuse(work.name + " is launched to overlap what is before it, which its code or its device cannot");
    auto held = std::make_shared<Grid>(Grid{*kernel, thread().device, how, kernel->parameters(arguments), attributes.overlaps});
    work.run = [held] { held->run(); };
    work.lets_next_begin = ptx::registry::lets_next_begin(*kernel);
    if (attributes.overlaps) work.begin = [held] { return held->begin(); };
    return enqueue_kernel(stream, std::move(work), stub);
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
  return ptx::registry::guarded([&] {
    return launch_grid(stub, config->gridDim, config->blockDim, arguments, config->dynamicSmemBytes, config->stream,
                       ptx::attributes_of(*config));
  });
}
cudaError_t cudaOccupancyMaxActiveClusters(int* clusters, const void* stub, const cudaLaunchConfig_t* config) {
  using namespace fake_cuda::inside;
  return call("cudaOccupancyMaxActiveClusters", Kind::plain, [&] {
    if (clusters == nullptr || config == nullptr || !ptx::registry::find(stub)) return cudaErrorInvalidValue;
    const auto allowed = world().most_shared.find({thread().device, stub});
    const std::size_t most = allowed == world().most_shared.end() ? ptx::registry::kMostShared : allowed->second;
    if (config->dynamicSmemBytes > most || ptx::attributes_of(*config).cluster < 2) return cudaErrorInvalidValue;
    *clusters = has_clusters() ? world().options.clusters : 0;
    return cudaSuccess;
  });
}
}
