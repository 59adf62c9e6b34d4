// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/kernels.hpp"

/// The parts of rowwise().
namespace lamella::kernels {

cudaError_t softmax(const Rowwise& args, cudaStream_t stream);
cudaError_t log_softmax(const Rowwise& args, cudaStream_t stream);
cudaError_t sparsemax(const Rowwise& args, cudaStream_t stream);
cudaError_t glu(const Rowwise& args, cudaStream_t stream);

}  // namespace lamella::kernels
