// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <functional>

#include "cublaslt.hpp"

namespace fake_cuda::inside {
namespace {

struct Problem {
  const LtMatmul* matmul = nullptr;
  const LtLayout* layouts[4] = {};  ///< A, B, C, D
};

/// Returns false and records a misuse if a descriptor is null or not initialised.
bool read(Problem& problem, cublasLtMatmulDesc_t matmul, const cublasLtMatrixLayout_t (&layouts)[4]) {
  problem.matmul = contents<LtMatmul>(matmul, "the matmul descriptor");
  for (int i = 0; i < 4; ++i) problem.layouts[i] = contents<LtLayout>(layouts[i], "a matrix layout");
  return problem.matmul != nullptr && std::all_of(problem.layouts, problem.layouts + 4, [](auto* l) { return l != nullptr; });
}

cudaDataType type_of(const LtLayout& layout) { return static_cast<cudaDataType>(layout.type); }

/// The transform of an epilogue, without its bias; false if the double does not know it.
bool transform_of(std::uint32_t epilogue, Transform& transform) {
  switch (epilogue & ~static_cast<std::uint32_t>(CUBLASLT_EPILOGUE_BIAS)) {
    case 0:
    case CUBLASLT_EPILOGUE_DEFAULT:
      transform = Transform::none;
      return true;
    case CUBLASLT_EPILOGUE_RELU:
      transform = Transform::relu;
      return true;
    case CUBLASLT_EPILOGUE_GELU:
      transform = Transform::gelu;
      return true;
    default:
      return false;
  }
}

Matrix matrix_of(const LtLayout& layout, const void* data) { return {type_of(layout), const_cast<void*>(data), layout.ld}; }

/// The product that descriptors describe, without pointers and scalars.
cublasStatus_t describe(const Problem& problem, Gemm& gemm) {
  const auto& [matmul, layouts] = problem;
  for (const LtLayout* layout : layouts) {
    if (layout->rows == 0 || layout->columns == 0) return CUBLAS_STATUS_INVALID_VALUE;
    if (layout->ld < static_cast<std::int64_t>(layout->rows)) return CUBLAS_STATUS_INVALID_VALUE;
  }
  const LtLayout& a = *layouts[0];
  const LtLayout& b = *layouts[1];
  const LtLayout& c = *layouts[2];
  const LtLayout& d = *layouts[3];
  gemm.transpose_a = matmul->transpose_a != CUBLAS_OP_N;
  gemm.transpose_b = matmul->transpose_b != CUBLAS_OP_N;
  const auto [m, k] = gemm.transpose_a ? std::pair(a.columns, a.rows) : std::pair(a.rows, a.columns);
  const auto [k_of_b, n] = gemm.transpose_b ? std::pair(b.columns, b.rows) : std::pair(b.rows, b.columns);
  if (k != k_of_b || d.rows != m || d.columns != n || c.rows != m || c.columns != n) return CUBLAS_STATUS_INVALID_VALUE;
  gemm.m = static_cast<std::int64_t>(m);
  gemm.n = static_cast<std::int64_t>(n);
  gemm.k = static_cast<std::int64_t>(k);
  gemm.compute = static_cast<cublasComputeType_t>(matmul->compute);
  gemm.tf32 = gemm.compute == CUBLAS_COMPUTE_32F_FAST_TF32;

  const auto scale = static_cast<cudaDataType>(matmul->scale);
  if (!supported(gemm.compute, scale, type_of(a), type_of(b), type_of(c), type_of(d))) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (matmul->pointer_mode != CUBLASLT_POINTER_MODE_HOST) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (!transform_of(matmul->epilogue, gemm.transform)) return CUBLAS_STATUS_NOT_SUPPORTED;
  const bool plain = matmul->epilogue == CUBLASLT_EPILOGUE_DEFAULT;
  if (gemm.compute == CUBLAS_COMPUTE_64F && !plain) return CUBLAS_STATUS_NOT_SUPPORTED;
  gemm.bias_type = matmul->bias_type < 0 ? type_of(d) : static_cast<cudaDataType>(matmul->bias_type);
  const bool bias_fits = gemm.bias_type == type_of(d) || gemm.bias_type == CUDA_R_32F;
  return bias_fits ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

/// The problem for which an algorithm is found: types and forms, not sizes.
std::uint32_t fingerprint_of(const Problem& problem) {
  std::uint32_t hash = 2166136261U;
  const auto mix = [&hash](auto value) { hash = (hash ^ static_cast<std::uint32_t>(value)) * 16777619U; };
  const LtMatmul& matmul = *problem.matmul;
  mix(matmul.compute);
  mix(matmul.scale);
  mix(matmul.transpose_a);
  mix(matmul.transpose_b);
  mix(matmul.epilogue);
  for (const LtLayout* layout : problem.layouts) mix(layout->type);
  return hash;
}

/// The widest access, up to 16 bytes, that all leading dimensions allow.
std::uint32_t alignment_of_rows(const Problem& problem) {
  std::uint32_t alignment = 16;
  for (const LtLayout* layout : problem.layouts) {
    const auto stride = static_cast<std::uint64_t>(layout->ld) * size_of(type_of(*layout));
    while (stride % alignment != 0) alignment /= 2;
  }
  return alignment;
}

/// The promised alignment of A, B, C and D, and the actual one of the bias, up to 16 bytes.
std::array<std::uint8_t, 5> promised(const Problem& problem, const LtPreference& wish) {
  std::array<std::uint8_t, 5> result{};
  for (int i = 0; i < 4; ++i) result[i] = static_cast<std::uint8_t>(std::min(wish.alignment[i], 16U));
  result[4] = 16;
  while (reinterpret_cast<std::uintptr_t>(problem.matmul->bias) % result[4] != 0) result[4] /= 2;
  return result;
}

/// The alignment that may be assumed without a promise: whole elements.
std::array<std::uint8_t, 5> elements(const Problem& problem, const Gemm& gemm) {
  std::array<std::uint8_t, 5> result{};
  for (int i = 0; i < 4; ++i) result[i] = static_cast<std::uint8_t>(size_of(type_of(*problem.layouts[i])));
  result[4] = static_cast<std::uint8_t>(size_of(gemm.bias_type));
  return result;
}

/// The algorithms that the double offers, those that it claims to be faster first: in two halves with a workspace, backward,
/// forward. The last relies on the whole alignment that was promised for each operand.
std::vector<LtAlgo> algorithms(const Problem& problem, const Gemm& gemm, const std::array<std::uint8_t, 5>& promise) {
  std::array<std::uint8_t, 5> full{16, 16, 16, 16, promise[4]};
  const auto problem_code = fingerprint_of(problem);
  const auto partial = static_cast<std::uint64_t>(gemm.m * gemm.n) * (gemm.compute == CUBLAS_COMPUTE_64F ? 8 : 4);
  const Options& options = world().options;
  std::vector<LtAlgo> offered;
  if (alignment_of_rows(problem) == 16) {
    offered.push_back({.order = 1, .workspace = partial, .alignment = full, .problem = problem_code});
    offered.push_back({.order = 2, .workspace = 0, .alignment = full, .problem = problem_code});
  }
  offered.push_back({.order = 0, .workspace = 0, .alignment = options.no_unaligned ? full : promise, .problem = problem_code});
  for (LtAlgo& algo : offered) {
    algo.place = static_cast<int>(&algo - offered.data());
    if (options.order_by_batch) algo.order = static_cast<int>((algo.order + gemm.n) % 3);
  }
  return offered;
}

bool aligned(const void* pointer, std::uint32_t alignment) { return reinterpret_cast<std::uintptr_t>(pointer) % alignment == 0; }

/// Checks that the promises made for an algorithm are kept.
cublasStatus_t check(const LtAlgo& algo, const Problem& problem, const Gemm& gemm, const void* workspace, std::size_t bytes) {
  if (algo.problem != fingerprint_of(problem)) {
    misuse("cublasLtMatmul with an algorithm that was found for another problem");
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  if (algo.workspace > bytes || (algo.workspace > 0 && workspace == nullptr)) {
    misuse("cublasLtMatmul with a workspace of " + std::to_string(bytes) + " bytes; the algorithm needs " +
           std::to_string(algo.workspace));
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (workspace != nullptr && !aligned(workspace, 16)) {
    misuse("cublasLtMatmul with a workspace that is not aligned to 16 bytes");
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const std::array<const void*, 5> pointers{gemm.a.data, gemm.b.data, gemm.beta != 0 ? gemm.c.data : nullptr, gemm.d.data,
                                            gemm.bias};
  for (std::size_t i = 0; i < pointers.size(); ++i) {
    if (!aligned(pointers[i], algo.alignment[i])) {
      constexpr std::array kNames{"A", "B", "C", "D", "bias"};
      misuse(std::string("cublasLtMatmul with ") + kNames[i] + " not aligned to " + std::to_string(algo.alignment[i]) +
             " bytes, as the algorithm was promised");
      return CUBLAS_STATUS_INVALID_VALUE;
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t check_handle(cublasLtHandle_t handle, const char* name) {
  auto* const own = reinterpret_cast<Handle*>(handle);
  if (!world().handles.contains(own)) {
    misuse(std::string(name) + " with a handle that does not exist (any more)");
    return CUBLAS_STATUS_NOT_INITIALIZED;
  }
  if (own->device == thread().device) return CUBLAS_STATUS_SUCCESS;
  misuse(std::string(name) + " with a handle of device " + std::to_string(own->device) + " while device " +
         std::to_string(thread().device) + " is current");
  return CUBLAS_STATUS_ARCH_MISMATCH;
}

}  // namespace
}  // namespace fake_cuda::inside

using namespace fake_cuda::inside;

extern "C" {

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t matmul, cublasLtMatrixLayout_t a,
                                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t results[], int* returned) {
  const HandleUse use(handle, "cublasLtMatmulAlgoGetHeuristic");
  return blas_call("cublasLtMatmulAlgoGetHeuristic", Kind::plain, [&] {
    if (const auto status = check_handle(handle, "cublasLtMatmulAlgoGetHeuristic")) return status;
    if (requested <= 0 || results == nullptr || returned == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
    *returned = 0;
    Problem problem;
    const auto* const wish = contents<LtPreference>(preference, "the matmul preference");
    if (!read(problem, matmul, {a, b, c, d}) || wish == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
    Gemm gemm{.d = matrix_of(*problem.layouts[3], nullptr)};
    if (const auto status = describe(problem, gemm)) return status;
    for (const auto& [epilogue, status] : world().no_algorithms) {
      if (epilogue == -1 || epilogue == static_cast<int>(problem.matmul->epilogue)) return static_cast<cublasStatus_t>(status);
    }
    const auto& captures = world().captures;
    const bool captured = std::any_of(captures.begin(), captures.end(),
                                      [](const auto& capture) { return capture->origin->device == thread().device; });
    if (captured && world().options.heuristics_in_captures != 0)
      return static_cast<cublasStatus_t>(world().options.heuristics_in_captures);
    const auto promise = promised(problem, *wish);
    const int most = gemm.n < 128 ? std::min(requested, world().options.most_for_few_rows) : requested;
    for (const LtAlgo& algo : algorithms(problem, gemm, promise)) {
      if (algo.workspace > wish->workspace || *returned == most) continue;
      if (!std::equal(promise.begin(), promise.end(), algo.alignment.begin(), std::greater_equal<>())) continue;
      auto& result = results[(*returned)++];
      result = {};
      std::memcpy(&result.algo, &algo, sizeof algo);
      result.workspaceSize = algo.workspace;
      result.state = CUBLAS_STATUS_SUCCESS;
      result.wavesCount = 1;
    }
    return *returned > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
  });
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t matmul, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout, const void* beta,
                              const void* c, cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algo, void* workspace, size_t bytes, cudaStream_t stream) {
  const HandleUse use(handle, "cublasLtMatmul");
  return blas_call("cublasLtMatmul", Kind::plain, [&] {
    if (const auto status = check_handle(handle, "cublasLtMatmul")) return status;
    Problem problem;
    if (!read(problem, matmul, {a_layout, b_layout, c_layout, d_layout})) return CUBLAS_STATUS_INVALID_VALUE;
    if (alpha == nullptr || beta == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
    const auto scale = static_cast<cudaDataType>(problem.matmul->scale);
    const auto& layouts = problem.layouts;
    Gemm gemm{.a = matrix_of(*layouts[0], a),
              .b = matrix_of(*layouts[1], b),
              .c = matrix_of(*layouts[2], c),
              .d = matrix_of(*layouts[3], d)};
    if (const auto status = describe(problem, gemm)) return status;
    gemm.alpha = load(scale, alpha, 0);
    gemm.beta = load(scale, beta, 0);
    if ((problem.matmul->epilogue & CUBLASLT_EPILOGUE_BIAS) != 0) {
      gemm.bias = problem.matmul->bias;
      if (gemm.bias == nullptr) {
        misuse("cublasLtMatmul with a bias epilogue and no bias");
        return CUBLAS_STATUS_INVALID_VALUE;
      }
    }
    LtAlgo chosen = algorithms(problem, gemm, elements(problem, gemm)).back();
    if (algo != nullptr) {
      const auto* const own = contents<const LtAlgo>(algo, "the matmul algorithm");
      if (own == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
      chosen = *own;
    }
    if (const auto status = check(chosen, problem, gemm, workspace, bytes)) return status;
    if (chosen.place == world().options.failing_algorithm) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (chosen.workspace > 0 && !inside_one(workspace, chosen.workspace, "cublasLtMatmul")) return CUBLAS_STATUS_INVALID_VALUE;
    gemm.order = chosen.order;
    const auto& options = world().options;
    const auto place = static_cast<std::size_t>(chosen.place);
    if (place < options.product_seconds.size()) world().product_seconds += options.product_seconds[place];
    if (chosen.place == options.wrong_algorithm) gemm.alpha *= 1.5;
    const auto& inexact = gemm.transform == Transform::relu ? world().options.relu_drops_nan : world().options.inexact_gelu;
    gemm.inexact = std::count(inexact.begin(), inexact.end(), gemm.d.type) != 0;
    return enqueue_gemm("cublasLtMatmul", gemm, chosen.workspace > 0 ? workspace : nullptr, stream);
  });
}

}  // extern "C"
