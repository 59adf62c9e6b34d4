// SPDX-License-Identifier: Apache-2.0
#include "cublas_call.hpp"

namespace fake_cuda::inside {

cublasStatus_t blas_call(const char* name, Kind kind, const std::function<cublasStatus_t()>& body) {
  const Entry entry(name, kind);
  if (entry.outcome == Outcome::proceed) return body();
  if (entry.outcome == Outcome::fail && kind == Kind::release) static_cast<void>(body());
  if (entry.error == cudaErrorMemoryAllocation) return CUBLAS_STATUS_ALLOC_FAILED;
  const bool no_context = entry.outcome == Outcome::refused && entry.error != cudaErrorIllegalAddress;
  return no_context ? CUBLAS_STATUS_NOT_INITIALIZED : CUBLAS_STATUS_EXECUTION_FAILED;
}

cublasStatus_t blas_status(cudaError_t error) {
  // Does not set the runtime's last error: the library has a runtime of its own.
  return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

namespace {

/// Whether a stored matrix of `rows` x `columns` lies inside one allocation.
bool holds(const Matrix& matrix, std::int64_t rows, std::int64_t columns, const char* name) {
  const auto elements = static_cast<std::size_t>(matrix.at(rows - 1, columns - 1) + 1);
  return inside_one(matrix.data, elements * size_of(matrix.type), name);
}

}  // namespace

cublasStatus_t enqueue_gemm(const char* name, const Gemm& g, void* workspace, cudaStream_t stream) {
  const auto [a_rows, a_columns] = g.transpose_a ? std::pair(g.k, g.m) : std::pair(g.m, g.k);
  const auto [b_rows, b_columns] = g.transpose_b ? std::pair(g.n, g.k) : std::pair(g.k, g.n);
  bool fits = holds(g.a, a_rows, a_columns, name) && holds(g.b, b_rows, b_columns, name) && holds(g.d, g.m, g.n, name);
  if (g.beta != 0) fits = fits && holds(g.c, g.m, g.n, name);
  if (g.bias != nullptr) fits = fits && inside_one(g.bias, static_cast<std::size_t>(g.m) * size_of(g.bias_type), name);
  if (!fits) return CUBLAS_STATUS_INVALID_VALUE;

  Work work{.name = name, .run = [g] {
              run_gemm(g);
              const std::size_t element = size_of(g.d.type);
              for (std::int64_t i = 0; i < g.n; ++i) {
                is_written(static_cast<unsigned char*>(g.d.data) + static_cast<std::size_t>(i * g.d.ld) * element,
                           static_cast<std::size_t>(g.m) * element);
              }
            }};
  add_uses(work.uses, {g.a.data, g.b.data, g.bias, g.beta != 0 ? g.c.data : nullptr}, How::read, name);
  add_uses(work.uses, {g.d.data, workspace}, How::write, name);
  return blas_status(enqueue_kernel(stream, std::move(work)));
}

}  // namespace fake_cuda::inside

using namespace fake_cuda::inside;

extern "C" {

const char* cublasLtGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_MAPPING_ERROR:
      return "CUBLAS_STATUS_MAPPING_ERROR";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_LICENSE_ERROR:
      return "CUBLAS_STATUS_LICENSE_ERROR";
  }
  return "unknown cuBLAS status";
}

const char* cublasLtGetStatusString(cublasStatus_t status) { return cublasLtGetStatusName(status); }

}  // extern "C"
