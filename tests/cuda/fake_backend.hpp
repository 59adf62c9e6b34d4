// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fake_cuda.hpp>

#include "core/backend.hpp"

/// The CUDA backend in test programs that are linked with the test double; other programs open it as a plugin.
namespace lamella::test {

/// Resets the double and makes a new backend, as in a new process. Destroys the old backend first; its models and tensors must
/// have been destroyed.
void restart_cuda(const fake_cuda::Options& options = fake_cuda::options_of_environment());
/// Destroys the backend.
void stop_cuda();

}  // namespace lamella::test
