// SPDX-License-Identifier: Apache-2.0
#include "gemm.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "numbers.hpp"

namespace fake_cuda::inside {

std::size_t size_of(cudaDataType type) {
  switch (type) {
    case CUDA_R_64F:
      return 8;
    case CUDA_R_32F:
      return 4;
    case CUDA_R_16F:
    case CUDA_R_16BF:
      return 2;
    default:
      return 0;
  }
}

double load(cudaDataType type, const void* data, std::int64_t index) {
  switch (type) {
    case CUDA_R_64F:
      return static_cast<const double*>(data)[index];
    case CUDA_R_32F:
      return static_cast<const float*>(data)[index];
    case CUDA_R_16F:
      return from_float16(static_cast<const std::uint16_t*>(data)[index]);
    default:
      return from_bfloat16(static_cast<const std::uint16_t*>(data)[index]);
  }
}

void store(cudaDataType type, void* data, std::int64_t index, double value) {
  switch (type) {
    case CUDA_R_64F:
      static_cast<double*>(data)[index] = value;
      break;
    case CUDA_R_32F:
      static_cast<float*>(data)[index] = static_cast<float>(value);
      break;
    case CUDA_R_16F:
      static_cast<std::uint16_t*>(data)[index] = to_float16(value);
      break;
    default:
      static_cast<std::uint16_t*>(data)[index] = to_bfloat16(value);
      break;
  }
}

bool supported(cublasComputeType_t compute, cudaDataType scale, cudaDataType a, cudaDataType b, cudaDataType c, cudaDataType d) {
  if (a != b || c != d) return false;
  if (compute == CUBLAS_COMPUTE_64F) return scale == CUDA_R_64F && a == CUDA_R_64F && d == CUDA_R_64F;
  if (scale != CUDA_R_32F) return false;
  if (compute == CUBLAS_COMPUTE_32F_FAST_TF32) return a == CUDA_R_32F && d == CUDA_R_32F;
  if (compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_PEDANTIC) return false;
  return size_of(a) != 0 && a != CUDA_R_64F && (d == a || d == CUDA_R_32F);
}

namespace {

/// op(X) as `lines` of `k` numbers each.
template <typename Real>
std::vector<Real> gather(const Matrix& matrix, bool lines_are_columns, std::int64_t lines, std::int64_t k, bool tf32) {
  std::vector<Real> packed(static_cast<std::size_t>(lines * k));
  auto* to = packed.data();
  for (std::int64_t line = 0; line < lines; ++line) {
    for (std::int64_t i = 0; i < k; ++i) {
      const auto index = lines_are_columns ? matrix.at(i, line) : matrix.at(line, i);
      const auto value = static_cast<Real>(load(matrix.type, matrix.data, index));
      *to++ = tf32 ? static_cast<Real>(to_tf32(static_cast<float>(value))) : value;
    }
  }
  return packed;
}

template <typename Real>
Real dot(const Real* a, const Real* b, std::int64_t begin, std::int64_t end) {
  Real sum = 0;
  for (std::int64_t i = begin; i < end; ++i) sum += a[i] * b[i];
  return sum;
}

template <typename Real>
Real dot(const Real* a, const Real* b, std::int64_t k, int order) {
  if (order == 0) return dot(a, b, 0, k);
  if (order == 1) return dot(a, b, 0, k / 2) + dot(a, b, k / 2, k);
  Real sum = 0;
  for (std::int64_t i = k; i-- > 0;) sum += a[i] * b[i];
  return sum;
}

template <typename Real>
Real transformed(Real x, const Gemm& gemm) {
  switch (gemm.transform) {
    case Transform::relu:
      if (gemm.inexact && std::isnan(x)) return Real(0);
      return x <= 0 ? Real(0) : x;
    case Transform::gelu: {
      const auto root = static_cast<Real>(0.7978845608028654);  // sqrt(2 / pi)
      if (gemm.inexact) x *= Real(1.0004);                      // the error of a tanh of eleven bits
      return Real(0.5) * x * (1 + std::tanh(root * (x + static_cast<Real>(0.044715) * x * x * x)));
    }
    case Transform::none:
      break;
  }
  return x;
}

template <typename Real>
void run(const Gemm& g) {
  const auto a = gather<Real>(g.a, g.transpose_a, g.m, g.k, g.tf32);
  const auto b = gather<Real>(g.b, !g.transpose_b, g.n, g.k, g.tf32);
  const auto alpha = static_cast<Real>(g.alpha);
  const auto beta = static_cast<Real>(g.beta);
  for (std::int64_t column = 0; column < g.n; ++column) {
    for (std::int64_t row = 0; row < g.m; ++row) {
      Real value = alpha * dot(a.data() + row * g.k, b.data() + column * g.k, g.k, g.order);
      if (g.beta != 0) value += beta * static_cast<Real>(load(g.c.type, g.c.data, g.c.at(row, column)));
      if (g.bias != nullptr) value += static_cast<Real>(load(g.bias_type, g.bias, row));
      store(g.d.type, g.d.data, g.d.at(row, column), transformed(value, g));
    }
  }
}

}  // namespace

void run_gemm(const Gemm& gemm) {
  if (gemm.compute == CUBLAS_COMPUTE_64F)
    run<double>(gemm);
  else
    run<float>(gemm);
}

}  // namespace fake_cuda::inside
