// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>

/// cuDNN, or its absence: cudnn*.cpp or cudnn_none.cpp, chosen by CMake.
namespace lamella::cuda {

/// A cudnnHandle_t of one stream.
class CudnnHandle;

/// Throws DeviceError; always so in a build without cuDNN.
[[nodiscard]] std::shared_ptr<CudnnHandle> make_cudnn_handle(int device);
/// 92300 for 9.23.0; 0 in a build without cuDNN, and where its library is not found.
[[nodiscard]] std::size_t cudnn_version();

}  // namespace lamella::cuda
