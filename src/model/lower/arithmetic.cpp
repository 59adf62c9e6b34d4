// SPDX-License-Identifier: Apache-2.0
// Operations of two operands, one of which may be a constant: where exact, they become affine steps, which fold into a
// Dense.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/result_type.hpp"
#include "model/axes.hpp"
#include "model/lower/lowering.hpp"
#include "model/lower/weights.hpp"

namespace lamella::model {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// x * scale + offset.
struct Line {
  double scale;
  double offset;
};

/// The operation with the constant `c` as a linear function; nothing if it is not one, or if x / c and x * (1 / c) may differ.
std::optional<Line> line_of(const core::ArithmeticParams& params, double c) {
  constexpr double kNothing = -0.0;  // adding it leaves every bit unchanged
  switch (params.kind) {
    case core::CombineKind::add:
      return Line{1, c};
    case core::CombineKind::subtract:
      return params.constant_first ? Line{-1, c} : Line{1, -c};
    case core::CombineKind::multiply:
      return Line{c, kNothing};
    case core::CombineKind::divide: {
      int exponent = 0;
      const bool power_of_two = std::fabs(std::frexp(c, &exponent)) == 0.5 && std::abs(exponent) < 100;
      if (params.constant_first || !power_of_two) return std::nullopt;
      return Line{1 / c, kNothing};
    }
    default:
      return std::nullopt;
  }
}

/// The operation with the number `c` as a unary function; nothing if there is none.
std::optional<ActivationSpec> function_of(const core::ArithmeticParams& params, double c) {
  switch (params.kind) {
    case core::CombineKind::divide:
      return ActivationSpec{.kind = params.constant_first ? ActivationKind::Reciprocal : ActivationKind::Divide,
                            .parameters = {c}};
    case core::CombineKind::power:
      if (params.constant_first) return std::nullopt;
      if (c == 2) return ActivationSpec{.kind = ActivationKind::Square};
      return ActivationSpec{.kind = ActivationKind::Power, .parameters = {c}};
    case core::CombineKind::maximum:
      return ActivationSpec{.kind = ActivationKind::Clip, .parameters = {c, kInfinity}};
    case core::CombineKind::minimum:
      return ActivationSpec{.kind = ActivationKind::Clip, .parameters = {-kInfinity, c}};
    default:
      return std::nullopt;
  }
}

}  // namespace

int Lowering::lower(const core::LayerSpec& spec, const core::ArithmeticParams& params, const std::vector<int>& srcs) {
  const bool merges = !params.constant && params.kind != core::CombineKind::divide && params.kind != core::CombineKind::power;
  if (!merges) expect_floats(spec, srcs);
  const std::size_t wanted = params.constant ? 1 : 2;
  LAMELLA_EXPECTS(srcs.size() == wanted, argument, "layer '{}' takes {} inputs, got {}", core::escaped(spec.path), wanted,
                  srcs.size());
  if (!params.constant) {
    const bool floats = std::all_of(srcs.begin(), srcs.end(), [&](int src) { return is_floating(at(src).dtype); });
    const auto dtype_of = [&](DType own) {
      if (floats) return compute(spec, srcs);
      return is_floating(own) ? options_.dtype.value_or(own) : own;
    };
    std::vector<int> values;
    for (const int src : srcs) values.push_back(cast(src, dtype_of(at(src).dtype), spec.path));
    return floats ? combined(spec.path, params.kind, values, false) : met(spec, params.kind, values, false);
  }
  const DType dtype = options_.dtype.value_or(params.constant_dtype ? core::result_type(at(srcs[0]).dtype, *params.constant_dtype)
                                                                    : at(srcs[0]).dtype);
  const int src = cast(srcs[0], dtype, spec.path);
  const Shape shape = params.constant->shape();
  const bool number = shape.elements() == 1 && shape.rank() <= at(src).sample.rank() + 1;
  if (!number) return with_array(spec, params, src);
  const double c = rounded(numbers(*params.constant)[0], dtype);
  return with_number(spec, params, src, c);
}

