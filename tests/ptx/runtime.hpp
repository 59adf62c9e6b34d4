// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "tests/ptx/registry.hpp"

/// A runtime without streams or memory: each launch runs at once, on host memory that is registered in memory(). With queue(true)
/// launches wait until queue(false), and those that overlap the one before them begin before it does anything.
namespace ptx::runtime {

[[nodiscard]] MemoryMap& memory();
void queue(bool on);
/// Sets Launch::approximation_error and seed of all later launches.
void approximate(double error, unsigned seed);
/// The findings since this was last called.
[[nodiscard]] std::vector<Finding> take_findings();

}  // namespace ptx::runtime
