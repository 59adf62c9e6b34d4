// SPDX-License-Identifier: Apache-2.0
// The CUDA device in a build without CUDA.
#include "core/backend.hpp"
#include "core/check.hpp"

namespace lamella::core {

std::string why_no_cuda_backend() { return "this build of lamella has no CUDA device (LAMELLA_CUDA=OFF)"; }

Backend& cuda_backend() { throw DeviceError(ErrorCode::device, core::format("[cuda] {}", why_no_cuda_backend())); }

}  // namespace lamella::core
