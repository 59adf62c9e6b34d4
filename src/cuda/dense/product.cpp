// SPDX-License-Identifier: Apache-2.0
#include "cuda/dense/product.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "core/check.hpp"
#include "cuda/backend.hpp"
#include "cuda/dense/algorithms.hpp"
#include "cuda/status.hpp"

namespace lamella::cuda {
namespace lt {  // named, because Product::Impl has one as a member

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
using Description = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Preference = Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

}  // namespace lt

namespace {

constexpr std::size_t kWorkspace = std::size_t{32} << 20U;
constexpr std::uint32_t kAligned = 16;
constexpr std::size_t kSpacing = 256;

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

void make_layout(lt::Layout& layout, DType dtype, std::int64_t rows, std::int64_t columns, std::int64_t stride, int device) {
  check(cublasLtMatrixLayoutCreate(layout.address(), cuda_type(dtype), static_cast<std::uint64_t>(rows),
                                   static_cast<std::uint64_t>(columns), stride),
        device, "cublasLtMatrixLayoutCreate");
}

std::size_t rounded_up(std::size_t bytes) { return (bytes + kSpacing - 1) / kSpacing * kSpacing; }

/// A handle from the device's pool, for one query.
class Lent {
 public:
  explicit Lent(CudaDevice& device) : device_(device), handle_(take_cublaslt(device)) {}
  ~Lent() { device_.cublaslt.give_back(std::move(handle_)); }
  Lent(const Lent&) = delete;
  Lent& operator=(const Lent&) = delete;
  [[nodiscard]] cublasLtHandle_t get() const noexcept { return handle_.get(); }

 private:
  CudaDevice& device_;
  std::shared_ptr<cublasLtContext> handle_;
};

}  // namespace

bool is_aligned(const void* pointer) noexcept { return reinterpret_cast<std::uintptr_t>(pointer) % kAligned == 0; }

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
  }

  [[nodiscard]] ProductChoice ask(CudaDevice& on) const {
    ProductChoice result;
    const Lent handle(on);
    const std::shared_lock undisturbed(on.captures);
    result.aligned = choose(handle.get(), desc.algorithm, kAligned, kAligned, result);
    if (!result.aligned) return result;
    ProductChoice ignored;
    const auto size = [](DType dtype) { return static_cast<std::uint32_t>(size_of(dtype)); };
    result.any = choose(handle.get(), 0, size(desc.src), size(desc.dst), ignored);
    return result;
  }

  template <typename T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    check(cublasLtMatmulDescSetAttribute(operation.get(), attribute, &value, sizeof(value)), device,
          "cublasLtMatmulDescSetAttribute");
  }

  /// Number `algorithm` of the usable ones, which cuBLASLt orders by estimated time. The same on every run, so that results do
  /// not change. Nothing, with the reason in `answer`, if there are fewer.
  std::optional<cublasLtMatmulHeuristicResult_t> choose(cublasLtHandle_t handle, int algorithm, std::uint32_t src_alignment,
                                                        std::uint32_t dst_alignment, ProductChoice& answer) const {
    lt::Preference preference;
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
    std::array<cublasLtMatmulHeuristicResult_t, kMostAlgorithms> results{};
    int found = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle, operation.get(), a.get(), b.get(), c.get(), c.get(),
                                                                 preference.get(), kMostAlgorithms, results.data(), &found);
    answer.why_none = "cuBLASLt offers no algorithm for this product";
    const bool refused =
        status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_ARCH_MISMATCH || status == CUBLAS_STATUS_INVALID_VALUE;
    if (!refused && is_capture_relaxed() && status != CUBLAS_STATUS_SUCCESS) {
      // Some versions of cuBLAS do not answer during a stream capture, and the choice made now would be permanent.
      throw DeviceError(ErrorCode::device, core::format("[cuda:{}] cuBLASLt cannot plan while a stream is captured ({}); call "
                                                        "Model::prepare() for this number of rows first",
                                                        device, cublasLtGetStatusName(status)));
    }
    if (!refused && status != CUBLAS_STATUS_INTERNAL_ERROR) check(status, device, "cublasLtMatmulAlgoGetHeuristic");
    if (status != CUBLAS_STATUS_NOT_SUPPORTED && status != CUBLAS_STATUS_SUCCESS)
      answer.why_none = core::format("cuBLASLt's heuristics return {}", cublasLtGetStatusName(status));
    answer.is_final = status != CUBLAS_STATUS_INTERNAL_ERROR;
    if (status != CUBLAS_STATUS_SUCCESS) return std::nullopt;
    const auto end = std::remove_if(results.begin(), results.begin() + found, [](const auto& r) {
      return r.state != CUBLAS_STATUS_SUCCESS || r.workspaceSize > kWorkspace;
    });
    if (algorithm > 0 && end != results.begin())
      answer.why_none = core::format("cuBLASLt offers {} algorithms for this product", end - results.begin());
    if (algorithm >= end - results.begin()) return std::nullopt;
    answer.why_none.clear();
    return results[static_cast<std::size_t>(algorithm)];
  }

  ProductDesc desc;
  int device;
  std::shared_ptr<const ProductChoice> choice;
  lt::Description operation;
  lt::Layout a;
  lt::Layout b;
  lt::Layout c;

  [[nodiscard]] std::size_t src_bytes() const { return static_cast<std::size_t>(desc.batch * desc.inputs) * size_of(desc.src); }
  [[nodiscard]] std::size_t dst_bytes() const {
    return static_cast<std::size_t>((desc.batch - 1) * desc.dst_stride + desc.units) * size_of(desc.dst);
  }
};

