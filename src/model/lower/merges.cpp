// SPDX-License-Identifier: Apache-2.0
// Layers of several inputs.
#include <algorithm>
#include <functional>

#include "core/result_type.hpp"
#include "model/lower/lowering.hpp"

namespace lamella::model {

int Lowering::combined(const std::string& path, ops::CombineKind kind, const std::vector<int>& values, bool padded) {
  const DType dtype = at(values[0]).dtype;
  int rank = 0;
  for (const int value : values) rank = std::max(rank, at(value).sample.rank());
  ops::CombineDesc desc{kind, {}, {}, dtype};
  std::vector<std::int64_t> result(static_cast<std::size_t>(rank), 1);
  for (const int value : values) {
    // Keras' layers insert missing axes after the batch axis, which is numpy's rule applied to the sample; numpy itself would
    // insert them before it.
    const auto extents = at(value).sample.extents();
    LAMELLA_EXPECTS(
        padded || static_cast<int>(extents.size()) == rank, unsupported,
        "layer '{}': inputs of {} and {} axes would be broadcast along the batch axis; lamella computes each sample on its own",
        core::escaped(path), extents.size() + 1, rank + 1);
    std::vector<std::int64_t> with_ones(static_cast<std::size_t>(rank) - extents.size(), 1);
    with_ones.insert(with_ones.end(), extents.begin(), extents.end());
    for (std::size_t i = 0; i < with_ones.size(); ++i) {
      LAMELLA_EXPECTS(with_ones[i] == result[i] || with_ones[i] == 1 || result[i] == 1, shape,
                      "layer '{}': inputs cannot be broadcast: axis {} has extents {} and {}", core::escaped(path), i + 1,
                      result[i], with_ones[i]);
      if (result[i] == 1) result[i] = with_ones[i];
    }
    desc.srcs.push_back(Shape(with_ones).prepended(1));
  }
  const Shape sample(result);
  desc.dst = sample.prepended(1);
  return add_step(desc, values, sample, dtype, path);
}

namespace {

/// For bools, which are 0 or 1: a sum is true if any is, a product if all are. There is no difference.
ops::CombineKind kind_of_bools(const core::LayerSpec& spec, ops::CombineKind kind) {
  LAMELLA_EXPECTS(
      kind != ops::CombineKind::subtract, dtype,
      "layer '{}' (Subtract): its inputs are bool, which Keras does not subtract; allowed are integers and floating types",
      core::escaped(spec.path));
  if (kind == ops::CombineKind::add) return ops::CombineKind::maximum;
  return kind == ops::CombineKind::multiply ? ops::CombineKind::minimum : kind;
}

}  // namespace

int Lowering::met(const core::LayerSpec& spec, ops::CombineKind kind, const std::vector<int>& values, bool padded) {
  // A prefix of values with one dtype is combined in that dtype.
  const auto fold = [&](std::vector<int> group) {
    if (group.size() == 1) return group[0];
    if (at(group[0]).dtype != DType::boolean) return combined(spec.path, kind, group, padded);
    const ops::CombineKind of_bools = kind_of_bools(spec, kind);
    for (int& value : group) value = cast(value, DType::uint8, spec.path);
    return cast(combined(spec.path, of_bools, group, padded), DType::boolean, spec.path);
  };
  std::vector<int> group{values[0]};
  for (std::size_t i = 1; i < values.size(); ++i) {
    const DType before = at(group[0]).dtype;
    const DType dtype = core::result_type(before, at(values[i]).dtype);
    if (dtype != before) group = {cast(fold(group), dtype, spec.path)};
    group.push_back(cast(values[i], dtype, spec.path));
  }
  return fold(group);
}

int Lowering::lower(const core::LayerSpec& spec, const core::MergeParams& params, const std::vector<int>& srcs) {
  const bool subtracts = params.kind == core::CombineKind::subtract;
  LAMELLA_EXPECTS(!srcs.empty() && (!subtracts || srcs.size() == 2), argument, "layer '{}' ({}) takes {}, got {}",
                  core::escaped(spec.path), spec.class_name, subtracts ? "exactly 2 inputs" : "at least 1 input", srcs.size());
  const bool average = params.kind == ops::CombineKind::average;
  std::vector<int> values;
  bool same = true;
  for (const int src : srcs) {
    values.push_back(autocast(src, spec));
    same = same && at(values.back()).dtype == at(values.front()).dtype;
  }
  if (const auto masks = masks_of_merge(params, srcs); !masks.empty()) {
    LAMELLA_EXPECTS(same && is_floating(at(values[0]).dtype), unsupported,
                    "layer '{}' ({}): an input has a mask; lamella then needs floating-point inputs", core::escaped(spec.path),
                    spec.class_name);
    return masked_merge(spec, params, values, masks);
  }
  if (same && is_floating(at(values[0]).dtype)) return values.size() == 1 ? values[0] : combined(spec.path, params.kind, values);
  const int result = met(spec, average ? ops::CombineKind::add : params.kind, values);
  if (!average) return result;
  // Divides like XLA, which multiplies by the reciprocal.
  const int sum = is_floating(at(result).dtype) ? result : cast(result, DType::float32, spec.path);
  const Shape& sample = at(sum).sample;
  return affine(spec.path, sum, number(spec, 1.0 / static_cast<double>(srcs.size()), sample), number(spec, -0.0, sample));
}

int Lowering::lower(const core::LayerSpec& spec, const core::ConcatenateParams& params, const std::vector<int>& srcs) {
  LAMELLA_EXPECTS(!srcs.empty(), argument, "layer '{}' takes at least one input", core::escaped(spec.path));
  return concatenated(spec, sample_axis(spec.path, params.axis, at(srcs[0]).sample), srcs);
}

int Lowering::concatenated(const core::LayerSpec& spec, int axis, const std::vector<int>& srcs) {
  std::vector<int> called;
  std::vector<DType> dtypes;
  for (const int src : srcs) {
    called.push_back(autocast(src, spec));
    dtypes.push_back(at(called.back()).dtype);
  }
  const bool same = std::adjacent_find(dtypes.begin(), dtypes.end(), std::not_equal_to<>()) == dtypes.end();
  const DType dtype = same ? dtypes[0] : core::result_type(dtypes);
  const Shape first = at(srcs[0]).sample;
  const std::int64_t inner = first.elements(axis + 1, first.rank());
  ops::ConcatDesc desc{first.elements(0, axis), {}, dtype};
  std::vector<int> values;
  std::int64_t total = 0;
  for (const int src : called) {
    const Shape sample = at(src).sample;
    LAMELLA_EXPECTS(sample.rank() == first.rank() && sample.with(axis, 0) == first.with(axis, 0), shape,
                    "layer '{}': inputs of shapes {} and {} (without the batch) differ outside axis {}", core::escaped(spec.path),
                    to_string(first), to_string(sample), axis + 1);
    values.push_back(cast(src, dtype, spec.path));
    desc.extents.push_back(sample[axis] * inner);
    const auto sum = core::checked_add(total, sample[axis]);
    LAMELLA_EXPECTS(sum, overflow, "layer '{}': the extents of axis {} do not fit into 64 bits together",
                    core::escaped(spec.path), axis + 1);
    total = *sum;
  }
  return add_step(desc, values, first.with(axis, total), dtype, spec.path);
}

}  // namespace lamella::model
