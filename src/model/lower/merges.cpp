// SPDX-License-Identifier: Apache-2.0
// Layers of several inputs.
#include <algorithm>

#include "model/lower/lowering.hpp"

namespace lamella::model {

int Lowering::merge(const core::LayerSpec& spec, const core::MergeParams& params, const std::vector<int>& srcs) {
  const bool subtracts = params.kind == core::MergeKind::subtract;
  LAMELLA_EXPECTS(!srcs.empty() && (!subtracts || srcs.size() == 2), argument, "layer '", core::escaped(spec.path), "' (",
                  spec.class_name, ") takes ", subtracts ? "exactly 2 inputs" : "at least 1 input", ", got ", srcs.size());
  const DType dtype = compute(spec);
  if (srcs.size() == 1) return cast(srcs[0], dtype, spec.path);
  std::vector<int> values;
  int rank = 0;
  for (const int src : srcs) {
    values.push_back(cast(src, dtype, spec.path));
    rank = std::max(rank, at(src).sample.rank());
  }
  ops::CombineDesc desc{static_cast<ops::CombineKind>(params.kind), {}, {}, dtype};
  std::vector<std::int64_t> result(static_cast<std::size_t>(rank), 1);
  for (const int value : values) {
    // Keras puts missing axes behind the batch axis, which is numpy's rule for the sample.
    const auto extents = at(value).sample.extents();
    std::vector<std::int64_t> padded(static_cast<std::size_t>(rank) - extents.size(), 1);
    padded.insert(padded.end(), extents.begin(), extents.end());
    for (std::size_t i = 0; i < padded.size(); ++i) {
      LAMELLA_EXPECTS(padded[i] == result[i] || padded[i] == 1 || result[i] == 1, shape, "layer '", core::escaped(spec.path),
                      "': inputs cannot be broadcast together: axis ", i + 1, " has extents ", result[i], " and ", padded[i]);
      if (result[i] == 1) result[i] = padded[i];
    }
    desc.srcs.push_back(Shape(padded).prepended(1));
  }
  const Shape sample(result);
  desc.dst = sample.prepended(1);
  return add_step(desc, values, sample, dtype, spec.path);
}

int Lowering::concatenate(const core::LayerSpec& spec, const core::ConcatenateParams& params, const std::vector<int>& srcs) {
  LAMELLA_EXPECTS(!srcs.empty(), argument, "layer '", core::escaped(spec.path), "' takes at least one input");
  const DType dtype = compute(spec);
  const Shape first = at(srcs[0]).sample;
  const int axis = sample_axis(spec.path, params.axis, first);
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
