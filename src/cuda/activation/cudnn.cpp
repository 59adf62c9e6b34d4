// SPDX-License-Identifier: Apache-2.0
// cuDNN's activation descriptors. Its header calls them deprecated; this file alone calls them.
#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

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
  if (found.first == kNone || found.first == IDENTITY) return std::nullopt;  // cudnnActivationForward() has no identity
  return Mode{static_cast<cudnnActivationMode_t>(found.first), found.second};
}

class ActivationPlan final : public ops::Plan {
 public:
  ActivationPlan(const ops::ActivationDesc& d, const Mode& mode, int device)
      : is_empty_(d.elements == 0),
        tensor_(d.dtype, 1, 1, 1, is_empty_ ? 1 : static_cast<int>(d.elements), device),
        scales_(d.dtype) {
    check(cudnn().cudnnCreateActivationDescriptor(&activation_), device, "cudnnCreateActivationDescriptor");
    cudnnStatus_t status = cudnn().cudnnSetActivationDescriptor(activation_, mode.mode, CUDNN_PROPAGATE_NAN, mode.coefficient);
    if (status == CUDNN_STATUS_SUCCESS && mode.mode == CUDNN_ACTIVATION_SWISH)
      status = cudnn().cudnnSetActivationDescriptorSwishBeta(activation_, mode.coefficient);
    if (status == CUDNN_STATUS_SUCCESS) return;
    static_cast<void>(cudnn().cudnnDestroyActivationDescriptor(activation_));
    check(status, device, "cudnnSetActivationDescriptor");
  }
  ~ActivationPlan() override { static_cast<void>(cudnn().cudnnDestroyActivationDescriptor(activation_)); }
  ActivationPlan(const ActivationPlan&) = delete;
  ActivationPlan& operator=(const ActivationPlan&) = delete;

  void execute(const ops::Args& args) const override {
    if (is_empty_) return;
    CudaStream& stream = stream_of(args.stream);
    const cudnnStatus_t status =
        cudnn().cudnnActivationForward(stream.cudnn().on(handle_of(stream)), activation_, scales_.one(), tensor_.get(),
                                       args.srcs[0], scales_.zero(), tensor_.get(), args.dst);
    check(status, stream, "cudnnActivationForward");
  }

 private:
  bool is_empty_;
  CudnnTensor tensor_;
  CudnnScales scales_;
  cudnnActivationDescriptor_t activation_ = nullptr;
};

/// In device memory of type `dtype`.
void compute(const ops::PlanContext& context, const ops::ActivationDesc& as, const Mode& mode, std::span<const double> x,
             std::span<double> y) {
  CudaDevice& device = device_of(context);
  const auto count = static_cast<std::int64_t>(x.size());
  Tensor values = Tensor::copy_of(TensorView(x.data(), Shape{count}, DType::float64)).to(as.dtype);
  const auto memory = context.backend->allocate(device.index, values.bytes());
  const ActivationPlan plan({count, as.activation, as.dtype}, mode, device.index);
  CudaStream stream(device);
  stream.copy(memory.get(), std::as_const(values).data(), values.bytes());
  const void* const src = memory.get();
  const DeviceGuard guard(device.index);
  plan.execute({std::span(&src, 1), memory.get(), nullptr, &stream, nullptr});
  stream.copy(values.data(), memory.get(), values.bytes());
  stream.synchronize();
  const Tensor wide = std::as_const(values).to(DType::float64);
  std::copy_n(wide.span<double>().begin(), x.size(), y.begin());
}

class CudnnActivationEngine final : public ActivationEngine {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "cudnn_activation"; }
  [[nodiscard]] std::string refuses(const ops::ActivationDesc& d, const ops::PlanContext& context) const override {
    if (!cudnn().why_not.empty()) return cudnn().why_not;
    const auto mode = column(d.activation);
    if (!mode) return core::format("cuDNN has no {} with Keras' formula", to_string(d.activation.kind));
    if (!is_floating(d.dtype)) return core::format("dtype {} is not a floating type", to_string(d.dtype));
    if (d.elements > std::numeric_limits<int>::max()) return core::format("cuDNN counts elements in 32 bits, got {}", d.elements);
    return device_of(context).verdicts.why_not(
        {"cuDNN", d.activation, d.dtype},
        [&](std::span<const double> x, std::span<double> y) { compute(context, d, *mode, x, y); });
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
