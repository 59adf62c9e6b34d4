// SPDX-License-Identifier: Apache-2.0
#include "tests/ptx/registry.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <utility>

#include <cuda_runtime_api.h>

#include "tests/ptx/fat_binary.hpp"
#include "tests/ptx/program.hpp"

namespace ptx::registry {
namespace {

struct Place {
  std::size_t fat_binary;
  std::string name;
};

struct State {
  std::set<std::string> launched;
  std::function<std::string(std::string)> edit;
  std::vector<const void*> fat_binaries;
  std::map<std::size_t, std::vector<Module>> read;  ///< by fat binary
  std::vector<Module> modules;
  std::map<const void*, Place> kernels;  ///< by the host's stub
};

/// Registration runs before main, so this is made on first use and never destroyed.
State& state() {
  static State& it = *new State;
  return it;
}

const std::vector<Module>& modules_of(std::size_t fat_binary) {
  const auto [at, added] = state().read.try_emplace(fat_binary);
  if (added) {
    for (std::string& text : texts_of_fat_binary(state().fat_binaries[fat_binary]))
      at->second.push_back(Module::parse(state().edit ? state().edit(std::move(text)) : std::move(text)));
  }
  return at->second;
}

struct Configuration {
  dim3 grid;
  dim3 block;
  std::size_t shared;
  void* stream;
};
thread_local Configuration pushed;

}  // namespace

std::vector<unsigned char> Kernel::parameters(void** arguments) const {
  std::vector<unsigned char> bytes;
  const std::vector<Parameter> places = module.parameters(name);
  for (std::size_t i = 0; i < places.size(); ++i) {
    bytes.resize(places[i].offset + places[i].bytes);
    std::memcpy(bytes.data() + places[i].offset, arguments[i], places[i].bytes);
  }
  return bytes;
}

std::optional<Kernel> find(const void* stub) {
  const auto found = state().kernels.find(stub);
  if (found == state().kernels.end()) return std::nullopt;
  const std::vector<Module>& modules = modules_of(found->second.fat_binary);
  if (modules.empty()) return std::nullopt;
  return Kernel{modules.front(), found->second.name};
}

namespace {

void count(const Kernel& kernel) {
  static const char* const names = std::getenv("LAMELLA_PTX_LAUNCHED");
  if (state().launched.insert(kernel.name).second && names != nullptr) std::ofstream(names, std::ios::app) << kernel.name + "\n";
}

}  // namespace

std::vector<Finding> launch(const Kernel& kernel, const Launch& how, MemoryMap& memory) {
  count(kernel);
  return ptx::launch(kernel.module, kernel.name, how, memory);
}

std::unique_ptr<EarlyGrid> launch_early(const Kernel& kernel, const Launch& how, MemoryMap& memory) {
  count(kernel);
  return std::make_unique<EarlyGrid>(kernel.module, kernel.name, how, memory);
}

bool lets_next_begin(const Kernel& kernel) { return kernel.module.program(kernel.name).lets_next_begin; }

int architecture(const void* stub) {
  const auto kernel = find(stub);
  return kernel ? std::atoi(kernel->module.target().substr(3).data()) : 0;
}

bool legal(const Kernel& kernel, const Launch& how, std::size_t most_shared) {
  constexpr unsigned kMostBlocks = 8;  // of a cluster, on every device that has them
  const auto& [x, y, z] = how.grid;
  const std::uint64_t threads = std::uint64_t{how.block[0]} * how.block[1] * how.block[2];
  return x > 0 && x <= 0x7FFF'FFFF && y > 0 && y <= 0xFFFF && z > 0 && z <= 0xFFFF && threads > 0 &&
         threads <= kernel.module.program(kernel.name).most_threads && how.shared <= most_shared && how.cluster > 0 &&
         how.cluster <= kMostBlocks && x % how.cluster == 0;
}

const std::set<std::string>& launched() { return state().launched; }

void edit(std::function<std::string(std::string)> change) {
  state().edit = std::move(change);
  state().read.clear();
  state().modules.clear();
}

std::string four_bytes_on(std::string statement) {
  const std::size_t end = statement.find(']');
  const std::size_t begin = std::min(statement.find('+'), end);
  const int offset = begin < end ? std::stoi(statement.substr(begin + 1)) : 0;
  return statement.replace(begin, end - begin, "+" + std::to_string(offset + 4));
}

void edit_statements(const std::string& start, const std::function<std::string(const std::string&)>& change) {
  edit([=](const std::string& text) {
    std::string result;
    std::size_t done = 0;
    for (std::size_t at = text.find(start); at != std::string::npos; at = text.find(start, done)) {
      const std::size_t end = text.find(';', at);
      result += text.substr(done, at - done) + change(text.substr(at, end - at));
      done = end;
    }
    return result + text.substr(done);
  });
}

const std::vector<Module>& modules() {
  if (state().modules.empty()) {
    for (std::size_t i = 0; i < state().fat_binaries.size(); ++i) {
      for (const Module& module : modules_of(i)) state().modules.push_back(module);
    }
  }
  return state().modules;
}

}  // namespace ptx::registry

// NOLINTBEGIN(bugprone-reserved-identifier): their names are nvcc's.
extern "C" {

void** __cudaRegisterFatBinary(void* wrapper) {
  auto& binaries = ptx::registry::state().fat_binaries;
  binaries.push_back(wrapper);
  return reinterpret_cast<void**>(binaries.size());
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterFunction(void** binary, const char* stub, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*, int*) {
  ptx::registry::state().kernels[stub] = {reinterpret_cast<std::size_t>(binary) - 1, name};
}
/// The host's shadow of a module's variable, needed only to copy to or from symbols.
void __cudaRegisterVar(void**, char*, char*, const char*, int, std::size_t, int, int) {}
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, std::size_t shared, void* stream) {
  ptx::registry::pushed = {grid, block, shared, stream};
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, std::size_t* shared, void* stream) {
  const auto& pushed = ptx::registry::pushed;
  *grid = pushed.grid;
  *block = pushed.block;
  *shared = pushed.shared;
  *static_cast<void**>(stream) = pushed.stream;
  return cudaSuccess;
}
/// A kernel is identified by its stub.
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* stub) {
  *kernel = static_cast<cudaKernel_t>(const_cast<void*>(stub));
  return cudaSuccess;
}
}
// NOLINTEND(bugprone-reserved-identifier)
