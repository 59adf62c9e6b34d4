// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cudnn.h>

#include "cuda/activation/cudnn.hpp"
#include "cuda/activation/cudnn_library.hpp"
#include "cuda/plans.hpp"

/// Shared by cuDNN's engines. Included only in builds with cuDNN.
namespace lamella::cuda {

class CudnnHandle {
 public:
  explicit CudnnHandle(int device);
  ~CudnnHandle();
  CudnnHandle(const CudnnHandle&) = delete;
  CudnnHandle& operator=(const CudnnHandle&) = delete;
  /// The handle, bound to `stream`.
  [[nodiscard]] cudnnHandle_t on(cudaStream_t stream);

 private:
  int device_;
  cudnnHandle_t handle_ = nullptr;
};

/// Throws DeviceError naming the call, or Error (out_of_memory).
void check(cudnnStatus_t status, int device, const char* call);
/// The same for work on a stream; also detects that the library lost the device.
void check(cudnnStatus_t status, const CudaStream& stream, const char* call);

/// A contiguous NCHW tensor.
class CudnnTensor {
 public:
  CudnnTensor(DType dtype, int n, int c, int h, int w, int device);
  ~CudnnTensor();
  CudnnTensor(const CudnnTensor&) = delete;
  CudnnTensor& operator=(const CudnnTensor&) = delete;
  [[nodiscard]] cudnnTensorDescriptor_t get() const noexcept { return tensor_; }

 private:
  cudnnTensorDescriptor_t tensor_ = nullptr;
};

/// Factors for dst = 1 * result + 0 * dst, in the type in which cuDNN scales `dtype`.
struct CudnnScales {
  explicit CudnnScales(DType dtype) : is_double(dtype == DType::float64) {}
  [[nodiscard]] const void* one() const noexcept { return is_double ? static_cast<const void*>(&one64) : &one32; }
  [[nodiscard]] const void* zero() const noexcept { return is_double ? static_cast<const void*>(&zero64) : &zero32; }
  bool is_double;
  float one32 = 1;
  float zero32 = 0;
  double one64 = 1;
  double zero64 = 0;
};

}  // namespace lamella::cuda
