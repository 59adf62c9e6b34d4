// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/ptx/ptx.hpp"

/// The kernels of the program that this is linked into. Programs compiled by nvcc register them with the CUDA runtime before
/// main; here the registry receives them. Such a program is compiled with `-gencode arch=compute_90,code=compute_90
/// --no-compress`, so that it contains its kernels as PTX. Others launch them: tests/ptx/runtime.cpp at once, tests/fake_cuda as
/// a device does. Only registration is thread-safe.
namespace ptx::registry {

struct Kernel {
  Module module;
  std::string name;
  [[nodiscard]] std::vector<unsigned char> parameters(void** arguments) const;
};
/// The kernel of a host stub; null if it is not registered, or its fat binary has no PTX. Throws ParseError.
[[nodiscard]] std::optional<Kernel> find(const void* stub);
/// Launches that kernel and counts it as launched; also adds its name to the file named by LAMELLA_PTX_LAUNCHED.
[[nodiscard]] std::vector<Finding> launch(const Kernel& kernel, const Launch& how, MemoryMap& memory);
/// The same for a launch that overlaps those before it.
[[nodiscard]] std::unique_ptr<EarlyGrid> launch_early(const Kernel& kernel, const Launch& how, MemoryMap& memory);
/// Whether it lets a grid that overlaps it begin before it ends.
[[nodiscard]] bool lets_next_begin(const Kernel& kernel);
/// Its cudaFuncAttributes::ptxVersion: 90 for sm_90; 0 if it is not registered.
[[nodiscard]] int architecture(const void* stub);
/// The most dynamic shared memory of a block without and with cudaFuncAttributeMaxDynamicSharedMemorySize.
inline constexpr std::size_t kMostShared = std::size_t{48} << 10;
inline constexpr std::size_t kMostSharedWithAttribute = std::size_t{227} << 10;
/// Whether a device accepts a launch of that form, with at most `most_shared` bytes. Parses the kernel, so that any ParseError is
/// thrown here.
[[nodiscard]] bool legal(const Kernel& kernel, const Launch& how, std::size_t most_shared = kMostShared);
[[nodiscard]] const std::set<std::string>& launched();
/// From now on every text is passed through `change` before it is parsed; parsed texts are parsed again. For planting faults.
void edit(std::function<std::string(std::string)> change);
/// The same for each statement with this beginning.
void edit_statements(const std::string& start, const std::function<std::string(const std::string&)>& change);
/// A statement with its address four bytes further on.
[[nodiscard]] std::string four_bytes_on(std::string statement);
/// All modules of the program, in the order of their registration.
[[nodiscard]] const std::vector<Module>& modules();

/// Exceptions must not pass through C functions: callers turn what is thrown here into a fault of the launching device.
template <typename F>
auto guarded(const F& f) {
  try {
    return f();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    std::abort();
  }
}

}  // namespace ptx::registry
