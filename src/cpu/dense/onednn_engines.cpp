// SPDX-License-Identifier: Apache-2.0
#include <optional>

#include "core/backend.hpp"
#include "cpu/activation/epilogue.hpp"
#include "cpu/dense/engines.hpp"
#include "cpu/dense/onednn.hpp"
#include "cpu/dense/onednn_door.hpp"
#include "cpu/dense/onednn_trust.hpp"
#include "cpu/dense/predicted.hpp"
#include "cpu/threads.hpp"

namespace lamella::cpu {
namespace {

constexpr std::int64_t kLine = 64;

constexpr std::int64_t aligned(std::int64_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

onednn::ProductDesc product_of(const ops::DenseDesc& d) {
  onednn::ProductDesc product{d.batch, d.inputs, d.units, DType::float32, DType::float32, d.dtype, false, nullptr};
  if (d.dtype == DType::bfloat16) {
    product.src = DType::bfloat16;
    if (!onednn::why_not(product).empty()) product.src = DType::float32;
  }
  return product;
}

/// The same without oneDNN, during process exit, when static objects and other threads may still predict.
void execute_without(const ops::DenseDesc& desc, const ConstantsPtr& constants, const ops::Args& args) {
  const PlanPtr plan = reference_engine().plan(desc, constants, {});
  const auto workspace = core::allocate_host(plan->workspace_bytes());
  plan->execute({.srcs = args.srcs, .dst = args.dst, .workspace = workspace.get()});
}

/// The plan that `make` creates, or one without oneDNN at process exit.
template <typename Make>
PlanPtr plan_or_without(const ops::DenseDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context,
                        const Make& make) try {
  return make();
} catch (const onednn::Ended&) {
  return reference_engine().plan(desc, constants, context);
}

/// The product in float32, followed by lamella's own passes.
class ProductPlan final : public ops::Plan {
 public:
  ProductPlan(const ops::DenseDesc& d, const ConstantsPtr& constants, const ops::PlanContext& context, bool fused)
      : desc_(d),
        constants_(constants),
        product_desc_(product_of(d)),
        product_(product_desc_, constants),
        epilogue_(d.activation),
        fused_(fused) {
    if (d.has_bias) bias_ = constant_as<float>(constants, 1, d.dtype);
    widen_src_ = d.dtype != product_desc_.src;
    narrow_dst_ = d.dtype != DType::float32;
    scratch_at_ = 0;
    src_at_ = aligned(static_cast<std::int64_t>(product_.scratch_bytes()));
    dst_at_ = src_at_ + (widen_src_ ? aligned(d.batch * d.inputs * 4) : 0);
    bytes_ = dst_at_ + (narrow_dst_ ? aligned(d.batch * d.units * 4) : 0);
    team_ = worth(context.threads, static_cast<double>(d.batch * d.units) * kEpilogueNanoseconds);
  }
  [[nodiscard]] std::size_t workspace_bytes() const noexcept override { return static_cast<std::size_t>(bytes_); }
  [[nodiscard]] std::unique_ptr<ops::PlanState> make_state() const override { return product_.make_state(); }

  void execute(const ops::Args& args) const override {
    auto* workspace = static_cast<std::byte*>(args.workspace);
    const void* src = args.srcs[0];
    if (widen_src_) {
      auto* wide = reinterpret_cast<float*>(workspace + src_at_);
      const std::size_t size = size_of(desc_.dtype);
      parallel(desc_.batch * desc_.inputs, team_, [&](std::int64_t begin, std::int64_t end) {
        widen(wide + begin, static_cast<const std::byte*>(src) + static_cast<std::size_t>(begin) * size, desc_.dtype,
              end - begin);
      });
      src = wide;
    }
    float* sums = narrow_dst_ ? reinterpret_cast<float*>(workspace + dst_at_) : static_cast<float*>(args.dst);
    if (!product_.execute(sums, src, workspace + scratch_at_, args.state)) return execute_without(desc_, constants_, args);
    if (fused_) {
      pass(epilogue_, sums, bias_.get(), args.dst);
    } else {
      if (bias_) pass(Epilogue(ActivationSpec{}), sums, bias_.get(), nullptr);
      pass(epilogue_, sums, nullptr, args.dst);
    }
  }

 private:
  /// One pass over all rows of `sums`; rounds into `dst` if that has another type.
  void pass(const Epilogue& epilogue, float* sums, const float* bias, void* dst) const {
    const bool identity = bias == nullptr && desc_.activation.kind == ActivationKind::Linear;
    if (identity && !narrow_dst_) return;
    parallel(desc_.batch, team_, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t b = begin; b < end; ++b) {
        float* row = sums + b * desc_.units;
        if (!identity) epilogue(row, row, bias, desc_.units);
        if (narrow_dst_ && dst != nullptr) {
          narrow(static_cast<std::byte*>(dst) + static_cast<std::size_t>(b * desc_.units) * size_of(desc_.dtype), row,
                 desc_.dtype, desc_.units);
        }
      }
    });
  }

