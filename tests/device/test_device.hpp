// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <lamella/device.hpp>

#include "core/backend.hpp"
#include "ops/engine.hpp"

/// The same tests run on every device: a program of tests/device and tests/model is built once a device, LAMELLA_TEST_DEVICE
/// being its name.
#ifndef LAMELLA_TEST_DEVICE
#define LAMELLA_TEST_DEVICE "cpu"
#endif

namespace lamella::test {

[[nodiscard]] inline Device device() { return Device::parse(LAMELLA_TEST_DEVICE); }

[[nodiscard]] inline ops::OpSet& device_ops() { return device().is_cuda() ? core::cuda_backend().ops() : ops::cpu_ops(); }

[[nodiscard]] inline ops::PlanContext context(int threads = 2) {
  ops::PlanContext context;
  context.threads = threads;
  context.device_index = device().is_cuda() ? device().index() : 0;
  return context;
}

/// Known before any device is: tests are listed where there is none.
[[nodiscard]] inline std::vector<std::string> dense_engine_names() {
  if (device().is_cuda())
    return {"small_batch", "cublaslt_epilogue", "gemm_then_epilogue", "gemm_bias_activation", "gemm_bias_cudnn", "tiled"};
  return {"small", "onednn_postop", "onednn_epilogue", "small_unfused", "unfused", "reference"};
}

}  // namespace lamella::test
