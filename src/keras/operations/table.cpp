// SPDX-License-Identifier: Apache-2.0
// The operations that lamella supports, by their class names in Keras 3.
#include <functional>
#include <map>

#include "keras/operations/operation.hpp"

namespace lamella::keras {
namespace {

using Parser = core::LayerParams (*)(const OperationFields&);

/// An activation whose parameters have the table's names.
template <ActivationKind K>
core::LayerParams elementwise(const OperationFields& f) {
  f.expect_tensors(1);
  constexpr bool kAlongAxis = K == ActivationKind::Softmax || K == ActivationKind::LogSoftmax || K == ActivationKind::Sparsemax ||
                              K == ActivationKind::Glu;
  ActivationSpec spec{.kind = K};
  std::vector<std::string_view> read;
  if (kAlongAxis) read.emplace_back("axis");
  if (K == ActivationKind::Round) read.emplace_back("decimals");
  for (const ActivationParameter& parameter : parameters_of(K)) read.push_back(parameter.name);
  f.expect_only(read);
  for (std::size_t i = 0; const ActivationParameter& parameter : parameters_of(K)) {
    const std::string key(parameter.name);
    if (parameter.required && !f.has(key.c_str())) f.fail(ErrorCode::missing, "has no '{}'", key);
    spec.parameters[i++] = f.number(key.c_str(), parameter.default_value);
  }
  if constexpr (kAlongAxis) {
    const std::vector<int> axes = f.axes("axis", {-1});
    if (axes.size() > 1) return core::ActivationParams{spec, axes};
    if (axes.empty()) f.fail(ErrorCode::value, "has an empty list of axes");
    spec.axis = axes[0];
  }
  return core::ActivationParams{spec, {}};
}

template <core::CombineKind K>
core::LayerParams arithmetic(const OperationFields& f) {
  return parse_arithmetic(K, f);
}

core::LayerParams negative(const OperationFields& f) {
  f.expect_only({});
  f.expect_tensors(1);
  core::ArithmeticParams params{core::CombineKind::multiply, nullptr, false, std::nullopt};
  params.constant = std::make_shared<const Tensor>(Tensor::of<double>(std::vector<double>{-1.0}, Shape{}));
  return params;
}

core::LayerParams gelu_operation(const OperationFields& f) {
  f.expect_only({"approximate"});
  f.expect_tensors(1);
  return core::ActivationParams{ActivationSpec::gelu(f.boolean("approximate", true)), {}};
}

core::LayerParams relu_operation(const OperationFields& f) {
  f.expect_only({"negative_slope", "max_value", "threshold"});
  f.expect_tensors(1);
  const std::optional<double> most = f.has("max_value") ? std::optional(f.number("max_value", 0)) : std::nullopt;
  try {
    return core::ActivationParams{ActivationSpec::relu(f.number("negative_slope", 0), most, f.number("threshold", 0)), {}};
  } catch (const ArgumentError& error) {
    f.fail(ErrorCode::value, "{}", core::without_code(error.what()));
  }
}

core::LayerParams round_operation(const OperationFields& f) {
  if (f.number("decimals", 0) != 0) f.fail(ErrorCode::unsupported, "is supported for rounding to integers only");
  return elementwise<ActivationKind::Round>(f);
}

core::LayerParams identity(const OperationFields& f) {
  f.expect_only({});
  f.expect_tensors(1);
  return core::IdentityParams{};
}

core::LayerParams cast(const OperationFields& f) {
  f.expect_only({});
  f.expect_tensors(1);
  const std::string name = f.string("dtype", "");
  for (const DType dtype : {DType::float32, DType::float16, DType::bfloat16, DType::float64}) {
    if (to_string(dtype) == name) return core::CastParams{dtype};
  }
  f.fail_field(ErrorCode::dtype, "dtype", "got '{}', allowed float32, float16, bfloat16, float64", core::escaped(name));
}

core::LayerParams concatenate(const OperationFields& f) {
  f.expect_only({"axis"});
  f.expect_list();
  return core::ConcatenateParams{f.has("axis") ? static_cast<int>(f.integer("axis", -64, 64)) : 0};
}

core::LayerParams stack(const OperationFields& f) {
  f.expect_only({"axis"});
  f.expect_list();
  return core::StackParams{f.has("axis") ? static_cast<int>(f.integer("axis", -64, 64)) : 0};
}

core::LayerParams reshape(const OperationFields& f) {
  f.expect_only({"newshape"});
  f.expect_tensors(1);
  const std::vector<int> shape = f.axes("newshape", {});
  if (shape.size() < 1 || shape[0] != -1) {
    f.fail(ErrorCode::unsupported, "must have -1 as the first extent: lamella computes each sample on its own");
  }
  if (shape.size() > static_cast<std::size_t>(Shape::kMaxRank))
    f.fail(ErrorCode::limit, "makes {} axes, allowed 1..{}", shape.size(), Shape::kMaxRank);
  core::ReshapeParams params;
  for (std::size_t i = 1; i < shape.size(); ++i) {
    if (shape[i] < 0) f.fail(ErrorCode::value, "has the extent {} after the batch axis, allowed 0..", shape[i]);
    params.target.push_back(shape[i]);
  }
  return params;
}

core::LayerParams transpose(const OperationFields& f) {
  f.expect_only({"axes"});
  f.expect_tensors(1);
  return core::TransposeParams{f.axes("axes", {})};
}

core::LayerParams expand_dims(const OperationFields& f) {
  f.expect_only({"axis"});
  f.expect_tensors(1);
  return core::ExpandDimsParams{f.axes("axis", {-1})};
}

core::LayerParams squeeze(const OperationFields& f) {
  f.expect_only({"axis"});
  f.expect_tensors(1);
  return core::SqueezeParams{f.axes("axis", {})};
}

template <core::ReduceKind K>
core::LayerParams reduce(const OperationFields& f) {
  f.expect_only({"axis", "keepdims", "initial"});
  f.expect_tensors(1);
  for (const char* key : {"initial", "dtype"}) {
    if (f.has(key)) f.fail(ErrorCode::unsupported, "is not supported with '{}'", key);
  }
  if (f.has("axis") && f.axes("axis", {}).empty()) f.fail(ErrorCode::value, "has an empty list of axes");
  return core::ReduceParams{K, f.axes("axis", {}), f.boolean("keepdims", false)};
}

/// For masks: whether all elements along an axis are true, or any.
template <core::ReduceKind K>
core::LayerParams reduce_bools(const OperationFields& f) {
  f.expect_only({"axis", "keepdims"});
  f.expect_tensors(1);
  if (f.has("axis") && f.axes("axis", {}).empty()) f.fail(ErrorCode::value, "has an empty list of axes");
  return core::ReduceParams{K, f.axes("axis", {}), f.boolean("keepdims", false), true};
}

core::LayerParams logical_not(const OperationFields& f) {
  f.expect_only({});
  f.expect_tensors(1);
  return core::ComparisonParams{core::Comparison::equal, 0};
}

template <core::Comparison C>
core::LayerParams comparison(const OperationFields& f) {
  f.expect_only({});
  const bool fits = f.operands() == 2 && is_tensor(f.operand(0)) && (f.operand(1).is_number() || f.operand(1).is_boolean());
  if (!fits) f.fail(ErrorCode::unsupported, "is supported between a tensor and a number only");
  const Json& number = f.operand(1);
  if (number.is_boolean()) return core::ComparisonParams{C, number.get<bool>() ? 1.0 : 0.0};
  return core::ComparisonParams{C, number.get<double>()};
}

template <bool Both>
core::LayerParams logical(const OperationFields& f) {
  f.expect_only({});
  f.expect_tensors(2);
  return core::LogicalParams{Both};
}

template <bool Value>
core::LayerParams fill(const OperationFields& f) {
  f.expect_only({"dtype"});
  f.expect_tensors(1);
  if (f.string("dtype", "") != "bool") f.fail(ErrorCode::unsupported, "is supported with dtype='bool' only");
  return core::FillParams{Value};
}

using Operations = std::map<std::string, Parser, std::less<>>;

Operations arithmetics() {
  using M = core::CombineKind;
  return {
      {"Add", arithmetic<M::add>},
      {"Subtract", arithmetic<M::subtract>},
      {"Multiply", arithmetic<M::multiply>},
      {"Divide", arithmetic<M::divide>},
      {"TrueDivide", arithmetic<M::divide>},
      {"Power", arithmetic<M::power>},
      {"Maximum", arithmetic<M::maximum>},
      {"Minimum", arithmetic<M::minimum>},
      {"Negative", negative},
      {"Clip", parse_clip},
  };
}

Operations activations() {
  using A = ActivationKind;
  return {
      {"Relu", elementwise<A::Relu>},
      {"Relu6", elementwise<A::Relu6>},
      {"ReLU", relu_operation},
      {"LeakyRelu", elementwise<A::LeakyRelu>},
      {"Elu", elementwise<A::Elu>},
      {"Celu", elementwise<A::Celu>},
      {"Selu", elementwise<A::Selu>},
      {"Gelu", gelu_operation},
      {"Silu", elementwise<A::Silu>},
      {"HardSilu", elementwise<A::HardSilu>},
      {"Sigmoid", elementwise<A::Sigmoid>},
      {"HardSigmoid", elementwise<A::HardSigmoid>},
      {"SparseSigmoid", elementwise<A::SparseSigmoid>},
      {"LogSigmoid", elementwise<A::LogSigmoid>},
      {"Tanh", elementwise<A::Tanh>},
      {"HardTanh", elementwise<A::HardTanh>},
      {"TanhShrink", elementwise<A::TanhShrink>},
      {"Softplus", elementwise<A::Softplus>},
      {"Softsign", elementwise<A::Softsign>},
      {"Squareplus", elementwise<A::Squareplus>},
      {"SparsePlus", elementwise<A::SparsePlus>},
      {"HardShrink", elementwise<A::HardShrink>},
      {"SoftShrink", elementwise<A::SoftShrink>},
      {"Threshold", elementwise<A::Threshold>},
      {"Softmax", elementwise<A::Softmax>},
      {"LogSoftmax", elementwise<A::LogSoftmax>},
      {"Sparsemax", elementwise<A::Sparsemax>},
      {"Glu", elementwise<A::Glu>},
  };
}

Operations functions_of_elements() {
  using A = ActivationKind;
  return {
      {"Exp", elementwise<A::Exponential>},
      {"Expm1", elementwise<A::Expm1>},
      {"Log", elementwise<A::Log>},
      {"Log1p", elementwise<A::Log1p>},
      {"Sqrt", elementwise<A::Sqrt>},
      {"Rsqrt", elementwise<A::Rsqrt>},
      {"Square", elementwise<A::Square>},
      {"Reciprocal", elementwise<A::Reciprocal>},
      {"Abs", elementwise<A::Absolute>},
      {"Absolute", elementwise<A::Absolute>},
      {"Sign", elementwise<A::Sign>},
      {"Floor", elementwise<A::Floor>},
      {"Ceil", elementwise<A::Ceil>},
      {"Round", round_operation},
      {"Identity", identity},
      {"StopGradient", identity},
      {"Copy", identity},
      {"Cast", cast},
  };
}

Operations changes_of_shape() {
  return {
      {"Concatenate", concatenate}, {"Stack", stack},     {"Reshape", reshape},     {"Transpose", transpose},
      {"ExpandDims", expand_dims},  {"Squeeze", squeeze}, {"GetItem", parse_slice},
  };
}

Operations reductions_and_masks() {
  using R = core::ReduceKind;
  using C = core::Comparison;
  return {
      {"Sum", reduce<R::sum>},
      {"Mean", reduce<R::mean>},
      {"Prod", reduce<R::product>},
      {"Max", reduce<R::maximum>},
      {"Min", reduce<R::minimum>},
      {"LogicalNot", logical_not},
      {"Any", reduce_bools<R::maximum>},
      {"All", reduce_bools<R::minimum>},
      {"LogicalAnd", logical<true>},
      {"LogicalOr", logical<false>},
      {"ZerosLike", fill<false>},
      {"OnesLike", fill<true>},
      {"Equal", comparison<C::equal>},
      {"NotEqual", comparison<C::not_equal>},
      {"Greater", comparison<C::greater>},
      {"GreaterEqual", comparison<C::greater_equal>},
      {"Less", comparison<C::less>},
      {"LessEqual", comparison<C::less_equal>},
  };
}

const Operations& operations() {
  static const auto& table = *new Operations([] {
    Operations all;
    for (auto* part : {arithmetics, activations, functions_of_elements, changes_of_shape, reductions_and_masks})
      all.merge(part());
    return all;
  }());
  return table;
}

}  // namespace

bool is_known_operation(const std::string& class_name) { return operations().contains(class_name); }

core::LayerParams operation_params(const OperationFields& f) {
  const auto row = operations().find(f.operation());
  if (row == operations().end()) {
    f.fail(ErrorCode::unsupported, "between layers is not supported; docs/layers.md lists those that are");
  }
  return row->second(f);
}

}  // namespace lamella::keras
