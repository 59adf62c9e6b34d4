// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <cublasLt.h>
#include <library_types.h>

namespace fake_cuda::inside {

std::size_t size_of(cudaDataType type);  ///< 0: the double does not compute in this type
double load(cudaDataType type, const void* data, std::int64_t index);
void store(cudaDataType type, void* data, std::int64_t index, double value);

struct Matrix {
  cudaDataType type = CUDA_R_32F;
  void* data = nullptr;
  std::int64_t ld = 0;
  std::int64_t at(std::int64_t row, std::int64_t column) const { return column * ld + row; }
};

enum class Transform { none, relu, gelu };

/// D = transform(alpha op(A) op(B) + beta C + bias), bias along the rows of D.
struct Gemm {
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  Matrix a = {};
  Matrix b = {};
  Matrix c = {};
  Matrix d = {};
  bool transpose_a = false;
  bool transpose_b = false;
  double alpha = 1;
  double beta = 0;  ///< 0: C is not read
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  bool tf32 = false;
  const void* bias = nullptr;
  cudaDataType bias_type = CUDA_R_32F;
  Transform transform = Transform::none;
  bool inexact = false;  ///< the transform deviates from its formula (see Options)
  int order = 0;         ///< of the sum: 0 forward, 1 in two halves, 2 backward
};

/// Whether the libraries are assumed to support this combination of types.
bool supported(cublasComputeType_t compute, cudaDataType scale, cudaDataType a, cudaDataType b, cudaDataType c, cudaDataType d);
void run_gemm(const Gemm& gemm);

}  // namespace fake_cuda::inside
