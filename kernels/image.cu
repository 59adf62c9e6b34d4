// SPDX-License-Identifier: Apache-2.0
#include "kernels/kernels.hpp"
#include "kernels/launch.hpp"

namespace lamella::kernels {
namespace {

LAMELLA_KERNEL(32) nothing() {}

}  // namespace

cudaError_t has_image(int& architecture) {
  cudaFuncAttributes attributes{};
  const cudaError_t status = cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(&nothing));
  architecture = attributes.ptxVersion;
  return status;
}

}  // namespace lamella::kernels
