// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "core/backend.hpp"
#include "cuda/dense/engines.hpp"
#include "cuda/dense/product.hpp"
#include "ops/dense.hpp"

namespace lamella::cuda {
namespace {

/// The column of the activation table.
std::optional<LtEpilogue> column(ActivationKind kind) {
  enum class Column { NONE, DEFAULT, RELU, GELU };
  Column found = Column::NONE;
  switch (kind) {
#define LAMELLA_ELEMENTWISE(Kind, keras, parameters, formula, onednn, cudnn, cublaslt, ulp) \
  case ActivationKind::Kind:                                                                \
    found = Column::cublaslt;                                                               \
    break;
#define LAMELLA_ROWWISE(Kind, ...) case ActivationKind::Kind:
#include <lamella/activation.def>
    break;
  }
  switch (found) {
    case Column::DEFAULT:
      return LtEpilogue::none;
    case Column::RELU:
      return LtEpilogue::relu;
    case Column::GELU:
      return LtEpilogue::gelu_tanh;
    case Column::NONE:
      break;
  }
  return std::nullopt;
}

LtEpilogue with_bias(LtEpilogue epilogue) {
  switch (epilogue) {
    case LtEpilogue::relu:
      return LtEpilogue::relu_bias;
    case LtEpilogue::gelu_tanh:
      return LtEpilogue::gelu_tanh_bias;
    default:
      return LtEpilogue::bias;
  }
}

ProductDesc product_of(const ops::DenseDesc& d, const ops::PlanContext& context, LtEpilogue epilogue) {
  return {d.batch,
          d.inputs,
          d.units,
          padded_stride(d.units, d.dtype),
          d.units,
          d.dtype,
          d.dtype,
          d.math,
          d.has_bias ? with_bias(epilogue) : epilogue,
          context.algorithm};
}

/// The real product, with operands that are zero except for those that make each sum in its first row the epilogue's input: the
/// bias, or the first row of the kernel times 1.
class Examined {
 public:
  Examined(const ProductDesc& desc, const ops::PlanContext& context, bool aligned)
      : desc_(desc),
        context_(context),
        offset_(aligned ? 0 : 1),
        stream_(device_of(context)),
        src_(zeros(desc.batch * desc.inputs + 1, desc.src)),
        kernel_(zeros(desc.inputs * desc.kernel_stride, desc.src)),
        bias_(zeros(desc.units, desc.src)),
        dst_(zeros(desc.batch * desc.dst_stride + 1, desc.dst)),
        product_(desc, bias_.get(), device_of(context)),
        workspace_(context.backend->allocate(context.device_index, product_.workspace_bytes())) {
    const double number = 1;
    const Tensor one = Tensor::copy_of(TensorView(&number, Shape{1}, DType::float64)).to(desc.src);
    stream_.copy(src_row(), one.data(), one.bytes());
  }
  [[nodiscard]] std::string algorithm() const { return product_.algorithm(offset_ == 0); }
  void compute(std::span<const double> x, std::span<double> y) {
    const auto units = static_cast<std::size_t>(desc_.units);
    for (std::size_t done = 0; done < x.size(); done += units) {
      const std::size_t count = std::min(units, x.size() - done);
      const Tensor values = Tensor::copy_of(TensorView(x.data() + done, Shape{count}, DType::float64));
      const Tensor stored = values.to(desc_.src);
      stream_.copy(has_bias(desc_.epilogue) ? bias_.get() : kernel_.get(), stored.data(), stored.bytes());
      product_.execute(stream_, src_row(), kernel_.get(), dst_row(), workspace_.get());
      Tensor result({count}, desc_.dst);
      stream_.copy(result.data(), dst_row(), result.bytes());
      stream_.synchronize();
      const Tensor wide = std::as_const(result).to(DType::float64);
      std::copy_n(wide.span<double>().begin(), count, y.begin() + static_cast<std::ptrdiff_t>(done));
    }
  }

 private:
  [[nodiscard]] std::shared_ptr<void> zeros(std::int64_t elements, DType dtype) {
    const std::size_t bytes = static_cast<std::size_t>(elements) * size_of(dtype);
    auto memory = context_.backend->allocate(context_.device_index, bytes);
    context_.backend->fill(context_.device_index, memory.get(), 0, bytes);
    return memory;
  }
  [[nodiscard]] void* src_row() const { return static_cast<std::byte*>(src_.get()) + offset_ * size_of(desc_.src); }
  [[nodiscard]] void* dst_row() const { return static_cast<std::byte*>(dst_.get()) + offset_ * size_of(desc_.dst); }

