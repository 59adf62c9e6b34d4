// SPDX-License-Identifier: Apache-2.0
// Operations of two operands, one of which may be a constant.
#include <cmath>
#include <limits>
#include <span>

#include "keras/operations/operation.hpp"

namespace lamella::keras {
namespace {

/// The extents of a nested list, by its first elements.
std::vector<std::int64_t> extents_of(const Json& value, const OperationFields& f) {
  std::vector<std::int64_t> extents;
  for (const Json* v = &value; v->is_array(); v = &v->front()) {
    if (extents.size() == Shape::kMaxRank) f.fail(ErrorCode::shape, "has a constant of more than {} axes", Shape::kMaxRank);
    extents.push_back(static_cast<std::int64_t>(v->size()));
    if (v->empty()) break;
  }
  return extents;
}

/// All lists at one depth must have the same length.
void flatten(const Json& value, std::span<const std::int64_t> extents, std::vector<double>& into, const OperationFields& f) {
  if (value.is_array() != !extents.empty() || (value.is_array() && static_cast<std::int64_t>(value.size()) != extents[0]))
    f.fail(ErrorCode::shape, "has a constant whose rows are not equally long");
  if (value.is_array()) {
    for (const Json& inner : value) flatten(inner, extents.subspan(1), into, f);
  } else if (value.is_number()) {
    into.push_back(value.get<double>());
  } else {
    f.fail(ErrorCode::unsupported, "has an operand that is neither a tensor nor made of numbers");
  }
}

/// The contribution of an array's dtype to the type of the result; integers and booleans leave that to the tensor, and float64
/// counts as float32, because Keras 3 on JAX computes in float32.
std::optional<DType> counted_dtype(const Json& dtype, const OperationFields& f) {
  if (!dtype.is_string()) return std::nullopt;
  const std::string name = dtype;
  if (name.starts_with("int") || name.starts_with("uint") || name == "bool") return std::nullopt;
  if (name == "float64") return DType::float32;
  try {
    return dtype_of(name);
  } catch (const ArgumentError& error) {
    f.fail(ErrorCode::dtype, "has a constant of an unknown type: {}", core::without_code(error.what()));
  }
}

void read_constant(const Json& operand, const OperationFields& f, core::ArithmeticParams& params) {
  const Json* value = &operand;
  if (operand.is_object()) {
    const std::string class_name = operand.contains("class_name") && operand.at("class_name").is_string()
                                       ? operand.at("class_name").get<std::string>()
                                       : std::string();
    const bool array = (class_name == "__numpy__" || class_name == "__tensor__") && operand.contains("config") &&
                       operand.at("config").is_object() && operand.at("config").contains("value");
    if (!array) f.fail(ErrorCode::unsupported, "has an operand that is neither a tensor nor made of numbers");
    value = &operand.at("config").at("value");
    const Json& config = operand.at("config");
    if (config.contains("dtype")) params.constant_dtype = counted_dtype(config.at("dtype"), f);
  }
  const std::vector<std::int64_t> extents = extents_of(*value, f);
  std::vector<double> numbers;
  flatten(*value, extents, numbers, f);
  params.constant = std::make_shared<const Tensor>(Tensor::of<double>(numbers, Shape(extents)));
}

}  // namespace

core::LayerParams parse_arithmetic(core::CombineKind kind, const OperationFields& f) {
  f.expect_only({});
  if (f.operands() != 2) f.fail(ErrorCode::value, "takes 2 operands, got {}", f.operands());
  core::ArithmeticParams params{kind, nullptr, !is_tensor(f.operand(0)), std::nullopt};
  if (params.constant_first && !is_tensor(f.operand(1))) f.fail(ErrorCode::value, "takes at least one tensor");
  if (params.constant_first) read_constant(f.operand(0), f, params);
  if (!params.constant_first && !is_tensor(f.operand(1))) read_constant(f.operand(1), f, params);
  return params;
}

/// min(max(x, x_min), x_max): if the limits cross, the upper one wins.
core::LayerParams parse_clip(const OperationFields& f) {
  f.expect_only({"x_min", "x_max"});
  f.expect_tensors(1);
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const double high = f.number("x_max", kInfinity);
  const double low = std::fmin(f.number("x_min", -kInfinity), high);
  if (std::isnan(low) || std::isnan(high)) f.fail(ErrorCode::value, "has a limit that is not a number");
  return core::ActivationParams{{.kind = ActivationKind::Clip, .parameters = {low, high}}, {}};
}

}  // namespace lamella::keras
