// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "tests/ptx/registry.hpp"

/// A runtime without streams or memory: each launch runs at once, on host memory that is registered in memory().
namespace ptx::runtime {

[[nodiscard]] MemoryMap& memory();
/// Sets Launch::approximation_error and seed of all later launches.
void approximate(double error, unsigned seed);
/// The findings since this was last called.
[[nodiscard]] std::vector<Finding> take_findings();

}  // namespace ptx::runtime
