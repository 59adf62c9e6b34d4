// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/ptx/ptx.hpp"

/// The kernels of the program that this is linked into. Programs that nvcc made register them with the CUDA runtime before main;
/// here the registrations end. Such a program is compiled with `-gencode arch=compute_90,code=compute_90 --no-compress`, so that
/// it carries its kernels as PTX. What launches them is another's: tests/ptx/runtime.cpp at once, tests/fake_cuda as a device
/// does. Only registering is safe for threads, as loading a program is.
namespace ptx::registry {

struct Kernel {
  Module module;
  std::string name;
  [[nodiscard]] std::vector<unsigned char> parameters(void** arguments) const;
};
/// The kernel of a host's stub; nothing for one that is not registered, or whose fat binary has no PTX. Throws ParseError.
[[nodiscard]] std::optional<Kernel> find(const void* stub);
/// launch() of that kernel, which counts as launched; the file that LAMELLA_PTX_LAUNCHED names gets its name too.
[[nodiscard]] std::vector<Finding> launch(const Kernel& kernel, const Launch& how, MemoryMap& memory);
/// What cudaFuncAttributes::ptxVersion says of it: 90 for sm_90; 0 for what is not registered.
[[nodiscard]] int architecture(const void* stub);
/// Whether a device takes a launch of that form. Reads the kernel, so that ParseError is thrown here if at all.
[[nodiscard]] bool legal(const Kernel& kernel, const Launch& how);
[[nodiscard]] const std::set<std::string>& launched();
/// Every text passes through `change` before it is read, from now on; what has been read is read again. For planting faults.
void edit(std::function<std::string(std::string)> change);
/// The same for each statement that starts like that.
void edit_statements(const std::string& start, const std::function<std::string(const std::string&)>& change);
/// A statement with its address four bytes further on.
[[nodiscard]] std::string four_bytes_on(std::string statement);
/// All modules of the program, in the order of their registration.
[[nodiscard]] const std::vector<Module>& modules();

/// Exceptions do not pass through functions of C: what is thrown here is a fault of the device that launches.
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