  ops::DenseDesc desc_;
  ConstantsPtr constants_;
  onednn::ProductDesc product_desc_;
  onednn::Product product_;
  Epilogue epilogue_;
  bool fused_;
  std::shared_ptr<const float> bias_;
  bool widen_src_ = false;
  bool narrow_dst_ = false;
  std::int64_t scratch_at_ = 0;
  std::int64_t src_at_ = 0;
  std::int64_t dst_at_ = 0;
  std::int64_t bytes_ = 0;
  Team team_;
};

class PostOpPlan final : public ops::Plan {
 public:
  PostOpPlan(const ops::DenseDesc& desc, const onednn::ProductDesc& product, const ConstantsPtr& constants)
      : desc_(desc), constants_(constants), product_(product, constants) {}
  [[nodiscard]] std::size_t workspace_bytes() const noexcept override { return product_.scratch_bytes(); }
  [[nodiscard]] std::unique_ptr<ops::PlanState> make_state() const override { return product_.make_state(); }
  void execute(const ops::Args& args) const override {
    if (!product_.execute(args.dst, args.srcs[0], args.workspace, args.state)) execute_without(desc_, constants_, args);
  }

 private:
  ops::DenseDesc desc_;
  ConstantsPtr constants_;
  onednn::Product product_;
};

onednn::ProductDesc post_op_product(const ops::DenseDesc& d) {
  return {d.batch, d.inputs, d.units, d.dtype, d.dtype, d.dtype, d.has_bias, &d.activation};
}

class PostOpEngine final : public DenseEngine {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "onednn_postop"; }
  [[nodiscard]] std::string refuses(const ops::DenseDesc& d, const ops::PlanContext&) const override {
    if (std::string why = refused_by_all(d, {Fusion::library}, "applies the activation inside oneDNN's product"); !why.empty())
      return why;
    if (std::string why = ops::refused_by_library(d, "oneDNN"); !why.empty()) return why;
    if (d.dtype != DType::float32 && d.dtype != DType::bfloat16)
      return core::format("it does not support {}", to_string(d.dtype));
    if (std::string why = onednn::why_not(post_op_product(d)); !why.empty()) return why;
    return onednn::why_not_trusted(d.activation, d.dtype);
  }
  [[nodiscard]] std::string fuses(const ops::DenseDesc& d) const override { return ops::bias_and_activation(d); }
  [[nodiscard]] std::optional<double> predicted_us(const ops::DenseDesc& d, const ops::PlanContext& context) const override {
    if (d.dtype != DType::float32 && d.dtype != DType::bfloat16) return std::nullopt;
    return predicted_onednn_us(d, context.threads);
  }
  [[nodiscard]] PlanPtr plan(const ops::DenseDesc& d, ConstantsPtr constants, const ops::PlanContext& context) const override {
    return plan_or_without(d, constants, context, [&] { return std::make_unique<PostOpPlan>(d, post_op_product(d), constants); });
  }
};

std::string refuses_product(const ops::DenseDesc& d) {
  if (d.dtype == DType::float64) return "oneDNN has no float64 product";
  if (std::string why = ops::refused_by_library(d, "oneDNN"); !why.empty()) return why;
  return onednn::why_not(product_of(d));
}

class EpilogueEngine final : public DenseEngine {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "onednn_epilogue"; }
  [[nodiscard]] std::string refuses(const ops::DenseDesc& d, const ops::PlanContext&) const override {
    std::string why = refused_by_all(d, {Fusion::epilogue}, "makes one pass after oneDNN's product");
    return why.empty() ? refuses_product(d) : why;
  }
  [[nodiscard]] std::optional<double> predicted_us(const ops::DenseDesc& d, const ops::PlanContext& context) const override {
    if (d.dtype == DType::float64) return std::nullopt;
    return predicted_onednn_us(d, context.threads);
  }
  [[nodiscard]] PlanPtr plan(const ops::DenseDesc& d, ConstantsPtr constants, const ops::PlanContext& context) const override {
    return plan_or_without(d, constants, context, [&] { return std::make_unique<ProductPlan>(d, constants, context, true); });
  }
};

class Unfused final : public DenseEngine {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "unfused"; }
  [[nodiscard]] std::string refuses(const ops::DenseDesc& d, const ops::PlanContext&) const override {
    std::string why = refused_by_all(d, {Fusion::none}, "makes three passes");
    return why.empty() ? refuses_product(d) : why;
  }
  [[nodiscard]] std::optional<double> predicted_us(const ops::DenseDesc& d, const ops::PlanContext& context) const override {
    if (d.dtype == DType::float64 || d.fusion != Fusion::none) return std::nullopt;  // else it is the last
    return predicted_onednn_us(d, context.threads) + predicted_passes_us(d, context.threads);
  }
  [[nodiscard]] PlanPtr plan(const ops::DenseDesc& d, ConstantsPtr constants, const ops::PlanContext& context) const override {
    return plan_or_without(d, constants, context, [&] { return std::make_unique<ProductPlan>(d, constants, context, false); });
  }
};

}  // namespace

const DenseEngine& onednn_postop_engine() {
  static const PostOpEngine engine;
  return engine;
}
const DenseEngine& onednn_epilogue_engine() {
  static const EpilogueEngine engine;
  return engine;
}
const DenseEngine& unfused_engine() {
  static const Unfused engine;
  return engine;
}

}  // namespace lamella::cpu