std::shared_ptr<const Tensor> Lowering::line_constant(const std::vector<double>& values, DType dtype) {
  const auto size = static_cast<std::int64_t>(values.size());
  const DType wide = dtype == DType::float64 ? DType::float64 : DType::float32;
  const Recipe recipe{.what = Recipe::What::given, .dtype = wide, .numbers = bits_of(values), .sample = {size}};
  return computed(recipe, [&] { return Tensor::of<double>(values, Shape{size}).to(wide); });
}

int Lowering::with_number(const core::LayerSpec& spec, const core::ArithmeticParams& params, int src, double number) {
  const Value from = at(src);
  if (const auto line = line_of(params, number)) {
    const Shape one = all_ones(from.sample);
    return affine(spec.path, src, {line_constant({line->scale}, from.dtype), one},
                  {line_constant({line->offset}, from.dtype), one});
  }
  const auto function = std::isnan(number) ? std::nullopt : function_of(params, number);
  return function ? activation(spec.path, *function, {}, src) : with_array(spec, params, src);
}

int Lowering::with_array(const core::LayerSpec& spec, const core::ArithmeticParams& params, int src) {
  const Value from = at(src);
  const Shape given = params.constant->shape();
  const int rank = from.sample.rank();
  const bool fits = given.rank() <= rank || (given.rank() == rank + 1 && given[0] == 1);
  LAMELLA_EXPECTS(fits, unsupported,
                  "layer '{}': its constant of shape {} reaches the batch axis of its input of {} axes; lamella computes each "
                  "sample on its own",
                  core::escaped(spec.path), to_string(given), rank + 1);
  std::vector<std::int64_t> extents(static_cast<std::size_t>(rank), 1);  // of the constant, aligned at the end
  const int shared = std::min(given.rank(), rank);
  for (int k = 1; k <= shared; ++k) extents[static_cast<std::size_t>(rank - k)] = given[given.rank() - k];
  std::vector<std::int64_t> result(extents);
  for (int axis = 0; axis < rank; ++axis) {
    const auto i = static_cast<std::size_t>(axis);
    LAMELLA_EXPECTS(extents[i] == from.sample[axis] || extents[i] == 1 || from.sample[axis] == 1, shape,
                    "layer '{}': its constant of shape {} and its input {} (without the batch) cannot be broadcast",
                    core::escaped(spec.path), to_string(given), to_string(from.sample));
    if (extents[i] == 1) result[i] = from.sample[axis];
  }
  const Shape shape(extents);
  // A constant along the last axis is one linear function per element.
  const int first =
      static_cast<int>(std::find_if(extents.begin(), extents.end(), [](auto e) { return e != 1; }) - extents.begin());
  const bool whole = Shape(result) == from.sample && shape.elements() == from.sample.elements(first, rank);
  if (whole && line_of(params, 1) && params.kind != core::CombineKind::divide) {
    std::vector<double> scales;
    std::vector<double> offsets;
    for (const double v : numbers(*params.constant)) {
      const Line line = *line_of(params, rounded(v, from.dtype));
      scales.push_back(line.scale);
      offsets.push_back(line.offset);
    }
    return affine(spec.path, src, {line_constant(scales, from.dtype), shape}, {line_constant(offsets, from.dtype), shape});
  }
  const Shape sample(result);
  ops::CombineDesc desc{params.kind, sample.prepended(1), {from.sample.prepended(1)}, from.dtype, params.constant_first ? 0 : 1};
  desc.srcs.insert(desc.srcs.begin() + desc.constant, shape.prepended(1));
  const Recipe recipe{.what = Recipe::What::operand, .dtype = from.dtype, .sources = {params.constant}};
  const auto stored = computed(recipe, [&] { return params.constant->to(from.dtype); });
  return add_step(desc, {src}, sample, from.dtype, spec.path, {stored});
}