  ProductDesc desc_;
  const ops::PlanContext& context_;
  std::size_t offset_;  ///< in elements, for src and dst
  CudaStream stream_;
  std::shared_ptr<void> src_;
  std::shared_ptr<void> kernel_;
  std::shared_ptr<void> bias_;
  std::shared_ptr<void> dst_;
  Product product_;
  std::shared_ptr<void> workspace_;
};

/// Checks once per algorithm and dtype. An algorithm that fails when it is called is not trusted either.
std::string why_not_trusted(const ProductDesc& desc, const ActivationSpec& activation, const ops::PlanContext& context) {
  const Product product(desc, reinterpret_cast<const void*>(std::uintptr_t{256}), device_of(context));
  for (const bool aligned : {true, false}) {
    core::VendorForm form{"cuBLASLt", activation, desc.src, false, product.algorithm(aligned)};
    if (form.algorithm.empty()) continue;
    form.tf32 = desc.src == DType::float32 && desc.math == Math::tf32 && !has_bias(desc.epilogue);
    form.algorithm += static_cast<char>(desc.epilogue);
    try {
      std::string why = device_of(context).verdicts.why_not(
          form, [&](std::span<const double> x, std::span<double> y) { Examined(desc, context, aligned).compute(x, y); });
      if (!why.empty()) return why;
    } catch (const DeviceError& error) {
      if (error.code() != ErrorCode::device) throw;
      return std::string(core::without_code(error.what()));
    }
  }
  return {};
}

class EpiloguePlan final : public ops::Plan {
 public:
  EpiloguePlan(const ops::DenseDesc& d, LtEpilogue epilogue, const ConstantsPtr& constants, const ops::PlanContext& context)
      : kernel_(kernel_on_device(constants, d, context)),
        bias_(d.has_bias ? constant_on_device(constants, 1, d.dtype, d.dtype, context) : nullptr),
        product_(product_of(d, context, epilogue), bias_.get(), device_of(context)) {}
  [[nodiscard]] std::size_t workspace_bytes() const noexcept override { return product_.workspace_bytes(); }
  void execute(const ops::Args& args) const override {
    product_.execute(stream_of(args.stream), args.srcs[0], kernel_.data.get(), args.dst, args.workspace);
  }

 private:
  DeviceKernel kernel_;
  std::shared_ptr<const void> bias_;
  Product product_;
};

class CublasLtEpilogueEngine final : public DenseEngine {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "cublaslt_epilogue"; }
  [[nodiscard]] int most_algorithms() const noexcept override { return kMostAlgorithms; }
  [[nodiscard]] std::string refuses(const ops::DenseDesc& d, const ops::PlanContext& context) const override {
    if (std::string why = ops::refused_by_all(d, {Fusion::library}, "applies the activation inside cuBLASLt's product");
        !why.empty())
      return why;
    if (std::string why = ops::refused_by_library(d, "cuBLASLt"); !why.empty()) return why;
    const auto epilogue = column(d.activation.kind);
    if (!epilogue) return core::format("cuBLASLt has no epilogue for {}", to_string(d.activation.kind));
    if (d.dtype == DType::float64 && (d.has_bias || *epilogue != LtEpilogue::none)) return "cuBLASLt has no float64 epilogue";
    const ProductDesc product = product_of(d, context, *epilogue);
    if (std::string why = why_no_product(product, device_of(context)); !why.empty()) return why;
    return *epilogue == LtEpilogue::none ? std::string() : why_not_trusted(product, d.activation, context);
  }
  [[nodiscard]] std::string fuses(const ops::DenseDesc& d) const override { return ops::bias_and_activation(d); }
  [[nodiscard]] std::optional<double> predicted_us(const ops::DenseDesc& d, const ops::PlanContext& context) const override {
    if (!column(d.activation.kind)) return std::nullopt;
    return predicted_library_us(d, device_of(context).hardware, true);
  }
  [[nodiscard]] PlanPtr plan(const ops::DenseDesc& d, ConstantsPtr constants, const ops::PlanContext& context) const override {
    return std::make_unique<EpiloguePlan>(d, *column(d.activation.kind), constants, context);
  }
};

}  // namespace

const DenseEngine& cublaslt_epilogue_engine() {
  static const CublasLtEpilogueEngine engine;
  return engine;
}

}  // namespace lamella::cuda
