// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include <cudnn.h>

#include "world.hpp"

namespace fake_cuda::inside {

struct DnnTensor {
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  std::vector<std::int64_t> extents = {};  ///< empty: not set yet
  std::vector<std::int64_t> strides = {};

  std::int64_t elements() const;
  /// Where the `index`-th element lies, counting with the last axis fastest.
  std::int64_t at(std::int64_t index) const;
  std::size_t bytes() const;  ///< from the first to past the last element
};

struct DnnActivation {
  cudnnActivationMode_t mode = CUDNN_ACTIVATION_IDENTITY;
  bool propagate_nan = false;
  double coefficient = 0;
  double swish_beta = 1;
};

/// A tensor argument of a forward function.
struct DnnOperand {
  const DnnTensor* tensor = nullptr;
  void* data = nullptr;
};

cudnnStatus_t dnn_call(const char* name, Kind kind, const std::function<cudnnStatus_t()>& body);
/// A call on a handle.
cudnnStatus_t on_dnn_handle(const char* name, cudnnHandle_t handle, const std::function<cudnnStatus_t(Handle&)>& body);
/// The contents of a descriptor; if it does not exist, records a misuse and returns null.
template <typename T>
T* dnn_contents(const void* descriptor, const char* name) {
  const auto found = world().descriptors.find(descriptor);
  if (found != world().descriptors.end()) return static_cast<T*>(found->second.get());
  misuse(std::string(name) + " with a descriptor that does not exist (any more)");
  return nullptr;
}

}  // namespace fake_cuda::inside
