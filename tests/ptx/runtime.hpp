// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "tests/ptx/ptx.hpp"

/// What programs that nvcc made ask of the CUDA runtime to launch kernels, on this device: each launch runs at once. Such a
/// program is compiled with `-gencode arch=compute_90,code=compute_90 --no-compress`, so that it carries its kernels as PTX, and
/// is linked with this instead of with cudart. Streams and memory are not part of it: kernels work on the host's memory, as far
/// as memory() knows of it.
namespace ptx::runtime {

[[nodiscard]] MemoryMap& memory();
/// Of all launches from now on: Launch::approximation_error and seed.
void approximate(double error, unsigned seed);
/// What was found since this was last asked.
[[nodiscard]] std::vector<Finding> take_findings();
/// The kernels that have been launched.
[[nodiscard]] const std::set<std::string>& launched();
/// Every text passes through `change` before it is read, from now on; what has been read is read again. For planting faults.
void edit(std::function<std::string(std::string)> change);
/// All modules of the program.
[[nodiscard]] const std::vector<Module>& modules();

}  // namespace ptx::runtime
