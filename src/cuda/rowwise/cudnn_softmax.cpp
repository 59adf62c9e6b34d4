// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "cuda/activation/cudnn_handle.hpp"
#include "cuda/rowwise/engines.hpp"

namespace lamella::cuda {
namespace {

class SoftmaxPlan final : public ops::Plan {
 public:
  SoftmaxPlan(const ops::RowwiseDesc& d, int device)
      : is_empty_(d.outer == 0 || d.length == 0 || d.inner == 0),
        algorithm_(d.kind == ActivationKind::LogSoftmax ? CUDNN_SOFTMAX_LOG : CUDNN_SOFTMAX_ACCURATE),
        tensor_(d.dtype, extent(d.outer), extent(d.length), extent(d.inner), 1, device),
        scales_(d.dtype) {}
  void execute(const ops::Args& args) const override {
    if (is_empty_) return;
    CudaStream& stream = stream_of(args.stream);
    const cudnnStatus_t status =
        cudnn().cudnnSoftmaxForward(stream.cudnn().on(handle_of(stream)), algorithm_, CUDNN_SOFTMAX_MODE_CHANNEL, scales_.one(),
                                    tensor_.get(), args.srcs[0], scales_.zero(), tensor_.get(), args.dst);
    check(status, stream, "cudnnSoftmaxForward");
  }

 private:
  [[nodiscard]] int extent(std::int64_t n) const { return is_empty_ ? 1 : static_cast<int>(n); }

  bool is_empty_;
  cudnnSoftmaxAlgorithm_t algorithm_;
  CudnnTensor tensor_;
  CudnnScales scales_;
};

class CudnnSoftmaxEngine final : public RowwiseEngine {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "cudnn_softmax"; }
  [[nodiscard]] std::string refuses(const ops::RowwiseDesc& d, const ops::PlanContext&) const override {
    if (!cudnn().why_not.empty()) return cudnn().why_not;
    constexpr std::int64_t kMost = std::numeric_limits<int>::max();
    if (d.kind != ActivationKind::Softmax && d.kind != ActivationKind::LogSoftmax)
      return core::format("cuDNN has no {}", to_string(d.kind));
    const auto rows = core::checked_mul(d.outer, d.length);
    const auto elements = rows ? core::checked_mul(*rows, d.inner) : rows;
    if (!elements || *elements > kMost) return "cuDNN counts elements in 32 bits, which is too few here";
    return {};
  }
  [[nodiscard]] PlanPtr plan(const ops::RowwiseDesc& d, ConstantsPtr, const ops::PlanContext& context) const override {
    return std::make_unique<SoftmaxPlan>(d, context.device_index);
  }
};

}  // namespace

const RowwiseEngine& cudnn_softmax_engine() {
  static const CudnnSoftmaxEngine engine;
  return engine;
}

}  // namespace lamella::cuda
