// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <lamella/device.hpp>

#include "core/backend.hpp"
#include "ops/engine.hpp"

namespace lamella::test {

/// The device of this program: tests of every device are compiled once and linked with on_cpu.cpp or on_cuda.cpp.
[[nodiscard]] Device device();

[[nodiscard]] inline ops::OpSet& device_ops() { return core::backend(device()).ops(); }

[[nodiscard]] inline ops::PlanContext context(int threads = 2) {
  ops::PlanContext context;
  context.threads = threads;
  context.device_index = device().index();
  return context;
}

/// The engines of Dense layers, best first.
[[nodiscard]] std::vector<std::string> dense_engine_names();

}  // namespace lamella::test
