// SPDX-License-Identifier: Apache-2.0
#include "kernels/launch.hpp"

/// Runs a grid at once, in place of a stream.
namespace lamella::kernels {

cudaError_t submit(cudaStream_t, std::function<void()> run_grid, const void*) {
  run_grid();
  return cudaSuccess;
}
void touch_argument(const void*, std::size_t) {}

}  // namespace lamella::kernels
