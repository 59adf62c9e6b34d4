// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "tests/ptx/registry.hpp"

/// A runtime that has neither streams nor memory: each launch runs at once, on the host's memory as far as memory() knows of it.
namespace ptx::runtime {

[[nodiscard]] MemoryMap& memory();
/// Of all launches from now on: Launch::approximation_error and seed.
void approximate(double error, unsigned seed);
/// What was found since this was last asked.
[[nodiscard]] std::vector<Finding> take_findings();

}  // namespace ptx::runtime
