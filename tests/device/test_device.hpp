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

/// Known before any device is: tests are listed where there is none.
[[nodiscard]] inline std::vector<std::string> dense_engine_names() {
  if (device().is_cuda())
    return {"small_batch", "cublaslt_epilogue", "gemm_then_epilogue", "gemm_bias_activation", "gemm_bias_cudnn", "tiled"};
  return {"small", "onednn_postop", "onednn_epilogue", "small_unfused", "unfused", "reference"};
}

}  // namespace lamella::test
