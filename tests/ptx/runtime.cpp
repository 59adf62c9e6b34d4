// SPDX-License-Identifier: Apache-2.0
#include "tests/ptx/runtime.hpp"

#include <deque>
#include <iterator>
#include <map>
#include <memory>
#include <utility>

#include <cuda_runtime_api.h>

#include "tests/ptx/attributes.hpp"

namespace ptx::runtime {
namespace {

struct Queued {
  registry::Kernel kernel;
  Launch how;
  std::vector<unsigned char> parameters;
  bool overlaps;
  std::unique_ptr<EarlyGrid> early = {};
};

struct State {
  bool queues = false;
  std::deque<Queued> queued;
  std::map<const void*, std::size_t> most_shared;
  MemoryMap memory;
  double approximation_error = 0;
  unsigned seed = 0;
  std::vector<Finding> findings;
};
State& state() {
  static State& it = *new State;
  return it;
}

void add(std::vector<Finding> findings) { std::move(findings.begin(), findings.end(), std::back_inserter(state().findings)); }

void run_queued() {
  std::deque<Queued>& all = state().queued;
  for (; !all.empty(); all.pop_front()) {
    bool may_begin =
        registry::lets_next_begin(all.front().kernel) && (!all.front().early || all.front().early->lets_next_begin());
    for (std::size_t n = 1; n < all.size() && all[n].overlaps && may_begin; ++n) {
      if (!all[n].early) all[n].early = registry::launch_early(all[n].kernel, all[n].how, state().memory);
      may_begin = all[n].early->lets_next_begin();
    }
    Queued& first = all.front();
    if (first.overlaps && !first.early) first.early = registry::launch_early(first.kernel, first.how, state().memory);
    add(first.early ? first.early->finish() : registry::launch(first.kernel, first.how, state().memory));
  }
}

cudaError_t run(const void* stub, dim3 grid, dim3 block, void** arguments, std::size_t shared,
                const Attributes& attributes = {}) {
  const auto kernel = registry::find(stub);
  if (!kernel) return cudaErrorInvalidDeviceFunction;
  std::vector<unsigned char> parameters = kernel->parameters(arguments);
  const Launch how{.grid = {grid.x, grid.y, grid.z},
                   .block = {block.x, block.y, block.z},
                   .cluster = attributes.cluster,
                   .shared = shared,
                   .parameters = parameters,
                   .approximation_error = state().approximation_error,
                   .seed = state().seed};
  const auto most = state().most_shared.try_emplace(stub, registry::kMostShared).first->second;
  if (!registry::legal(*kernel, how, most)) return cudaErrorInvalidConfiguration;
  if (!attributes.known) return cudaErrorNotSupported;
  state().queued.push_back({*kernel, how, std::move(parameters), attributes.overlaps});
  state().queued.back().how.parameters = state().queued.back().parameters;
  if (!state().queues) run_queued();
  return cudaSuccess;
}

}  // namespace

void queue(bool on) {
  state().queues = on;
  if (!on) run_queued();
}
MemoryMap& memory() { return state().memory; }
void approximate(double error, unsigned seed) {
  state().approximation_error = error;
  state().seed = seed;
}
std::vector<Finding> take_findings() { return std::exchange(state().findings, {}); }

}  // namespace ptx::runtime

extern "C" {

cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments,  // NOLINT: its name is nvcc's
                               std::size_t shared, cudaStream_t) {
  return ptx::registry::guarded([&] { return ptx::runtime::run(kernel, grid, block, arguments, shared); });
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* stub, void** arguments) {
  return ptx::registry::guarded([&] {
    return ptx::runtime::run(stub, config->gridDim, config->blockDim, arguments, config->dynamicSmemBytes,
                             ptx::attributes_of(*config));
  });
}
cudaError_t cudaFuncSetAttribute(const void* stub, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaErrorNotSupported;
  if (value < 0 || static_cast<std::size_t>(value) > ptx::registry::kMostSharedWithAttribute) return cudaErrorInvalidValue;
  ptx::runtime::state().most_shared[stub] = static_cast<std::size_t>(value);
  return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveClusters(int* clusters, const void*, const cudaLaunchConfig_t* config) {
  *clusters = ptx::attributes_of(*config).cluster > 1 ? 1 : 0;
  return cudaSuccess;
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* stub) {
  *attributes = {};
  attributes->ptxVersion = ptx::registry::architecture(stub);
  return cudaSuccess;
}
}
