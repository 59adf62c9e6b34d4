// SPDX-License-Identifier: Apache-2.0
// Element-wise activations, functions along an axis, and PReLU.
#include <algorithm>

#include "model/axes.hpp"
#include "model/lower/lowering.hpp"
#include "model/lower/weights.hpp"

namespace lamella::model {

int Lowering::activation(const std::string& path, const ActivationSpec& spec, const std::vector<int>& axes, int src) {
  const Value from = at(src);
  if (is_rowwise(spec.kind)) return rowwise(path, spec.kind, axes.empty() ? std::vector<int>{spec.axis} : axes, src);
  if (spec.kind == ActivationKind::Linear) return src;
  return add_step(ops::ActivationDesc{from.sample.elements(), spec, from.dtype}, {src}, from.sample, from.dtype, path);
}

int Lowering::rowwise(const std::string& path, ActivationKind kind, std::vector<int> axes, int src) {
  const Shape whole = at(src).sample;
  for (int& axis : axes) axis = sample_axis(path, axis, whole);
  std::sort(axes.begin(), axes.end());
  LAMELLA_EXPECTS(std::adjacent_find(axes.begin(), axes.end()) == axes.end(), value, "layer '", core::escaped(path),
                  "' axis: an axis is named twice");
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
  bool fits = shape.rank() == sample.rank();
  for (int axis = 0; fits && axis < shape.rank(); ++axis) fits = shape[axis] == sample[axis] || shape[axis] == 1;
  LAMELLA_EXPECTS(fits, shape, "layer '", core::escaped(spec.path), "': alpha has shape ", to_string(shape), ", its input needs ",
                  to_string(sample), " or 1 where shared");
  const auto expanded = constant(spec, {.what = Recipe::What::alpha, .sources = {alpha}, .sample = extents_of(sample)}, [&] {
    const std::vector<double> values = numbers(*alpha);
    std::vector<double> result(static_cast<std::size_t>(sample.elements()));
    for (std::size_t i = 0; i < result.size(); ++i) {
      std::int64_t rest = static_cast<std::int64_t>(i);
      std::int64_t from = 0;
      std::int64_t stride = 1;
      for (int axis = sample.rank() - 1; axis >= 0; --axis) {
        if (shape[axis] != 1) from += (rest % sample[axis]) * stride;
        rest /= sample[axis];
        stride *= shape[axis];
      }
      result[i] = values[static_cast<std::size_t>(from)];
    }
    return result;
  });
  const DType dtype = at(src).dtype;
  return add_step(ops::PReluDesc{1, sample.elements(), dtype}, {src}, sample, dtype, spec.path, {expanded});
}

}  // namespace lamella::model
