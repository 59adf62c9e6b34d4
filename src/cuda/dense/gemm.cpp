// SPDX-License-Identifier: Apache-2.0
// cuBLASLt's product, followed by passes for bias and activation.
#include <algorithm>
#include <optional>

#include "cuda/activation/engines.hpp"
#include "cuda/dense/engines.hpp"
#include "cuda/dense/product.hpp"
#include "kernels/kernels.hpp"
#include "ops/dense.hpp"

namespace lamella::cuda {
namespace {

constexpr std::size_t kAlignment = 256;

std::size_t aligned(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

ProductDesc product_of(const ops::DenseDesc& d, const ops::PlanContext& context, bool padded) {
  const DType dst = compute_type(d.dtype);
  const std::int64_t stride = padded && is_narrow(d.dtype) ? padded_stride(d.units, dst) : d.units;
  return {d.batch, d.inputs,         d.units,          padded_stride(d.units, d.dtype), stride, d.dtype, dst,
          d.math,  LtEpilogue::none, context.algorithm};
}

/// Rows whose sums are still in the second cache when the pass reads them: whole tiles of the library.
std::int64_t rows_of_chunk(const ops::DenseDesc& d) {
  constexpr std::int64_t kTile = 128;
  const std::int64_t bytes = padded_stride(std::max<std::int64_t>(d.units, 1), compute_type(d.dtype)) *
                             static_cast<std::int64_t>(size_of(compute_type(d.dtype)));
  return std::max(kTile, kSumsInSecondCache / bytes / kTile * kTile);
}

ops::DenseDesc with_rows(ops::DenseDesc d, std::int64_t rows) {
  d.batch = rows;
  return d;
}

std::string refuses_product(const ops::DenseDesc& d, const ops::PlanContext& context, bool padded) {
  std::string why = ops::refused_by_library(d, "cuBLASLt");
  return why.empty() ? why_no_product(product_of(d, context, padded), device_of(context)) : why;
}

double predicted_us_of(const ops::DenseDesc& d, const ops::PlanContext& context, int passes) {
  const Hardware& on = device_of(context).hardware;
  return predicted_library_us(d, on, false) + passes * predicted_pass_us(d, on);
}

/// The place of the sums: dst itself, or, in float32, after the library's workspace.
class Sums {
 public:
  /// `padded`: rows of the float32 sums start aligned.
  Sums(const ops::DenseDesc& d, const ConstantsPtr& constants, const ops::PlanContext& context, bool padded)
      : desc_(d),
        device_(context.device_index),
        product_desc_(product_of(d, context, padded)),
        kernel_(kernel_on_device(constants, d, context)),
        bias_(d.has_bias ? constant_on_device(constants, 1, d.dtype, compute_type(d.dtype), context) : nullptr),
        product_(product_desc_, nullptr, device_of(context)) {}

  [[nodiscard]] std::size_t workspace_bytes() const {
    return aligned(product_.workspace_bytes()) + (is_narrow(desc_.dtype) ? sums_bytes() : 0);
  }
  [[nodiscard]] void* compute(const ops::Args& args) const {
    void* const sums =
        is_narrow(desc_.dtype) ? static_cast<std::byte*>(args.workspace) + aligned(product_.workspace_bytes()) : args.dst;
    product_.execute(stream_of(args.stream), args.srcs[0], kernel_.data.get(), sums, args.workspace);
    return sums;
  }
  /// dst = activation(sums + bias), in dst's type; null biases are not added.
  void pass(const ops::Args& args, const ActivationSpec& activation, const void* sums, const void* bias, void* dst,
            DType dst_type) const {
    const std::int64_t dst_stride = dst == sums ? product_desc_.dst_stride : desc_.units;
    check(kernels::epilogue({activation, product_desc_.dst, dst_type, sums, bias, dst, desc_.batch, desc_.units,
                             product_desc_.dst_stride, dst_stride},
                            handle_of(stream_of(args.stream))),
          device_, "epilogue kernel");
  }
  [[nodiscard]] const void* bias() const { return bias_.get(); }
  [[nodiscard]] const ops::DenseDesc& desc() const { return desc_; }
  [[nodiscard]] DType type() const { return product_desc_.dst; }

 private:
  [[nodiscard]] std::size_t sums_bytes() const {
    return static_cast<std::size_t>(desc_.batch * product_desc_.dst_stride) * size_of(product_desc_.dst);
  }

  ops::DenseDesc desc_;
  int device_;
  ProductDesc product_desc_;
  DeviceKernel kernel_;
  std::shared_ptr<const void> bias_;
  Product product_;
};

/// The product and its pass, chunk by chunk of rows.
class FusedPlan final : public ops::Plan {
 public:
  FusedPlan(const ops::DenseDesc& d, const ConstantsPtr& constants, const ops::PlanContext& context)
      : batch_(d.batch), chunk_(std::min(d.batch, rows_of_chunk(d))), sums_(with_rows(d, chunk_), constants, context, true) {
    if (chunk_ != 0 && batch_ % chunk_ != 0) rest_.emplace(with_rows(d, batch_ % chunk_), constants, context, true);
  }
  [[nodiscard]] std::size_t workspace_bytes() const noexcept override {
    return std::max(sums_.workspace_bytes(), rest_ ? rest_->workspace_bytes() : 0);
  }
  void execute(const ops::Args& args) const override {
    const std::size_t size = size_of(sums_.desc().dtype);
    for (std::int64_t row = 0; row < batch_; row += chunk_) {
      const Sums& sums = batch_ - row < chunk_ ? *rest_ : sums_;
      const void* const src =
          static_cast<const std::byte*>(args.srcs[0]) + static_cast<std::size_t>(row * sums.desc().inputs) * size;
      ops::Args part = args;
      part.srcs = std::span(&src, 1);
      part.dst = static_cast<std::byte*>(args.dst) + static_cast<std::size_t>(row * sums.desc().units) * size;
      execute(sums, part);
    }
  }

 private:
  static void execute(const Sums& sums, const ops::Args& args) {
    void* const at = sums.compute(args);
    const ops::DenseDesc& d = sums.desc();
    const bool nothing_left = at == args.dst && sums.bias() == nullptr && d.activation.kind == ActivationKind::Linear;
    if (!nothing_left) sums.pass(args, d.activation, at, sums.bias(), args.dst, d.dtype);
  }

  std::int64_t batch_;
  std::int64_t chunk_;
  Sums sums_;
  std::optional<Sums> rest_;
};

/// Bias and activation each read and write all sums, as in a framework without fusion.
class UnfusedPlan final : public ops::Plan {
 public:
  /// `vendor`: computes the activation; null: our kernel.
  UnfusedPlan(const ops::DenseDesc& d, const ConstantsPtr& constants, const ops::PlanContext& context,
              const ActivationEngine* vendor)
      : sums_(d, constants, context, false) {
    if (vendor != nullptr && has_activation(d)) activation_ = vendor->plan(activation_of(d), constants, context);
  }
  [[nodiscard]] static bool has_activation(const ops::DenseDesc& d) { return d.activation.kind != ActivationKind::Linear; }
  /// The vendor's pass works on the sums in place; narrower results need another pass that rounds.
  [[nodiscard]] static ops::ActivationDesc activation_of(const ops::DenseDesc& d) {
    return {d.batch * d.units, d.activation, compute_type(d.dtype)};
  }
  [[nodiscard]] std::size_t workspace_bytes() const noexcept override { return sums_.workspace_bytes(); }
  void execute(const ops::Args& args) const override {
    void* const sums = sums_.compute(args);
    const ops::DenseDesc& d = sums_.desc();
    if (sums_.bias() != nullptr) sums_.pass(args, {}, sums, sums_.bias(), sums, sums_.type());
    if (!activation_) {
      sums_.pass(args, d.activation, sums, nullptr, args.dst, d.dtype);
      return;
    }
    const void* const src = sums;
    ops::Args rest = args;
    rest.srcs = std::span(&src, 1);
    rest.dst = sums;
    activation_->execute(rest);
    if (sums != args.dst) sums_.pass(args, {}, sums, nullptr, args.dst, d.dtype);
  }

 private:
  Sums sums_;
  PlanPtr activation_;
};

class FusedEngine final : public DenseEngine {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "gemm_then_epilogue"; }
  [[nodiscard]] int most_algorithms() const noexcept override { return kMostAlgorithms; }
  [[nodiscard]] std::string refuses(const ops::DenseDesc& d, const ops::PlanContext& context) const override {
    std::string why = ops::refused_by_all(d, {Fusion::epilogue}, "makes one pass after cuBLASLt's product");
    const std::int64_t chunk = std::min(d.batch, rows_of_chunk(d));
    if (why.empty()) why = refuses_product(with_rows(d, chunk), context, true);
    const std::int64_t rest = chunk == 0 ? 0 : d.batch % chunk;
    return why.empty() && rest != 0 ? refuses_product(with_rows(d, rest), context, true) : why;
  }
  [[nodiscard]] std::optional<double> predicted_us(const ops::DenseDesc& d, const ops::PlanContext& context) const override {
    return predicted_us_of(d, context, 1);
  }
  [[nodiscard]] PlanPtr plan(const ops::DenseDesc& d, ConstantsPtr constants, const ops::PlanContext& context) const override {
    return std::make_unique<FusedPlan>(d, constants, context);
  }
};

class UnfusedEngine final : public DenseEngine {
 public:
  UnfusedEngine(std::string_view name, const ActivationEngine* vendor) : name_(name), vendor_(vendor) {}
  [[nodiscard]] std::string_view name() const noexcept override { return name_; }
  [[nodiscard]] std::string refuses(const ops::DenseDesc& d, const ops::PlanContext& context) const override {
    std::string why = ops::refused_by_all(d, {Fusion::none}, "makes three passes");
    if (why.empty()) why = refuses_product(d, context, false);
    return why.empty() && vendor_ != nullptr && UnfusedPlan::has_activation(d)
               ? vendor_->refuses(UnfusedPlan::activation_of(d), context)
               : why;
  }
  [[nodiscard]] std::optional<double> predicted_us(const ops::DenseDesc& d, const ops::PlanContext& context) const override {
    if (d.fusion != Fusion::none) return std::nullopt;  // else it is the last
    return predicted_us_of(d, context, vendor_ != nullptr && is_narrow(d.dtype) ? 3 : 2);
  }
  [[nodiscard]] PlanPtr plan(const ops::DenseDesc& d, ConstantsPtr constants, const ops::PlanContext& context) const override {
    return std::make_unique<UnfusedPlan>(d, constants, context, vendor_);
  }

 private:
  std::string_view name_;
  const ActivationEngine* vendor_;
};

}  // namespace

const DenseEngine& gemm_then_epilogue_engine() {
  static const FusedEngine engine;
  return engine;
}
const DenseEngine& gemm_bias_activation_engine() {
  static const UnfusedEngine engine("gemm_bias_activation", nullptr);
  return engine;
}
const DenseEngine& gemm_bias_cudnn_engine() {
  static const UnfusedEngine engine("gemm_bias_cudnn", &cudnn_activation_engine());
  return engine;
}

}  // namespace lamella::cuda
