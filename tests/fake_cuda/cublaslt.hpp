// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include <cublasLt.h>

#include "cublas_call.hpp"

/// The contents of cublasLt.h's opaque structs here.
namespace fake_cuda::inside {

struct LtLayout {
  static constexpr std::uint32_t kMagic = 0x4C61796FU;
  std::uint32_t magic = kMagic;
  std::int32_t type = CUDA_R_32F;
  std::uint64_t rows = 0;
  std::uint64_t columns = 0;
  std::int64_t ld = 0;
};
static_assert(sizeof(LtLayout) <= sizeof(cublasLtMatrixLayoutOpaque_t));

struct LtMatmul {
  static constexpr std::uint32_t kMagic = 0x4D61746DU;
  std::uint32_t magic = kMagic;
  std::int32_t compute = CUBLAS_COMPUTE_32F;
  std::int32_t scale = CUDA_R_32F;
  std::int32_t pointer_mode = CUBLASLT_POINTER_MODE_HOST;
  std::int32_t transpose_a = CUBLAS_OP_N;
  std::int32_t transpose_b = CUBLAS_OP_N;
  std::uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  std::int32_t bias_type = -1;  ///< -1: that of D
  std::int32_t processors = 0;
  const void* bias = nullptr;
};
static_assert(sizeof(LtMatmul) <= sizeof(cublasLtMatmulDescOpaque_t));

struct LtPreference {
  static constexpr std::uint32_t kMagic = 0x50726566U;
  std::uint32_t magic = kMagic;
  std::uint32_t search = CUBLASLT_SEARCH_BEST_FIT;
  std::uint64_t workspace = 0;
  std::uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_MASK;
  std::uint32_t alignment[4] = {256, 256, 256, 256};  ///< A, B, C, D
  float waves = 0;
  std::uint64_t implementations = ~std::uint64_t{0};
};
static_assert(sizeof(LtPreference) <= sizeof(cublasLtMatmulPreferenceOpaque_t));

struct LtAlgo {
  static constexpr std::uint32_t kMagic = 0x416C676FU;
  std::uint32_t magic = kMagic;
  std::int32_t order = 0;
  std::uint64_t workspace = 0;
  std::array<std::uint8_t, 5> alignment{};  ///< of A, B, C, D and the bias, in bytes
  std::int32_t place = 0;                   ///< among the offered ones
  std::uint32_t problem = 0;                ///< the problem that it was found for
};
static_assert(sizeof(LtAlgo) <= sizeof(cublasLtMatmulAlgo_t));

/// The contents of an opaque struct; if it is none, records a misuse and returns null.
template <typename T, typename Opaque>
T* contents(Opaque* opaque, const char* what) {
  auto* const own = reinterpret_cast<T*>(opaque);
  if (own != nullptr && own->magic == T::kMagic) return own;
  misuse(std::string(what) + " is null or not initialised");
  return nullptr;
}

}  // namespace fake_cuda::inside
