// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cuda/plans.hpp"
#include "kernels/kernels.hpp"

namespace lamella::cuda {

/// Why kernels on tensor cores cannot run on this device; empty if they can.
inline std::string no_tensor_cores(const ops::PlanContext& context) {
  const int architecture = device_of(context).architecture;
  if (architecture >= kernels::kMmaArchitecture) return {};
  return core::format("it needs code for compute capability 8.0 or later; this device's code was compiled for {}.{}",
                      architecture / 10, architecture % 10);
}

}  // namespace lamella::cuda
