// SPDX-License-Identifier: Apache-2.0
#include "cuda/dense/product.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "core/check.hpp"
#include "cuda/status.hpp"

namespace lamella::cuda {
namespace {

constexpr std::size_t kWorkspace = std::size_t{32} << 20U;
constexpr int kCandidates = 16;
constexpr std::uint32_t kAligned = 16;

cudaDataType_t cuda_type(DType dtype) {
  switch (dtype) {
    case DType::float16:
      return CUDA_R_16F;
    case DType::bfloat16:
      return CUDA_R_16BF;
    case DType::float64:
      return CUDA_R_64F;
    default:
      return CUDA_R_32F;
  }
}

cublasComputeType_t lt_compute(const ProductDesc& desc) {
  if (desc.src == DType::float64) return CUBLAS_COMPUTE_64F;
  if (desc.src == DType::float32 && desc.math == Math::tf32) return CUBLAS_COMPUTE_32F_FAST_TF32;
  return CUBLAS_COMPUTE_32F;
}

cublasLtEpilogue_t lt_epilogue(LtEpilogue epilogue) {
  switch (epilogue) {
    case LtEpilogue::none:
      return CUBLASLT_EPILOGUE_DEFAULT;
    case LtEpilogue::bias:
      return CUBLASLT_EPILOGUE_BIAS;
    case LtEpilogue::relu:
      return CUBLASLT_EPILOGUE_RELU;
    case LtEpilogue::relu_bias:
      return CUBLASLT_EPILOGUE_RELU_BIAS;
    case LtEpilogue::gelu_tanh:
      return CUBLASLT_EPILOGUE_GELU;
    case LtEpilogue::gelu_tanh_bias:
      return CUBLASLT_EPILOGUE_GELU_BIAS;
  }
  return CUBLASLT_EPILOGUE_DEFAULT;
}

bool has_bias(LtEpilogue epilogue) {
  return epilogue == LtEpilogue::bias || epilogue == LtEpilogue::relu_bias || epilogue == LtEpilogue::gelu_tanh_bias;
}

/// Owns an object of cuBLASLt. `Destroy` reports nothing that could be acted on.
template <typename T, cublasStatus_t (*Destroy)(T)>
class Owned {
 public:
  Owned() = default;
  ~Owned() {
    if (object_ != nullptr) static_cast<void>(Destroy(object_));
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  [[nodiscard]] T get() const noexcept { return object_; }
  [[nodiscard]] T* address() noexcept { return &object_; }

 private:
  T object_ = nullptr;
};
using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Handle = Owned<cublasLtHandle_t, cublasLtDestroy>;

void make_layout(Layout& layout, DType dtype, std::int64_t rows, std::int64_t columns, std::int64_t stride, int device) {
  check(cublasLtMatrixLayoutCreate(layout.address(), cuda_type(dtype), static_cast<std::uint64_t>(rows),
                                   static_cast<std::uint64_t>(columns), stride),
        device, "cublasLtMatrixLayoutCreate");
}

bool is_aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % kAligned == 0; }

}  // namespace

struct Product::Impl {
  Impl(const ProductDesc& d, const void* bias, int device_index) : desc(d), device(device_index) {
    check(cublasLtMatmulDescCreate(operation.address(), lt_compute(d), d.src == DType::float64 ? CUDA_R_64F : CUDA_R_32F), device,
          "cublasLtMatmulDescCreate");
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, lt_epilogue(d.epilogue));
    if (has_bias(d.epilogue)) {
      set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, cuda_type(d.src));
      set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    }
    make_layout(a, d.src, d.units, d.inputs, d.kernel_stride, device);
    make_layout(b, d.src, d.inputs, d.batch, d.inputs, device);
    make_layout(c, d.dst, d.units, d.batch, d.dst_stride, device);
    Handle handle;
    check(cublasLtCreate(handle.address()), device, "cublasLtCreate");
    aligned = choose(handle.get(), kAligned, kAligned);
    any = choose(handle.get(), static_cast<std::uint32_t>(size_of(d.src)), static_cast<std::uint32_t>(size_of(d.dst)));
  }

  template <typename T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    check(cublasLtMatmulDescSetAttribute(operation.get(), attribute, &value, sizeof(value)), device,
          "cublasLtMatmulDescSetAttribute");
  }

  /// The first of the candidates that cuBLASLt orders by its estimate of their time. The same on every run: results do not
  /// change. Nothing when it has none.
  std::optional<cublasLtMatmulHeuristicResult_t> choose(cublasLtHandle_t handle, std::uint32_t src_alignment,
                                                        std::uint32_t dst_alignment) {
    Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy> preference;
    check(cublasLtMatmulPreferenceCreate(preference.address()), device, "cublasLtMatmulPreferenceCreate");
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      check(cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof(value)), device,
            "cublasLtMatmulPreferenceSetAttribute");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(kWorkspace));
    // Parts of split sums are added in the compute type: one rounding at the store.
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, kAligned);  // the kernel is ours
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, src_alignment);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, dst_alignment);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, dst_alignment);
    std::array<cublasLtMatmulHeuristicResult_t, kCandidates> results{};
    int found = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle, operation.get(), a.get(), b.get(), c.get(), c.get(),
                                                                 preference.get(), kCandidates, results.data(), &found);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) return std::nullopt;
    check(status, device, "cublasLtMatmulAlgoGetHeuristic");
    const auto end = results.begin() + found;
    const auto best = std::find_if(
        results.begin(), end, [](const auto& r) { return r.state == CUBLAS_STATUS_SUCCESS && r.workspaceSize <= kWorkspace; });
    return best == end ? std::nullopt : std::optional(*best);
  }

  ProductDesc desc;
  int device;
  Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy> operation;
  Layout a;
  Layout b;
  Layout c;
  std::optional<cublasLtMatmulHeuristicResult_t> aligned;
  std::optional<cublasLtMatmulHeuristicResult_t> any;
};

