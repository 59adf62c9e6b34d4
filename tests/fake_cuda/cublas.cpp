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
  set_error(error);
  return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

namespace {

/// Whether a matrix of `rows` x `columns`, as it is stored, lies inside one allocation.
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

  Work work{.name = name, .run = [g] { run_gemm(g); }};
  add_uses(work.uses, {g.a.data, g.b.data, g.bias, g.beta != 0 ? g.c.data : nullptr}, How::read, name);
  add_uses(work.uses, {g.d.data, workspace}, How::write, name);
  return blas_status(enqueue_kernel(stream, std::move(work)));
}

namespace {

Handle* own(cublasHandle_t handle) { return reinterpret_cast<Handle*>(handle); }

/// A call on a handle of cuBLAS.
cublasStatus_t on_handle(const char* name, cublasHandle_t handle, const std::function<cublasStatus_t(Handle&)>& body) {
  const HandleUse use(handle, name);
  return blas_call(name, Kind::plain, [&] {
    if (world().handles.contains(own(handle))) return body(*own(handle));
    misuse(std::string(name) + " with a handle that does not exist, or no longer");
    return CUBLAS_STATUS_NOT_INITIALIZED;
  });
}

cublasStatus_t gemm_ex(const Handle& handle, Gemm gemm) {
  const bool f64 = gemm.compute == CUBLAS_COMPUTE_64F;
  const auto& [a, b, c] = std::tie(gemm.a, gemm.b, gemm.c);
  if (gemm.m < 0 || gemm.n < 0 || gemm.k < 0) return CUBLAS_STATUS_INVALID_VALUE;
  if (a.ld < std::max<std::int64_t>(1, gemm.transpose_a ? gemm.k : gemm.m) || c.ld < std::max<std::int64_t>(1, gemm.m) ||
      b.ld < std::max<std::int64_t>(1, gemm.transpose_b ? gemm.n : gemm.k)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (!supported(gemm.compute, f64 ? CUDA_R_64F : CUDA_R_32F, a.type, b.type, c.type, c.type)) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (gemm.m == 0 || gemm.n == 0) return CUBLAS_STATUS_SUCCESS;
  if (gemm.k == 0) {
    misuse("cublasGemmEx with k = 0: what it does with C is not modelled");
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const bool allowed = (handle.math_mode & 15U) == CUBLAS_TF32_TENSOR_OP_MATH && gemm.compute == CUBLAS_COMPUTE_32F;
  gemm.tf32 = gemm.compute == CUBLAS_COMPUTE_32F_FAST_TF32 || (allowed && a.type == CUDA_R_32F);
  return enqueue_gemm("cublasGemmEx", gemm, handle.workspace, handle.stream);
}

}  // namespace
}  // namespace fake_cuda::inside

using namespace fake_cuda::inside;

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  return blas_call("cublasCreate", Kind::allocate, [&] {
    if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
    if (check_unsafe("cublasCreate") != cudaSuccess) return CUBLAS_STATUS_NOT_INITIALIZED;
    *handle = reinterpret_cast<cublasHandle_t>(new_handle("cuBLAS"));
    return CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  return blas_call("cublasDestroy", Kind::release, [&] {
    if (drop_handle(own(handle))) return CUBLAS_STATUS_SUCCESS;
    misuse("cublasDestroy of a handle that does not exist, or no longer");
    return CUBLAS_STATUS_NOT_INITIALIZED;
  });
}

cublasStatus_t cublasGetVersion_v2(cublasHandle_t, int* version) {
  if (version == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *version = CUBLAS_VERSION;
  return CUBLAS_STATUS_SUCCESS;
}

/// Takes back a workspace that was set, as the library does.
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  return on_handle("cublasSetStream", handle, [&](Handle& found) {
    found.stream = stream;
    found.workspace = nullptr;
    return CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void* workspace, size_t bytes) {
  return on_handle("cublasSetWorkspace", handle, [&](Handle& found) {
    if (reinterpret_cast<std::uintptr_t>(workspace) % 256 != 0) return CUBLAS_STATUS_INVALID_VALUE;
    if (workspace != nullptr && !inside_one(workspace, bytes, "cublasSetWorkspace")) return CUBLAS_STATUS_INVALID_VALUE;
    found.workspace = workspace;
    found.workspace_bytes = bytes;
    return CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  return on_handle("cublasSetMathMode", handle, [&](Handle& found) {
    found.math_mode = static_cast<unsigned>(mode);
    return CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t* mode) {
  return on_handle("cublasGetMathMode", handle, [&](Handle& found) {
    if (mode == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
    *mode = static_cast<cublasMath_t>(found.math_mode);
    return CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k,
                            const void* alpha, const void* a, cudaDataType a_type, int lda, const void* b, cudaDataType b_type,
                            int ldb, const void* beta, void* c, cudaDataType c_type, int ldc, cublasComputeType_t compute,
                            cublasGemmAlgo_t) {
  return on_handle("cublasGemmEx", handle, [&](Handle& found) {
    if (alpha == nullptr || beta == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
    const auto scale = compute == CUBLAS_COMPUTE_64F ? CUDA_R_64F : CUDA_R_32F;
    return gemm_ex(found, {.m = m,
                           .n = n,
                           .k = k,
                           .a = {a_type, const_cast<void*>(a), lda},
                           .b = {b_type, const_cast<void*>(b), ldb},
                           .c = {c_type, c, ldc},
                           .d = {c_type, c, ldc},
                           .transpose_a = op_a != CUBLAS_OP_N,
                           .transpose_b = op_b != CUBLAS_OP_N,
                           .alpha = load(scale, alpha, 0),
                           .beta = load(scale, beta, 0),
                           .compute = compute});
  });
}

const char* cublasGetStatusName(cublasStatus_t status) {
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

const char* cublasGetStatusString(cublasStatus_t status) { return cublasGetStatusName(status); }
const char* cublasLtGetStatusName(cublasStatus_t status) { return cublasGetStatusName(status); }
const char* cublasLtGetStatusString(cublasStatus_t status) { return cublasGetStatusName(status); }

}  // extern "C"
