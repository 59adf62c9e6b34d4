// SPDX-License-Identifier: Apache-2.0
// Layers of several inputs.
#include <algorithm>

#include "model/lower/lowering.hpp"

namespace lamella::model {

int Lowering::merge(const core::LayerSpec& spec, const core::MergeParams& params, const std::vector<int>& srcs) {
  const bool subtracts = params.kind == core::MergeKind::subtract;
  LAMELLA_EXPECTS(!srcs.empty() && (!subtracts || srcs.size() == 2), argument, "layer '", core::escaped(spec.path), "' (",
                  spec.class_name, ") takes ", subtracts ? "exactly 2 inputs" : "at least 1 input", ", got ", srcs.size());
  if (srcs.size() == 1) return cast(srcs[0], compute(spec), spec.path);
  return combined(spec, params.kind, compute(spec), srcs, true);
}

int Lowering::combined(const core::LayerSpec& spec, core::MergeKind kind, DType dtype, const std::vector<int>& srcs,
                       bool padded) {
  std::vector<int> values;
  int rank = 0;
  for (const int src : srcs) {
    values.push_back(cast(src, dtype, spec.path));
    rank = std::max(rank, at(src).sample.rank());
  }
  ops::CombineDesc desc{static_cast<ops::CombineKind>(kind), {}, {}, dtype};
  std::vector<std::int64_t> result(static_cast<std::size_t>(rank), 1);
  for (const int value : values) {
    // Keras' layers put missing axes behind the batch axis, which is numpy's rule for the sample; numpy itself would put them
    // before.
    const auto extents = at(value).sample.extents();
    LAMELLA_EXPECTS(padded || static_cast<int>(extents.size()) == rank, unsupported, "layer '", core::escaped(spec.path),
                    "': inputs of ", extents.size() + 1, " and ", rank + 1,
                    " axes would be broadcast along the batch axis; lamella computes each sample on its own");
    std::vector<std::int64_t> with_ones(static_cast<std::size_t>(rank) - extents.size(), 1);
    with_ones.insert(with_ones.end(), extents.begin(), extents.end());
    for (std::size_t i = 0; i < with_ones.size(); ++i) {
      LAMELLA_EXPECTS(with_ones[i] == result[i] || with_ones[i] == 1 || result[i] == 1, shape, "layer '",
                      core::escaped(spec.path), "': inputs cannot be broadcast together: axis ", i + 1, " has extents ",
                      result[i], " and ", with_ones[i]);
      if (result[i] == 1) result[i] = with_ones[i];
    }
    desc.srcs.push_back(Shape(with_ones).prepended(1));
  }
  const Shape sample(result);
  desc.dst = sample.prepended(1);
  return add_step(desc, values, sample, dtype, spec.path);
}

int Lowering::concatenate(const core::LayerSpec& spec, const core::ConcatenateParams& params, const std::vector<int>& srcs) {
  LAMELLA_EXPECTS(!srcs.empty(), argument, "layer '", core::escaped(spec.path), "' takes at least one input");
  return concatenated(spec, sample_axis(spec.path, params.axis, at(srcs[0]).sample), compute(spec, srcs), srcs);
}

int Lowering::concatenated(const core::LayerSpec& spec, int axis, DType dtype, const std::vector<int>& srcs) {
  const Shape first = at(srcs[0]).sample;
  const std::int64_t inner = first.elements(axis + 1, first.rank());
  ops::ConcatDesc desc{first.elements(0, axis), {}, dtype};
  std::vector<int> values;
  std::int64_t total = 0;
  for (const int src : srcs) {
    const Shape sample = at(src).sample;
    LAMELLA_EXPECTS(sample.rank() == first.rank() && sample.with(axis, 0) == first.with(axis, 0), shape, "layer '",
                    core::escaped(spec.path), "': inputs of shapes ", to_string(first), " and ", to_string(sample),
                    " (without the batch) differ outside axis ", axis + 1);
    values.push_back(cast(src, dtype, spec.path));
    desc.extents.push_back(sample[axis] * inner);
    const auto sum = core::checked_add(total, sample[axis]);
    LAMELLA_EXPECTS(sum, overflow, "layer '", core::escaped(spec.path), "': the extents of axis ", axis + 1,
                    " do not fit into 64 bits together");
    total = *sum;
  }
  return add_step(desc, values, first.with(axis, total), dtype, spec.path);
}

}  // namespace lamella::model
