// SPDX-License-Identifier: Apache-2.0
#include "tests/ptx/runtime.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <string>
#include <utility>

#include <cuda_runtime_api.h>

#include "tests/ptx/fat_binary.hpp"

namespace ptx::runtime {
namespace {

struct Kernel {
  std::size_t fat_binary;
  std::string name;
};

struct World {
  MemoryMap memory;
  double approximation_error = 0;
  unsigned seed = 0;
  std::vector<Finding> findings;
  std::set<std::string> launched;
  std::function<std::string(std::string)> edit;
  std::vector<const void*> fat_binaries;
  std::map<std::size_t, std::vector<Module>> read;  ///< by fat binary
  std::vector<Module> modules;
  std::map<const void*, Kernel> kernels;  ///< by the host's stub
};

/// Registration runs before main, so this is made when it is first asked for, and lives until the process is gone.
World& world() {
  static World& it = *new World;
  return it;
}

const std::vector<Module>& modules_of(std::size_t fat_binary) {
  const auto [at, added] = world().read.try_emplace(fat_binary);
  if (added) {
    for (std::string& text : texts_of_fat_binary(world().fat_binaries[fat_binary]))
      at->second.push_back(Module::parse(world().edit ? world().edit(std::move(text)) : std::move(text)));
  }
  return at->second;
}

cudaError_t run(const void* stub, dim3 grid, dim3 block, void** arguments, std::size_t shared) {
  const auto found = world().kernels.find(stub);
  if (found == world().kernels.end()) return cudaErrorInvalidDeviceFunction;
  const std::string& name = found->second.name;
  const std::vector<Module>& modules = modules_of(found->second.fat_binary);
  if (modules.empty()) return cudaErrorNoKernelImageForDevice;
  if (shared > 48U << 10 || grid.y > 0xFFFF || grid.z > 0xFFFF || grid.x == 0 || grid.y == 0 || grid.z == 0)
    return cudaErrorInvalidValue;
  std::vector<unsigned char> parameters;
  const std::vector<Parameter> places = modules.front().parameters(name);
  for (std::size_t i = 0; i < places.size(); ++i) {
    parameters.resize(places[i].offset + places[i].bytes);
    std::memcpy(parameters.data() + places[i].offset, arguments[i], places[i].bytes);
  }
  const Launch how{.grid = {grid.x, grid.y, grid.z},
                   .block = {block.x, block.y, block.z},
                   .shared = shared,
                   .parameters = parameters,
                   .approximation_error = world().approximation_error,
                   .seed = world().seed};
  std::vector<Finding> findings = launch(modules.front(), name, how, world().memory);
  std::move(findings.begin(), findings.end(), std::back_inserter(world().findings));
  world().launched.insert(name);
  return cudaSuccess;
}

/// Exceptions do not pass through functions of C: what is thrown here is a fault of this device.
template <typename F>
cudaError_t guarded(const F& f) {
  try {
    return f();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    std::abort();
  }
}

struct Configuration {
  dim3 grid;
  dim3 block;
  std::size_t shared;
  void* stream;
};
Configuration pushed;

}  // namespace

MemoryMap& memory() { return world().memory; }
void approximate(double error, unsigned seed) {
  world().approximation_error = error;
  world().seed = seed;
}
std::vector<Finding> take_findings() { return std::exchange(world().findings, {}); }
const std::set<std::string>& launched() { return world().launched; }
void edit(std::function<std::string(std::string)> change) {
  world().edit = std::move(change);
  world().read.clear();
  world().modules.clear();
}
const std::vector<Module>& modules() {
  if (world().modules.empty()) {
    for (std::size_t i = 0; i < world().fat_binaries.size(); ++i) {
      for (const Module& module : modules_of(i)) world().modules.push_back(module);
    }
  }
  return world().modules;
}

}  // namespace ptx::runtime

// NOLINTBEGIN(bugprone-reserved-identifier): their names are nvcc's.
extern "C" {

void** __cudaRegisterFatBinary(void* wrapper) {
  auto& binaries = ptx::runtime::world().fat_binaries;
  binaries.push_back(wrapper);
  return reinterpret_cast<void**>(binaries.size());
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterFunction(void** binary, const char* stub, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*, int*) {
  ptx::runtime::world().kernels[stub] = {reinterpret_cast<std::size_t>(binary) - 1, name};
}
/// The host's shadow of a module's variable: only symbols that are copied to or from would need it.
void __cudaRegisterVar(void**, char*, char*, const char*, int, std::size_t, int, int) {}
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, std::size_t shared, void* stream) {
  ptx::runtime::pushed = {grid, block, shared, stream};
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, std::size_t* shared, void* stream) {
  *grid = ptx::runtime::pushed.grid;
  *block = ptx::runtime::pushed.block;
  *shared = ptx::runtime::pushed.shared;
  *static_cast<void**>(stream) = ptx::runtime::pushed.stream;
  return cudaSuccess;
}
/// A kernel is known by its stub.
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* stub) {
  *kernel = static_cast<cudaKernel_t>(const_cast<void*>(stub));
  return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, std::size_t shared, cudaStream_t) {
  return ptx::runtime::guarded([&] { return ptx::runtime::run(kernel, grid, block, arguments, shared); });
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* stub, void** arguments) {
  return ptx::runtime::guarded(
      [&] { return ptx::runtime::run(stub, config->gridDim, config->blockDim, arguments, config->dynamicSmemBytes); });
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes*, const void*) { return cudaSuccess; }
}
// NOLINTEND(bugprone-reserved-identifier)
