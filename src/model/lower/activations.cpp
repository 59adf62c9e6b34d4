// SPDX-License-Identifier: Apache-2.0
// Element-wise activations, functions along an axis, and PReLU.
#include <algorithm>

#include "model/axes.hpp"
#include "model/lower/lowering.hpp"
#include "model/lower/weights.hpp"
#include "ops/broadcast.hpp"

namespace lamella::model {

int Lowering::activation(const std::string& path, const ActivationSpec& spec, const std::vector<int>& axes, int src) {
  const Value from = at(src);
  if (is_rowwise(spec.kind)) return rowwise(path, spec.kind, axes.empty() ? std::vector<int>{spec.axis} : axes, src);
  if (spec.kind == ActivationKind::Linear) return src;
  return add_step(ops::ActivationDesc{from.sample.elements(), spec, from.dtype}, {src}, from.sample, from.dtype, path);
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
    LAMELLA_EXPECTS(desc.length % 2 == 0, shape, "layer '", core::escaped(path), "': glu needs an even extent, axis ", first + 1,
                    " has ", desc.length);
    result = sample.with(first, sample[first] / 2);
  }
  return transposed(add_step(desc, {arranged}, result, dtype, path), inverse(order), path);
}

int Lowering::prelu(const core::LayerSpec& spec, int src) {
  const Shape sample = at(src).sample;
  const std::shared_ptr<const Tensor>& alpha = weight(spec, "alpha");
  const Shape shape = alpha->shape();
  LAMELLA_EXPECTS(ops::broadcasts(shape, sample), shape, "layer '", core::escaped(spec.path), "': alpha has shape ",
                  to_string(shape), ", its input needs ", to_string(sample), " or 1 where shared");
  const ops::Broadcast over = ops::collapsed(sample, {shape});
  const DType dtype = at(src).dtype;
  return add_step(ops::PReluDesc{over.outer, over.sample, over.constants[0], dtype}, {src}, sample, dtype, spec.path, {alpha});
}

}  // namespace lamella::model
