// SPDX-License-Identifier: Apache-2.0
// cuDNN's activation descriptors. Its header calls them deprecated; this file alone calls them.
#include <limits>
#include <optional>

#include "core/trust.hpp"
#include "cuda/activation/cudnn_handle.hpp"
#include "cuda/activation/engines.hpp"

namespace lamella::cuda {
namespace {

struct Mode {
  cudnnActivationMode_t mode;
  double coefficient;
};

/// The column of the activation table.
std::optional<Mode> column(const ActivationSpec& activation) {
  constexpr int kNone = -1;
  constexpr int SIGMOID = CUDNN_ACTIVATION_SIGMOID;
  constexpr int RELU = CUDNN_ACTIVATION_RELU;
  constexpr int TANH = CUDNN_ACTIVATION_TANH;
  constexpr int CLIPPED_RELU = CUDNN_ACTIVATION_CLIPPED_RELU;
  constexpr int ELU = CUDNN_ACTIVATION_ELU;
  constexpr int IDENTITY = CUDNN_ACTIVATION_IDENTITY;
  constexpr int SWISH = CUDNN_ACTIVATION_SWISH;
  constexpr int NONE = kNone;
  [[maybe_unused]] const double p0 = activation.parameters[0];
  std::pair<int, double> found{NONE, 0};
  switch (activation.kind) {
#define LAMELLA_ELEMENTWISE(Kind, keras, parameters, formula, onednn, cudnn, cublaslt, ulp) \
  case ActivationKind::Kind:                                                                \
    found = std::pair<int, double> cudnn;                                                   \
    break;
#define LAMELLA_ROWWISE(Kind, ...) case ActivationKind::Kind:
#include <lamella/activation.def>
    break;
  }
  if (found.first == kNone) return std::nullopt;
  return Mode{static_cast<cudnnActivationMode_t>(found.first), found.second};
}

class ActivationPlan final : public ops::Plan {
 public:
  ActivationPlan(const ops::ActivationDesc& d, const Mode& mode, int device)
      : device_(device),
        is_empty_(d.elements == 0),
        tensor_(d.dtype, 1, 1, 1, is_empty_ ? 1 : static_cast<int>(d.elements), device),
        scales_(d.dtype) {
    check(cudnnCreateActivationDescriptor(&activation_), device, "cudnnCreateActivationDescriptor");
    cudnnStatus_t status = cudnnSetActivationDescriptor(activation_, mode.mode, CUDNN_PROPAGATE_NAN, mode.coefficient);
    if (status == CUDNN_STATUS_SUCCESS && mode.mode == CUDNN_ACTIVATION_SWISH)
      status = cudnnSetActivationDescriptorSwishBeta(activation_, mode.coefficient);
    if (status == CUDNN_STATUS_SUCCESS) return;
    static_cast<void>(cudnnDestroyActivationDescriptor(activation_));
    check(status, device, "cudnnSetActivationDescriptor");
  }
  ~ActivationPlan() override { static_cast<void>(cudnnDestroyActivationDescriptor(activation_)); }
  ActivationPlan(const ActivationPlan&) = delete;
  ActivationPlan& operator=(const ActivationPlan&) = delete;

  void execute(const ops::Args& args) const override {
    if (is_empty_) return;
    CudaStream& stream = stream_of(args.stream);
    check(cudnnActivationForward(stream.cudnn().on(handle_of(stream)), activation_, scales_.one(), tensor_.get(), args.srcs[0],
                                 scales_.zero(), tensor_.get(), args.dst),
          device_, "cudnnActivationForward");
  }

 private:
  int device_;
  bool is_empty_;
  CudnnTensor tensor_;
  CudnnScales scales_;
  cudnnActivationDescriptor_t activation_ = nullptr;
};

void compute(const ops::PlanContext& context, const ActivationSpec& activation, const Mode& mode, std::span<const float> x,
             std::span<float> y) {
  const int device = context.device_index;
  const DeviceGuard guard(device);
  const auto memory = context.backend->allocate(device, x.size_bytes());
  context.backend->copy(device, memory.get(), x.data(), x.size_bytes());
  const ActivationPlan plan({static_cast<std::int64_t>(x.size()), activation, DType::float32}, mode, device);
  CudaStream stream(device);
  const void* const src = memory.get();
  plan.execute({std::span(&src, 1), memory.get(), nullptr, &stream, nullptr});
  stream.synchronize();
  context.backend->copy(device, y.data(), memory.get(), y.size_bytes());
}

class CudnnActivationEngine final : public ActivationEngine {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "cudnn_activation"; }
  [[nodiscard]] std::string refuses(const ops::ActivationDesc& d, const ops::PlanContext& context) const override {
    const auto mode = column(d.activation);
    if (!mode) return core::concat("cuDNN has no ", lamella::name(d.activation.kind), " that is Keras'");
    if (!is_floating(d.dtype)) return core::concat("dtype ", lamella::name(d.dtype), " is not a floating type");
    if (d.elements > std::numeric_limits<int>::max())
      return core::concat("cuDNN counts elements in 32 bits, there are ", d.elements);
    return core::why_not_trusted("cuDNN", context.device_index, d.activation, [&](std::span<const float> x, std::span<float> y) {
      compute(context, d.activation, *mode, x, y);
    });
  }
  [[nodiscard]] PlanPtr plan(const ops::ActivationDesc& d, ConstantsPtr, const ops::PlanContext& context) const override {
    return std::make_unique<ActivationPlan>(d, *column(d.activation), context.device_index);
  }
};

}  // namespace

const ActivationEngine& cudnn_activation_engine() {
  static const CudnnActivationEngine engine;
  return engine;
}

}  // namespace lamella::cuda