std::string why_no_product(const ProductDesc& desc, int device) {
  if (desc.batch == 0 || desc.inputs == 0 || desc.units == 0) return "cuBLASLt has no products of no elements";
  const DeviceGuard guard(device);
  const auto* const some_bias = reinterpret_cast<const void*>(std::uintptr_t{256});  // looked at for its alignment only
  const Product::Impl asked(desc, some_bias, device);
  if (asked.aligned && asked.any) return {};
  return core::concat("cuBLASLt offers no algorithm for this product", asked.aligned ? " on pointers that are not aligned" : "");
}

Product::Product(const ProductDesc& desc, const void* bias, int device) {
  const DeviceGuard guard(device);
  impl_ = std::make_unique<const Impl>(desc, bias, device);
  const bool chosen = impl_->aligned && impl_->any;
  check(chosen ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED, device, "cublasLtMatmulAlgoGetHeuristic");
}
Product::~Product() = default;

std::size_t Product::workspace_bytes() const noexcept {
  return std::max(impl_->aligned->workspaceSize, impl_->any->workspaceSize);
}

void Product::execute(CudaStream& stream, const void* src, const void* kernel, void* dst, void* workspace) const {
  const Impl& p = *impl_;
  const auto& algorithm = is_aligned(src) && is_aligned(dst) ? *p.aligned : *p.any;
  const double one64 = 1;
  const double zero64 = 0;
  const float one32 = 1;
  const float zero32 = 0;
  const bool is_double = p.desc.src == DType::float64;
  const void* alpha = is_double ? static_cast<const void*>(&one64) : &one32;
  const void* beta = is_double ? static_cast<const void*>(&zero64) : &zero32;
  check(
      cublasLtMatmul(stream.cublaslt(), p.operation.get(), alpha, kernel, p.a.get(), src, p.b.get(), beta, dst, p.c.get(), dst,
                     p.c.get(), &algorithm.algo, workspace, algorithm.workspaceSize, static_cast<cudaStream_t>(stream.native())),
      p.device, "cublasLtMatmul");
}

}  // namespace lamella::cuda
