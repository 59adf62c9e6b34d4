// SPDX-License-Identifier: Apache-2.0
#include "cuda/activation/cudnn_handle.hpp"

#include "cuda/status.hpp"

namespace lamella::cuda {
namespace {

cudnnDataType_t cudnn_type(DType dtype) {
  switch (dtype) {
    case DType::float16:
      return CUDNN_DATA_HALF;
    case DType::bfloat16:
      return CUDNN_DATA_BFLOAT16;
    case DType::float64:
      return CUDNN_DATA_DOUBLE;
    default:
      return CUDNN_DATA_FLOAT;
  }
}

}  // namespace

const Cudnn& cudnn() {
  static const auto* const functions = [] {
    auto* const made = new Cudnn;  // never destroyed: handles outlive static objects
    open_cudnn(*made);
    return made;
  }();
  return *functions;
}

void check(cudnnStatus_t status, int device, const char* call) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  const std::string message = core::format("[cuda:{}] {}: {}", device, call, cudnn().cudnnGetErrorString(status));
  const bool memory = status == CUDNN_STATUS_ALLOC_FAILED || status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
                      status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
  if (memory) throw Error(ErrorCode::out_of_memory, message);
  throw DeviceError(ErrorCode::device, message);
}

void check(cudnnStatus_t status, const CudaStream& stream, const char* call) {
  if (status != CUDNN_STATUS_SUCCESS) stream.expect_alive_after(call);
  check(status, stream.device().index, call);
}

CudnnHandle::CudnnHandle(int device) : device_(device) {
  const DeviceGuard guard(device);
  check(cudnn().cudnnCreate(&handle_), device, "cudnnCreate");
}

CudnnHandle::~CudnnHandle() {
  if (is_lost(device_)) return;
  const DeviceGuard guard(device_, std::nothrow);
  static_cast<void>(cudnn().cudnnDestroy(handle_));
}

cudnnHandle_t CudnnHandle::on(cudaStream_t stream) {
  // Always bind: the handle of a destroyed stream may be reused.
  check(cudnn().cudnnSetStream(handle_, stream), device_, "cudnnSetStream");
  return handle_;
}

CudnnTensor::CudnnTensor(DType dtype, int n, int c, int h, int w, int device) {
  check(cudnn().cudnnCreateTensorDescriptor(&tensor_), device, "cudnnCreateTensorDescriptor");
  const cudnnStatus_t status = cudnn().cudnnSetTensor4dDescriptor(tensor_, CUDNN_TENSOR_NCHW, cudnn_type(dtype), n, c, h, w);
  if (status == CUDNN_STATUS_SUCCESS) return;
  static_cast<void>(cudnn().cudnnDestroyTensorDescriptor(tensor_));
  check(status, device, "cudnnSetTensor4dDescriptor");
}

CudnnTensor::~CudnnTensor() { static_cast<void>(cudnn().cudnnDestroyTensorDescriptor(tensor_)); }

std::shared_ptr<CudnnHandle> make_cudnn_handle(int device) { return std::make_shared<CudnnHandle>(device); }
std::size_t cudnn_version() { return cudnn().why_not.empty() ? cudnn().cudnnGetVersion() : 0; }

}  // namespace lamella::cuda
