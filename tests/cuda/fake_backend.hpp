// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fake_cuda.hpp>

#include "core/backend.hpp"

/// The CUDA backend of test programs that are linked with the test double: what the core would open as a plugin.
namespace lamella::test {

/// A new world with a new backend, as in a new process. The old backend is destroyed first; models and tensors of it must be
/// gone.
void restart_cuda(const fake_cuda::Options& options = fake_cuda::options_of_environment());
/// Destroys the backend.
void stop_cuda();

}  // namespace lamella::test
