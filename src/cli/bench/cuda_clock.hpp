// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "cli/bench/clock.hpp"

namespace lamella::bench {

/// Time between two events on a stream of one CUDA device. Uses the driver's C interface, opened at run time, so that the command
/// starts without any CUDA library. `driver`: the library to open. Throws DeviceError with the reason.
[[nodiscard]] std::unique_ptr<Clock> make_cuda_clock(int index, const std::string& driver = "libcuda.so.1");

}  // namespace lamella::bench
