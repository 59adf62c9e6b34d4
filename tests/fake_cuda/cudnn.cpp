// SPDX-License-Identifier: Apache-2.0
#include "cudnn_call.hpp"

namespace fake_cuda::inside {

std::int64_t DnnTensor::elements() const {
  std::int64_t product = extents.empty() ? 0 : 1;
  for (const auto extent : extents) product *= extent;
  return product;
}

std::int64_t DnnTensor::at(std::int64_t index) const {
  std::int64_t offset = 0;
  for (std::size_t axis = extents.size(); axis-- > 0;) {
    offset += index % extents[axis] * strides[axis];
    index /= extents[axis];
  }
  return offset;
}

std::size_t DnnTensor::bytes() const {
  const std::size_t element = type == CUDNN_DATA_DOUBLE ? 8 : type == CUDNN_DATA_FLOAT ? 4 : 2;
  return static_cast<std::size_t>(at(elements() - 1) + 1) * element;
}

cudnnStatus_t dnn_call(const char* name, Kind kind, const std::function<cudnnStatus_t()>& body) {
  const Entry entry(name, kind);
  if (entry.outcome == Outcome::proceed) return body();
  if (entry.outcome == Outcome::fail && kind == Kind::release) static_cast<void>(body());
  if (entry.error == cudaErrorMemoryAllocation) return CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
  const bool no_context = entry.outcome == Outcome::refused && entry.error != cudaErrorIllegalAddress;
  return no_context ? CUDNN_STATUS_NOT_INITIALIZED : CUDNN_STATUS_EXECUTION_FAILED;
}

cudnnStatus_t on_dnn_handle(const char* name, cudnnHandle_t handle, const std::function<cudnnStatus_t(Handle&)>& body) {
  const HandleUse use(handle, name);
  return dnn_call(name, Kind::plain, [&] {
    auto* const own = reinterpret_cast<Handle*>(handle);
    if (world().handles.contains(own)) return body(*own);
    misuse(std::string(name) + " with a handle that does not exist (any more)");
    return CUDNN_STATUS_NOT_INITIALIZED;
  });
}

namespace {

bool computable(cudnnDataType_t type) {
  return type == CUDNN_DATA_FLOAT || type == CUDNN_DATA_DOUBLE || type == CUDNN_DATA_HALF || type == CUDNN_DATA_BFLOAT16;
}

cudnnStatus_t set_tensor(const char* name, cudnnTensorDescriptor_t descriptor, const DnnTensor& content) {
  return dnn_call(name, Kind::plain, [&] {
    auto* const own = dnn_contents<DnnTensor>(descriptor, name);
    if (own == nullptr) return CUDNN_STATUS_BAD_PARAM;
    if (!computable(content.type)) return CUDNN_STATUS_NOT_SUPPORTED;
    for (const auto extent : content.extents) {
      if (extent <= 0) return CUDNN_STATUS_BAD_PARAM;
    }
    *own = content;
    return CUDNN_STATUS_SUCCESS;
  });
}

template <typename T, typename Public>
cudnnStatus_t make(const char* name, Public* descriptor) {
  return dnn_call(name, Kind::allocate, [&] {
    if (descriptor == nullptr) return CUDNN_STATUS_BAD_PARAM;
    *descriptor = reinterpret_cast<Public>(new_descriptor<T>());
    return CUDNN_STATUS_SUCCESS;
  });
}

cudnnStatus_t drop(const char* name, const void* descriptor) {
  return dnn_call(name, Kind::release, [&] {
    if (descriptor == nullptr) return CUDNN_STATUS_SUCCESS;
    return drop_descriptor(descriptor, name) ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
  });
}

}  // namespace
}  // namespace fake_cuda::inside

using namespace fake_cuda::inside;

