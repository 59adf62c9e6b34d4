// SPDX-License-Identifier: Apache-2.0
// Element-wise activations, functions along an axis, and PReLU.
#include <algorithm>

#include "core/integer_relu.hpp"
#include "model/axes.hpp"
#include "model/lower/lowering.hpp"
#include "model/lower/weights.hpp"
#include "ops/broadcast.hpp"

namespace lamella::model {

int Lowering::activation(const std::string& path, const ActivationSpec& spec, const std::vector<int>& axes, int src) {
  const Value from = at(src);
  if (!is_floating(from.dtype)) return activation_of_integers(path, spec, src);
  if (is_rowwise(spec.kind)) return rowwise(path, spec.kind, axes.empty() ? std::vector<int>{spec.axis} : axes, src);
  if (spec.kind == ActivationKind::Linear) return src;
  return add_step(ops::ActivationDesc{from.sample.elements(), spec, from.dtype}, {src}, from.sample, from.dtype, path);
}

namespace {

/// How Keras on JAX treats integer inputs: these activations convert to float32 at once; ReLU keeps integers. The others start in
/// integer arithmetic, which wraps, or are refused; lamella refuses them.
bool turns_to_float(const ActivationSpec& spec) {
  switch (spec.kind) {
    case ActivationKind::Relu6:
    case ActivationKind::LeakyRelu:
    case ActivationKind::Elu:
    case ActivationKind::Celu:
    case ActivationKind::Selu:
    case ActivationKind::Gelu:
    case ActivationKind::GeluTanh:
    case ActivationKind::HardSilu:
    case ActivationKind::HardSigmoid:
    case ActivationKind::HardSigmoidKeras2:
    case ActivationKind::SparseSigmoid:
    case ActivationKind::Tanh:
    case ActivationKind::TanhShrink:
    case ActivationKind::Softplus:
    case ActivationKind::Exponential:
    case ActivationKind::Mish:
    case ActivationKind::SparsePlus:
    case ActivationKind::SoftShrink:
      return true;
    default:
      return false;
  }
}

}  // namespace

int Lowering::activation_of_integers(const std::string& path, const ActivationSpec& spec, int src) {
  if (spec.kind == ActivationKind::Linear) return src;
  const Shape sample = at(src).sample;
  if (turns_to_float(spec)) {
    const int x = cast(src, DType::float32, path);
    return add_step(ops::ActivationDesc{sample.elements(), spec, DType::float32}, {x}, sample, DType::float32, path);
  }
  const bool truth = at(src).dtype == DType::boolean;
  LAMELLA_EXPECTS(
      core::keeps_integers(spec) && !(truth && spec.kind != ActivationKind::Relu), unsupported,
      "layer '{}': activation '{}' of {} values; Keras wraps around or refuses them, lamella needs a floating-point input here",
      core::escaped(path), to_string(spec.kind), to_string(at(src).dtype));
  const int x = truth ? cast(src, DType::int32, path) : src;
  const DType dtype = at(x).dtype;
  return add_step(ops::ActivationDesc{sample.elements(), spec, dtype}, {x}, sample, dtype, path);
}

int Lowering::rowwise(const std::string& path, ActivationKind kind, std::vector<int> axes, int src) {
  const Shape whole = at(src).sample;
  axes = sample_axes(path, std::move(axes), whole);
  const bool adjacent = axes.back() - axes.front() + 1 == static_cast<int>(axes.size());
  const std::vector<int> order = adjacent ? all_axes(whole) : moved_last(whole, axes);
  const int arranged = transposed(src, order, path);
  const Shape sample = at(arranged).sample;
  const int first = adjacent ? axes.front() : sample.rank() - static_cast<int>(axes.size());
  const int last = first + static_cast<int>(axes.size());
  const DType dtype = at(arranged).dtype;
  const ops::RowwiseDesc desc{kind, sample.elements(0, first), sample.elements(first, last), sample.elements(last, sample.rank()),
                              dtype};
  Shape result = sample;
  if (kind == ActivationKind::Glu) {
    LAMELLA_EXPECTS(desc.length % 2 == 0, shape, "layer '{}': glu needs an even extent, axis {} has {}", core::escaped(path),
                    first + 1, desc.length);
    result = sample.with(first, sample[first] / 2);
  }
  return transposed(add_step(desc, {arranged}, result, dtype, path), inverse(order), path);
}

int Lowering::lower(const core::LayerSpec& spec, const core::ActivationParams& params, const std::vector<int>& srcs) {
  const int src = as_called(spec, srcs);
  if (const auto mask = softmax_mask(spec, srcs[0])) return masked_softmax(spec, params, *mask, src);
  return activation(spec.path, params.activation, params.axes, src);
}

int Lowering::lower(const core::LayerSpec& spec, const core::PReluParams& /*params*/, const std::vector<int>& srcs) {
  const int src = as_called(spec, srcs);
  const Shape sample = at(src).sample;
  const std::shared_ptr<const Tensor>& alpha = weight(spec, "alpha");
  const Shape shape = alpha->shape();
  LAMELLA_EXPECTS(ops::broadcasts(shape, sample), shape, "layer '{}': alpha has shape {}, its input needs {} or 1 where shared",
                  core::escaped(spec.path), to_string(shape), to_string(sample));
  const ops::Broadcast over = ops::collapsed(sample, {shape});
  const DType dtype = at(src).dtype;
  if (!is_floating(dtype)) return prelu_of_integers(spec, alpha, src);
  return add_step(ops::PReluDesc{over.outer, over.sample, over.constants[0], dtype}, {src}, sample, dtype, spec.path, {alpha});
}

/// relu(x) + -alpha relu(-x), both ReLUs of integers: -x wraps around, so unsigned values have a negative part too.
int Lowering::prelu_of_integers(const core::LayerSpec& spec, const std::shared_ptr<const Tensor>& alpha, int src) {
  const DType dtype = floating_compute(spec);
  const Shape sample = at(src).sample;
  LAMELLA_EXPECTS(at(src).dtype != DType::boolean, dtype,
                  "layer '{}' (PReLU): its input is bool, which Keras does not negate; allowed are integers and floating types",
                  core::escaped(spec.path));
  const ActivationSpec relu{.kind = ActivationKind::Relu};
  const int minus = combined(spec.path, ops::CombineKind::subtract, {src, src, src});  // x - x - x
  const int over = cast(activation_of_integers(spec.path, relu, src), dtype, spec.path);
  const int under = cast(activation_of_integers(spec.path, relu, minus), dtype, spec.path);
  const auto minus_alpha = constant(spec, {.what = Recipe::What::minus_alpha, .sources = {alpha}}, wide(spec), [&] {
    std::vector<double> values = numbers(*alpha);
    for (double& value : values) value = -value;
    return values;
  });
  const int scaled = affine(spec.path, under, {minus_alpha, alpha->shape()}, number(spec, 0.0, sample));
  return combined(spec.path, ops::CombineKind::add, {over, scaled});
}

}  // namespace lamella::model
