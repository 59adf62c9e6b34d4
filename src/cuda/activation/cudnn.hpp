// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>

/// The interface to cuDNN: implemented by cudnn*.cpp or, without cuDNN, cudnn_none.cpp, selected by CMake.
namespace lamella::cuda {

/// A cudnnHandle_t for one stream.
class CudnnHandle;

/// Throws DeviceError; always does in a build without cuDNN.
[[nodiscard]] std::shared_ptr<CudnnHandle> make_cudnn_handle(int device);
/// 92300 for 9.23.0; 0 in a build without cuDNN, and if its library is not found.
[[nodiscard]] std::size_t cudnn_version();

}  // namespace lamella::cuda