int Lowering::ordered(const std::string& path, double number, int src) {
  if (is_floating(at(src).dtype)) return src;
  // An integer that float64 would round is larger than these, and so is its float64.
  LAMELLA_EXPECTS(std::abs(number) < 0x1p53, unsupported,
                  "layer '{}' compares with {:g}, its input is {}, allowed are numbers below 2^53 in magnitude",
                  core::escaped(path), number, to_string(at(src).dtype));
  return cast(src, DType::float64, path);
}

int Lowering::excess(const std::string& path, double number, bool less, int src) {
  const DType dtype = at(src).dtype;
  const Shape one = all_ones(at(src).sample);
  if (less) src = affine(path, src, {line_constant({-1}, dtype), one}, {line_constant({-0.0}, dtype), one});
  const double limit = rounded(less ? -number : number, dtype);
  // NaN is not greater, so the number itself remains.
  return differences(path, limit, activation(path, {.kind = ActivationKind::Threshold, .parameters = {limit, limit}}, {}, src));
}

int Lowering::negated(const std::string& path, int bools) {
  const int number = cast(bools, DType::float32, path);
  const Shape one = all_ones(at(number).sample);
  return cast(affine(path, number, {line_constant({-1}, DType::float32), one}, {line_constant({1}, DType::float32), one}),
              DType::boolean, path);
}

int Lowering::lower(const core::LayerSpec& spec, const core::ComparisonParams& params, const std::vector<int>& srcs) {
  return comparison(spec.path, params, only_input(spec, srcs));
}

int Lowering::comparison(const std::string& path, const core::ComparisonParams& params, int src) {
  using C = core::Comparison;
  const bool equality = params.kind == C::not_equal || params.kind == C::equal;
  if (!equality) src = ordered(path, params.number, src);
  const auto differs = [&] { return cast(differences(path, params.number, src), DType::boolean, path); };
  const auto exceeds = [&](bool less) { return cast(excess(path, params.number, less, src), DType::boolean, path); };
  switch (params.kind) {
    case C::not_equal:
      return differs();
    case C::equal:
      return negated(path, differs());
    case C::greater:
    case C::less:
      return exceeds(params.kind == C::less);
    case C::greater_equal:
    case C::less_equal: {
      core::LayerSpec either;
      either.path = path;
      return logical(either, {.both = false}, {exceeds(params.kind == C::less_equal), negated(path, differs())});
    }
  }
  return -1;
}

int Lowering::lower(const core::LayerSpec& spec, const core::LogicalParams& params, const std::vector<int>& srcs) {
  return logical(spec, params, srcs);
}

int Lowering::logical(const core::LayerSpec& spec, const core::LogicalParams& params, const std::vector<int>& srcs) {
  LAMELLA_EXPECTS(srcs.size() == 2, argument, "layer '{}' takes 2 inputs, got {}", core::escaped(spec.path), srcs.size());
  std::vector<int> bools;
  for (const int src : srcs) bools.push_back(cast(src, DType::boolean, spec.path));
  return met(spec, params.both ? ops::CombineKind::minimum : ops::CombineKind::maximum, bools, false);
}

int Lowering::lower(const core::LayerSpec& spec, const core::FillParams& params, const std::vector<int>& srcs) {
  const int src = only_input(spec, srcs);
  const int finite = cast(cast(src, DType::boolean, spec.path), DType::float32, spec.path);
  const Shape one = all_ones(at(finite).sample);
  const double value = params.value ? 1 : 0;
  const int filled =
      affine(spec.path, finite, {line_constant({0}, DType::float32), one}, {line_constant({value}, DType::float32), one});
  return cast(filled, DType::boolean, spec.path);
}

int Lowering::reduce_bools(const core::LayerSpec& spec, const core::ReduceParams& params, int src) {
  const int truth = cast(cast(src, DType::boolean, spec.path), DType::float32, spec.path);
  return cast(reduce(spec, params, truth), DType::boolean, spec.path);
}

}  // namespace lamella::model