extern "C" {

size_t cudnnGetVersion() { return CUDNN_VERSION; }

const char* cudnnGetErrorString(cudnnStatus_t status) {
  switch (status) {
    case CUDNN_STATUS_SUCCESS:
      return "CUDNN_STATUS_SUCCESS";
    case CUDNN_STATUS_NOT_INITIALIZED:
      return "CUDNN_STATUS_NOT_INITIALIZED";
    case CUDNN_STATUS_BAD_PARAM:
      return "CUDNN_STATUS_BAD_PARAM";
    case CUDNN_STATUS_NOT_SUPPORTED:
      return "CUDNN_STATUS_NOT_SUPPORTED";
    case CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED:
      return "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED";
    case CUDNN_STATUS_EXECUTION_FAILED:
      return "CUDNN_STATUS_EXECUTION_FAILED";
    default:
      return "CUDNN_UNKNOWN_STATUS";
  }
}

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  return dnn_call("cudnnCreate", Kind::allocate, [&] {
    if (handle == nullptr) return CUDNN_STATUS_BAD_PARAM;
    if (check_unsafe("cudnnCreate") != cudaSuccess) return CUDNN_STATUS_NOT_INITIALIZED;
    *handle = reinterpret_cast<cudnnHandle_t>(new_handle("cuDNN"));
    return CUDNN_STATUS_SUCCESS;
  });
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  return dnn_call("cudnnDestroy", Kind::release, [&] {
    return drop_handle(reinterpret_cast<Handle*>(handle), "cudnnDestroy") ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_NOT_INITIALIZED;
  });
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  return on_dnn_handle("cudnnSetStream", handle, [&](Handle& found) {
    found.stream = stream;
    return CUDNN_STATUS_SUCCESS;
  });
}

cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t* descriptor) {
  return make<DnnTensor>("cudnnCreateTensorDescriptor", descriptor);
}
cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t descriptor) {
  return drop("cudnnDestroyTensorDescriptor", descriptor);
}

cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t descriptor, cudnnTensorFormat_t format, cudnnDataType_t type,
                                         int n, int c, int h, int w) {
  const std::int64_t in = n, ic = c, ih = h, iw = w;
  DnnTensor content{.type = type, .extents = {in, ic, ih, iw}};
  if (format == CUDNN_TENSOR_NHWC)
    content.strides = {ih * iw * ic, 1, iw * ic, ic};
  else
    content.strides = {ic * ih * iw, ih * iw, iw, 1};
  return set_tensor("cudnnSetTensor4dDescriptor", descriptor, content);
}

cudnnStatus_t cudnnCreateActivationDescriptor(cudnnActivationDescriptor_t* descriptor) {
  return make<DnnActivation>("cudnnCreateActivationDescriptor", descriptor);
}
cudnnStatus_t cudnnDestroyActivationDescriptor(cudnnActivationDescriptor_t descriptor) {
  return drop("cudnnDestroyActivationDescriptor", descriptor);
}

cudnnStatus_t cudnnSetActivationDescriptor(cudnnActivationDescriptor_t descriptor, cudnnActivationMode_t mode,
                                           cudnnNanPropagation_t nan, double coefficient) {
  return dnn_call("cudnnSetActivationDescriptor", Kind::plain, [&] {
    auto* const own = dnn_contents<DnnActivation>(descriptor, "cudnnSetActivationDescriptor");
    if (own == nullptr) return CUDNN_STATUS_BAD_PARAM;
    own->mode = mode;
    own->propagate_nan = nan == CUDNN_PROPAGATE_NAN;
    own->coefficient = coefficient;
    return CUDNN_STATUS_SUCCESS;
  });
}

cudnnStatus_t cudnnSetActivationDescriptorSwishBeta(cudnnActivationDescriptor_t descriptor, double beta) {
  return dnn_call("cudnnSetActivationDescriptorSwishBeta", Kind::plain, [&] {
    auto* const own = dnn_contents<DnnActivation>(descriptor, "cudnnSetActivationDescriptorSwishBeta");
    if (own == nullptr) return CUDNN_STATUS_BAD_PARAM;
    own->swish_beta = beta;
    return CUDNN_STATUS_SUCCESS;
  });
}

}  // extern "C"
