// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <cudnn.h>

/// cuDNN, loaded when first needed: lamella works without it, because its engines run only on request.
namespace lamella::cuda {

#define LAMELLA_CUDNN_FUNCTIONS(DO)         \
  DO(cudnnGetVersion)                       \
  DO(cudnnGetErrorString)                   \
  DO(cudnnCreate)                           \
  DO(cudnnDestroy)                          \
  DO(cudnnSetStream)                        \
  DO(cudnnCreateTensorDescriptor)           \
  DO(cudnnSetTensor4dDescriptor)            \
  DO(cudnnDestroyTensorDescriptor)          \
  DO(cudnnCreateActivationDescriptor)       \
  DO(cudnnSetActivationDescriptor)          \
  DO(cudnnSetActivationDescriptorSwishBeta) \
  DO(cudnnDestroyActivationDescriptor)      \
  DO(cudnnActivationForward)                \
  DO(cudnnSoftmaxForward)

/// The functions that lamella calls.
struct Cudnn {
#define LAMELLA_CUDNN_MEMBER(name) decltype(&::name) name = nullptr;
  LAMELLA_CUDNN_FUNCTIONS(LAMELLA_CUDNN_MEMBER)
#undef LAMELLA_CUDNN_MEMBER
  std::string why_not;  ///< a sentence if it is unavailable
};

/// Opened once; never closed.
[[nodiscard]] const Cudnn& cudnn();
/// Fills in all functions, or why_not. Defined by cudnn_library.cpp, and in tests by the test double.
void open_cudnn(Cudnn& functions);

}  // namespace lamella::cuda
