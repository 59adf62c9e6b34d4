// SPDX-License-Identifier: Apache-2.0
#include "tests/ptx/runtime.hpp"

#include <iterator>
#include <utility>

#include <cuda_runtime_api.h>

namespace ptx::runtime {
namespace {

struct State {
  MemoryMap memory;
  double approximation_error = 0;
  unsigned seed = 0;
  std::vector<Finding> findings;
};
State& state() {
  static State& it = *new State;
  return it;
}

cudaError_t run(const void* stub, dim3 grid, dim3 block, void** arguments, std::size_t shared) {
  const auto kernel = registry::find(stub);
  if (!kernel) return cudaErrorInvalidDeviceFunction;
  const std::vector<unsigned char> parameters = kernel->parameters(arguments);
  const Launch how{.grid = {grid.x, grid.y, grid.z},
                   .block = {block.x, block.y, block.z},
                   .shared = shared,
                   .parameters = parameters,
                   .approximation_error = state().approximation_error,
                   .seed = state().seed};
  if (!registry::legal(*kernel, how)) return cudaErrorInvalidConfiguration;
  std::vector<Finding> findings = registry::launch(*kernel, how, state().memory);
  std::move(findings.begin(), findings.end(), std::back_inserter(state().findings));
  return cudaSuccess;
}

}  // namespace

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
  return ptx::registry::guarded(
      [&] { return ptx::runtime::run(stub, config->gridDim, config->blockDim, arguments, config->dynamicSmemBytes); });
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* stub) {
  *attributes = {};
  attributes->ptxVersion = ptx::registry::architecture(stub);
  return cudaSuccess;
}
}
