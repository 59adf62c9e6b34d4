// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <cudnn.h>

/// cuDNN as it is found when it is first needed: lamella works without it, for its engines run only on request.
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
  std::string why_not;  ///< a sentence when it is not there
};

/// Opened once; never closed.
[[nodiscard]] const Cudnn& cudnn();
/// Fills in all functions, or why_not. Defined by cudnn_library.cpp, and for tests by what is linked with a test double.
void open_cudnn(Cudnn& functions);

}  // namespace lamella::cuda
