// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "cli/bench/clock.hpp"

namespace lamella::bench {

/// Time between two events on a stream of one CUDA device, by the driver's C interface, which is opened at run time: the command
/// needs no CUDA library to start. `driver`: the library to open. Throws DeviceError with the reason.
[[nodiscard]] std::unique_ptr<Clock> make_cuda_clock(int index, const std::string& driver = "libcuda.so.1");

}  // namespace lamella::bench
