// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "cudnn_call.hpp"
#include "gemm.hpp"

namespace fake_cuda::inside {
namespace {

cudaDataType data_type(cudnnDataType_t type) {
  switch (type) {
    case CUDNN_DATA_DOUBLE:
      return CUDA_R_64F;
    case CUDNN_DATA_HALF:
      return CUDA_R_16F;
    case CUDNN_DATA_BFLOAT16:
      return CUDA_R_16BF;
    default:
      return CUDA_R_32F;
  }
}

double get(const DnnOperand& operand, std::int64_t index) {
  return load(data_type(operand.tensor->type), operand.data, operand.tensor->at(index));
}

/// y = alpha * value + beta * y
struct Blend {
  double alpha = 1;
  double beta = 0;
  void put(const DnnOperand& y, std::int64_t index, double value) const {
    const double old = beta == 0 ? 0 : beta * get(y, index);
    store(data_type(y.tensor->type), y.data, y.tensor->at(index), alpha * value + old);
  }
};

/// Scalars are double for double tensors and float for all others.
Blend blend_of(const void* alpha, const void* beta, cudnnDataType_t type) {
  const auto scalar = type == CUDNN_DATA_DOUBLE ? CUDA_R_64F : CUDA_R_32F;
  return {load(scalar, alpha, 0), load(scalar, beta, 0)};
}

template <typename Real>
Real sigmoid(Real x) {
  return 1 / (1 + std::exp(-x));
}

template <typename Real>
Real activated(const DnnActivation& how, Real x, bool inexact) {
  const auto coefficient = static_cast<Real>(how.coefficient);
  const Real positive = std::isnan(x) ? (how.propagate_nan ? x : Real(0)) : std::max(x, Real(0));
  switch (how.mode) {
    case CUDNN_ACTIVATION_SIGMOID:
      return sigmoid(x);
    case CUDNN_ACTIVATION_RELU:
      return positive;
    case CUDNN_ACTIVATION_TANH:
      return std::tanh(x) * (inexact ? Real(1.0004) : Real(1));
    case CUDNN_ACTIVATION_CLIPPED_RELU:
      return std::isnan(positive) ? positive : std::min(positive, coefficient);
    case CUDNN_ACTIVATION_ELU:
      return x > 0 ? x : coefficient * std::expm1(x);
    case CUDNN_ACTIVATION_SWISH:
      return x * sigmoid(static_cast<Real>(how.swish_beta) * x);
    case CUDNN_ACTIVATION_IDENTITY:
      break;
  }
  return x;
}

/// One softmax over the elements start, start + step, ...
template <typename Real>
void softmax(cudnnSoftmaxAlgorithm_t algorithm, const DnnOperand& x, const DnnOperand& y, Blend blend, std::int64_t start,
             std::int64_t step, std::int64_t count) {
  std::vector<Real> values(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) values[static_cast<std::size_t>(i)] = static_cast<Real>(get(x, start + i * step));
  const Real largest = algorithm == CUDNN_SOFTMAX_FAST ? Real(0) : *std::max_element(values.begin(), values.end());
  Real sum = 0;
  for (const Real value : values) sum += std::exp(value - largest);
  for (std::int64_t i = 0; i < count; ++i) {
    const Real shifted = values[static_cast<std::size_t>(i)] - largest;
    const Real result = algorithm == CUDNN_SOFTMAX_LOG ? shifted - std::log(sum) : std::exp(shifted) / sum;
    blend.put(y, start + i * step, result);
  }
}

template <typename Real>
void softmax_all(cudnnSoftmaxAlgorithm_t algorithm, cudnnSoftmaxMode_t mode, const DnnOperand& x, const DnnOperand& y,
                 Blend blend) {
  const std::int64_t samples = x.tensor->extents[0];
  const std::int64_t sample = x.tensor->elements() / samples;
  const std::int64_t channels = mode == CUDNN_SOFTMAX_MODE_CHANNEL ? x.tensor->extents[1] : sample;
  const std::int64_t inner = sample / channels;
  for (std::int64_t n = 0; n < samples; ++n) {
    for (std::int64_t i = 0; i < inner; ++i) softmax<Real>(algorithm, x, y, blend, n * sample + i, inner, channels);
  }
}

cudnnStatus_t check(const DnnOperand& operand, const char* name) {
  if (operand.tensor == nullptr || operand.tensor->extents.empty() || operand.data == nullptr) return CUDNN_STATUS_BAD_PARAM;
  return inside_one(operand.data, operand.tensor->bytes(), name) ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

/// Checks, then enqueues y = f(x); copies the descriptors, which may be destroyed before the work runs.
cudnnStatus_t forward(const char* name, cudnnHandle_t handle, const void* alpha, DnnOperand x, const void* beta, DnnOperand y,
                      const std::function<void(const DnnOperand& x, const DnnOperand& y, Blend blend)>& run) {
  return on_dnn_handle(name, handle, [&](Handle& found) {
    x.tensor = dnn_contents<DnnTensor>(x.tensor, name);
    y.tensor = dnn_contents<DnnTensor>(y.tensor, name);
    for (const auto& operand : {x, y}) {
      if (const auto status = check(operand, name)) return status;
    }
    if (alpha == nullptr || beta == nullptr || x.tensor->type != y.tensor->type) return CUDNN_STATUS_BAD_PARAM;
    if (x.tensor->extents != y.tensor->extents) return CUDNN_STATUS_BAD_PARAM;
    const Blend blend = blend_of(alpha, beta, y.tensor->type);
    Work work{.name = name, .run = [=, from = *x.tensor, to = *y.tensor] {
                run({&from, x.data}, {&to, y.data}, blend);
                is_written(y.data, to.bytes());
              }};
    add_uses(work.uses, {x.data, blend.beta != 0 ? y.data : nullptr}, How::read, name);
    add_uses(work.uses, {y.data}, How::write, name);
    const cudaError_t error = enqueue_kernel(found.stream, std::move(work));  // does not set our runtime's last error
    return error == cudaSuccess ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_EXECUTION_FAILED;
  });
}

DnnOperand operand(cudnnTensorDescriptor_t descriptor, const void* data) {
  return {reinterpret_cast<const DnnTensor*>(descriptor), const_cast<void*>(data)};
}

bool is_double(const DnnOperand& operand) { return operand.tensor->type == CUDNN_DATA_DOUBLE; }

}  // namespace
}  // namespace fake_cuda::inside

using namespace fake_cuda::inside;

extern "C" {

cudnnStatus_t cudnnActivationForward(cudnnHandle_t handle, cudnnActivationDescriptor_t activation, const void* alpha,
                                     const cudnnTensorDescriptor_t x_desc, const void* x, const void* beta,
                                     const cudnnTensorDescriptor_t y_desc, void* y) {
  DnnActivation how;
  {
    const std::lock_guard lock(world().mutex);
    const auto* const own = dnn_contents<DnnActivation>(activation, "cudnnActivationForward");
    if (own == nullptr || own->mode == CUDNN_ACTIVATION_IDENTITY) return CUDNN_STATUS_BAD_PARAM;  // as documented
    how = *own;
  }
  const auto run = [how](const DnnOperand& from, const DnnOperand& to, Blend blend) {
    const auto& types = world().options.inexact_tanh;
    const bool inexact = std::count(types.begin(), types.end(), data_type(from.tensor->type)) != 0;
    for (std::int64_t i = 0; i < to.tensor->elements(); ++i) {
      const double value = get(from, i);
      blend.put(to, i, is_double(from) ? activated(how, value, inexact) : activated(how, static_cast<float>(value), inexact));
    }
  };
  return forward("cudnnActivationForward", handle, alpha, operand(x_desc, x), beta, operand(y_desc, y), run);
}

cudnnStatus_t cudnnSoftmaxForward(cudnnHandle_t handle, cudnnSoftmaxAlgorithm_t algorithm, cudnnSoftmaxMode_t mode,
                                  const void* alpha, const cudnnTensorDescriptor_t x_desc, const void* x, const void* beta,
                                  const cudnnTensorDescriptor_t y_desc, void* y) {
  const auto run = [=](const DnnOperand& from, const DnnOperand& to, Blend blend) {
    if (is_double(from))
      softmax_all<double>(algorithm, mode, from, to, blend);
    else
      softmax_all<float>(algorithm, mode, from, to, blend);
  };
  return forward("cudnnSoftmaxForward", handle, alpha, operand(x_desc, x), beta, operand(y_desc, y), run);
}

}  // extern "C"
