// SPDX-License-Identifier: Apache-2.0
#include "cublaslt.hpp"

#include <cstring>

namespace fake_cuda::inside {
namespace {

/// Where an attribute is stored; a null address if the double does not know it.
struct Field {
  void* at = nullptr;
  std::size_t size = 0;
};
template <typename T>
Field field(T& member) {
  return {&member, sizeof member};
}

Field field_of(LtMatmul& matmul, cublasLtMatmulDescAttributes_t attribute) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_COMPUTE_TYPE:
      return field(matmul.compute);
    case CUBLASLT_MATMUL_DESC_SCALE_TYPE:
      return field(matmul.scale);
    case CUBLASLT_MATMUL_DESC_POINTER_MODE:
      return field(matmul.pointer_mode);
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return field(matmul.transpose_a);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return field(matmul.transpose_b);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return field(matmul.epilogue);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return field(matmul.bias);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return field(matmul.bias_type);
    case CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET:
      return field(matmul.processors);
    default:
      return {};
  }
}

Field field_of(LtPreference& preference, cublasLtMatmulPreferenceAttributes_t attribute) {
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_SEARCH_MODE:
      return field(preference.search);
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      return field(preference.workspace);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
      return field(preference.reductions);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
      return field(preference.alignment[0]);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
      return field(preference.alignment[1]);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
      return field(preference.alignment[2]);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
      return field(preference.alignment[3]);
    case CUBLASLT_MATMUL_PREF_MAX_WAVES_COUNT:
      return field(preference.waves);
    case CUBLASLT_MATMUL_PREF_IMPL_MASK:
      return field(preference.implementations);
    default:
      return {};
  }
}

template <typename T, typename Opaque, typename Attribute>
cublasStatus_t set(const char* name, Opaque* opaque, Attribute attribute, const void* value, std::size_t size) {
  return blas_call(name, Kind::plain, [&] {
    T* const own = contents<T>(opaque, "a cuBLASLt descriptor");
    if (own == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
    const Field place = field_of(*own, attribute);
    if (place.at == nullptr) {
      misuse(std::string(name) + ": the double does not know attribute " + std::to_string(static_cast<int>(attribute)));
      return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    if (value == nullptr || size != place.size) return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(place.at, value, size);
    return CUBLAS_STATUS_SUCCESS;
  });
}

/// Fills `size` bytes of an opaque struct.
template <typename T>
cublasStatus_t init(void* opaque, std::size_t size, const T& content) {
  if (opaque == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (size < sizeof content) return CUBLAS_STATUS_ALLOC_FAILED;
  std::memset(opaque, 0, size);
  std::memcpy(opaque, &content, sizeof content);
  return CUBLAS_STATUS_SUCCESS;
}

template <typename Opaque, typename T>
cublasStatus_t create(const char* name, Opaque** opaque, const T& content) {
  return blas_call(name, Kind::allocate, [&] {
    if (opaque == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
    *opaque = new_descriptor<Opaque>();
    return init(*opaque, sizeof **opaque, content);
  });
}

cublasStatus_t destroy(const char* name, const void* opaque) {
  return blas_call(name, Kind::release, [&] {
    if (opaque == nullptr) return CUBLAS_STATUS_SUCCESS;
    return drop_descriptor(opaque, name) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
  });
}

LtLayout layout_of(cudaDataType type, std::uint64_t rows, std::uint64_t columns, std::int64_t ld) {
  return {.type = type, .rows = rows, .columns = columns, .ld = ld};
}

}  // namespace
}  // namespace fake_cuda::inside

using namespace fake_cuda::inside;

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  return blas_call("cublasLtCreate", Kind::allocate, [&] {
    if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
    if (check_unsafe("cublasLtCreate") != cudaSuccess) return CUBLAS_STATUS_NOT_INITIALIZED;
    *handle = reinterpret_cast<cublasLtHandle_t>(new_handle("cuBLASLt"));
    return CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  return blas_call("cublasLtDestroy", Kind::release, [&] {
    return drop_handle(reinterpret_cast<Handle*>(handle), "cublasLtDestroy") ? CUBLAS_STATUS_SUCCESS
                                                                             : CUBLAS_STATUS_NOT_INITIALIZED;
  });
}

size_t cublasLtGetVersion() { return CUBLAS_VERSION; }

cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t layout, size_t size, cudaDataType type, uint64_t rows,
                                                 uint64_t columns, int64_t ld) {
  return init(layout, size, layout_of(type, rows, columns, ld));
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, uint64_t rows, uint64_t columns,
                                          int64_t ld) {
  return create("cublasLtMatrixLayoutCreate", layout, layout_of(type, rows, columns, ld));
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  return destroy("cublasLtMatrixLayoutDestroy", layout);
}
cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t matmul, size_t size, cublasComputeType_t compute,
                                               cudaDataType_t scale) {
  return init(matmul, size, LtMatmul{.compute = compute, .scale = scale});
}
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* matmul, cublasComputeType_t compute, cudaDataType_t scale) {
  return create("cublasLtMatmulDescCreate", matmul, LtMatmul{.compute = compute, .scale = scale});
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t matmul) { return destroy("cublasLtMatmulDescDestroy", matmul); }
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t matmul, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t size) {
  return set<LtMatmul>("cublasLtMatmulDescSetAttribute", matmul, attribute, value, size);
}

cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t preference, size_t size) {
  return init(preference, size, LtPreference{});
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  return create("cublasLtMatmulPreferenceCreate", preference, LtPreference{});
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  return destroy("cublasLtMatmulPreferenceDestroy", preference);
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                                    size_t size) {
  return set<LtPreference>("cublasLtMatmulPreferenceSetAttribute", preference, attribute, value, size);
}

}  // extern "C"