std::string why_no_product(const ProductDesc& desc, CudaDevice& device) {
  if (desc.batch == 0 || desc.inputs == 0 || desc.units == 0) return "the product is empty";
  const DeviceGuard guard(device.index);
  const auto* const some_bias = reinterpret_cast<const void*>(std::uintptr_t{256});  // only its alignment matters
  return device.algorithms->get(desc, [&] { return Product::Impl(desc, some_bias, device.index).ask(device); })->why_none;
}

Product::Product(const ProductDesc& desc, const void* bias, CudaDevice& device) {
  const DeviceGuard guard(device.index);
  auto impl = std::make_unique<Impl>(desc, bias, device.index);
  impl->choice = device.algorithms->get(desc, [&] { return impl->ask(device); });
  impl_ = std::move(impl);
  check(impl_->choice->aligned ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED, device.index,
        "cublasLtMatmulAlgoGetHeuristic");
}
Product::~Product() = default;

std::size_t Product::workspace_bytes() const noexcept {
  const ProductChoice& choice = *impl_->choice;
  if (choice.any) return std::max(choice.aligned->workspaceSize, choice.any->workspaceSize);
  return rounded_up(choice.aligned->workspaceSize) + rounded_up(impl_->src_bytes()) + impl_->dst_bytes();
}

std::string Product::algorithm(bool is_aligned) const {
  const auto& algorithm = is_aligned ? impl_->choice->aligned : impl_->choice->any;
  if (!algorithm) return {};
  return {reinterpret_cast<const char*>(&algorithm->algo), sizeof algorithm->algo};
}

void Product::execute(CudaStream& stream, const void* src, const void* kernel, void* dst, void* workspace) const {
  const Impl& p = *impl_;
  const auto handle = static_cast<cudaStream_t>(stream.native());
  const bool fits = is_aligned(src) && is_aligned(dst);
  const auto copy = [&](void* to, const void* from, std::size_t bytes) {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, handle), p.device, "cudaMemcpyAsync");
  };
  void* target = dst;
  if (!fits && !p.choice->any) {
    auto* const src_copy = static_cast<std::byte*>(workspace) + rounded_up(p.choice->aligned->workspaceSize);
    copy(src_copy, src, p.src_bytes());
    src = src_copy;
    target = src_copy + rounded_up(p.src_bytes());
  }
  const auto& algorithm = fits || !p.choice->any ? *p.choice->aligned : *p.choice->any;
  const double one64 = 1;
  const double zero64 = 0;
  const float one32 = 1;
  const float zero32 = 0;
  const bool is_double = p.desc.src == DType::float64;
  const void* alpha = is_double ? static_cast<const void*>(&one64) : &one32;
  const void* beta = is_double ? static_cast<const void*>(&zero64) : &zero32;
  const cublasStatus_t status =
      cublasLtMatmul(stream.cublaslt(), p.operation.get(), alpha, kernel, p.a.get(), src, p.b.get(), beta, target, p.c.get(),
                     target, p.c.get(), &algorithm.algo, workspace, algorithm.workspaceSize, handle);
  if (status != CUBLAS_STATUS_SUCCESS) stream.expect_alive_after("cublasLtMatmul");
  check(status, p.device, "cublasLtMatmul");
  if (target != dst) copy(dst, target, p.dst_bytes());
}

}  // namespace lamella::cuda
