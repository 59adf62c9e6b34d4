// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>
#include <vector>

#include "core/backend.hpp"
#include "core/trust.hpp"
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

ProductDesc product_of(const ops::DenseDesc& d, LtEpilogue epilogue) {
  return {d.batch, d.inputs, d.units, padded_stride(d.units, d.dtype), d.units, d.dtype, d.dtype, d.math, epilogue};
}

constexpr std::int64_t kExamined = 16;  ///< inputs and units of the product that an epilogue is examined with

ProductDesc examined_product(std::int64_t batch, LtEpilogue epilogue) {
  return {batch, kExamined, kExamined, kExamined, kExamined, DType::float32, DType::float32, Math::exact, epilogue};
}

/// f(x) as the epilogue of a product of x with the number 1.
void compute(core::Backend& backend, int device, LtEpilogue epilogue, std::span<const float> x, std::span<float> y) {
  std::vector<float> kernel(kExamined * kExamined);
  std::fill_n(kernel.begin(), kExamined, 1.F);
  std::vector<float> src(x.size() * kExamined);
  for (std::size_t i = 0; i < x.size(); ++i) src[i * kExamined] = x[i];
  const DeviceGuard guard(device);
  const Product product(examined_product(static_cast<std::int64_t>(x.size()), epilogue), nullptr, device);
  const auto on_device = [&](const std::vector<float>& values) {
    auto memory = backend.allocate(device, values.size() * sizeof(float));
    backend.copy(device, memory.get(), values.data(), values.size() * sizeof(float));
    return memory;
  };
  const auto device_kernel = on_device(kernel);
  const auto device_src = on_device(src);
  const auto device_dst = backend.allocate(device, src.size() * sizeof(float));
  const auto workspace = backend.allocate(device, product.workspace_bytes());
  CudaStream stream(device);
  product.execute(stream, device_src.get(), device_kernel.get(), device_dst.get(), workspace.get());
  stream.synchronize();
  backend.copy(device, src.data(), device_dst.get(), src.size() * sizeof(float));
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = src[i * kExamined];
}

class EpiloguePlan final : public ops::Plan {
 public:
  EpiloguePlan(const ops::DenseDesc& d, LtEpilogue epilogue, const ConstantsPtr& constants, const ops::PlanContext& context)
      : kernel_(kernel_on_device(constants, d, context)),
        bias_(d.has_bias ? constant_on_device(constants, 1, d.dtype, d.dtype, context) : nullptr),
        product_(product_of(d, d.has_bias ? with_bias(epilogue) : epilogue), bias_.get(), context.device_index) {}
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
  [[nodiscard]] std::string refuses(const ops::DenseDesc& d, const ops::PlanContext& context) const override {
    if (std::string why = ops::refused_by_all(d, {Fusion::library}, "has the activation inside cuBLASLt's product"); !why.empty())
      return why;
    if (std::string why = ops::refused_by_library(d, "cuBLASLt"); !why.empty()) return why;
    const auto epilogue = column(d.activation.kind);
    if (!epilogue) return core::concat("cuBLASLt has no epilogue for ", lamella::name(d.activation.kind));
    if (d.dtype == DType::float64 && (d.has_bias || *epilogue != LtEpilogue::none))
      return "cuBLASLt has no epilogues for float64";
    const ProductDesc product = product_of(d, d.has_bias ? with_bias(*epilogue) : *epilogue);
    if (std::string why = why_no_product(product, context.device_index); !why.empty()) return why;
    if (*epilogue == LtEpilogue::none) return {};
    if (std::string why = why_no_product(examined_product(1024, *epilogue), context.device_index); !why.empty()) return why;
    return core::why_not_trusted(
        "cuBLASLt", context.device_index, d.activation,
        [&](std::span<const float> x, std::span<float> y) { compute(*context.backend, context.device_index, *epilogue, x, y); });
  }
  [[nodiscard]] std::string fuses(const ops::DenseDesc& d) const override {
    const bool activation = d.activation.kind != ActivationKind::Linear;
    return d.has_bias ? (activation ? "bias+activation" : "bias") : (activation ? "activation" : "");
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
