// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

#include <cublasLt.h>

#include "gemm.hpp"
#include "world.hpp"

namespace fake_cuda::inside {

/// A call of cuBLAS or cuBLASLt.
cublasStatus_t blas_call(const char* name, Kind kind, const std::function<cublasStatus_t()>& body);
/// The status for the result of an enqueue.
cublasStatus_t blas_status(cudaError_t error);
/// Enqueues a product, which also writes to `workspace` unless it is null.
cublasStatus_t enqueue_gemm(const char* name, const Gemm& gemm, void* workspace, cudaStream_t stream);

}  // namespace fake_cuda::inside
