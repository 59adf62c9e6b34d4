// SPDX-License-Identifier: Apache-2.0
// Layers on time steps, (steps, channels), that reduce, remove or add steps.
#include "model/axes.hpp"
#include "model/lower/lowering.hpp"

namespace lamella::model {
namespace {

void expect_steps(const core::LayerSpec& spec, const Shape& sample) {
  LAMELLA_EXPECTS(sample.rank() == 2, shape, "layer '{}': expected ndim=3, found ndim={}", core::escaped(spec.path),
                  sample.rank() + 1);
}

}  // namespace

int Lowering::lower(const core::LayerSpec& spec, const core::GlobalPoolingParams& params, const std::vector<int>& srcs) {
  expect_floats(spec, srcs);
  const int src = only_input(spec, srcs);
  expect_steps(spec, at(src).sample);
  const int axis = params.channels_first ? 2 : 1;
  const int x = cast(src, floating_compute(spec), spec.path);
  const auto known = masked_.find(src);
  if (known == masked_.end() || params.kind != core::ReduceKind::mean)
    return reduce(spec, {params.kind, {axis}, params.keepdims}, x);
  // The mean of the unmasked steps, as Keras computes it: NaN if there are none.
  const DType dtype = at(x).dtype;
  const int steps = mask_value(known->second, dtype, spec.path, !params.selects);
  const Shape shape = params.channels_first ? Shape{1, at(steps).sample[0]} : Shape{at(steps).sample[0], 1};
  LAMELLA_EXPECTS(at(steps).sample.rank() == 2 && at(steps).sample[0] == at(x).sample[axis - 1], shape,
                  "layer '{}': its mask is of {} (without the batch), its input of {} steps", core::escaped(spec.path),
                  to_string(at(steps).sample), at(x).sample[axis - 1]);
  const int mask = reshaped(steps, shape);
  const core::ReduceParams sum{core::ReduceKind::sum, {axis}, true};
  const int total = reduce(spec, sum, masked(spec.path, x, mask, params.selects));
  const int mean = combined(spec.path, ops::CombineKind::divide, {total, reduce(spec, sum, mask)});
  return params.keepdims ? mean : reshaped(mean, Shape{at(mean).sample.elements()});
}

int Lowering::lower(const core::LayerSpec& spec, const core::CroppingParams& params, const std::vector<int>& srcs) {
  const int src = as_called(spec, srcs);
  const Shape sample = at(src).sample;
  expect_steps(spec, sample);
  LAMELLA_EXPECTS(params.before < sample[0] && params.after < sample[0] - params.before, shape,
                  "layer '{}' cropping: removes {} and {} of {} steps, allowed fewer than all", core::escaped(spec.path),
                  params.before, params.after, sample[0]);
  core::SliceParams part;
  part.items.resize(2);
  part.items[1].start = params.before;
  part.items[1].stop = sample[0] - params.after;
  return slice(spec, part, src);
}

int Lowering::lower(const core::LayerSpec& spec, const core::ZeroPaddingParams& params, const std::vector<int>& srcs) {
  expect_floats(spec, srcs);
  const int src = in_compute(spec, srcs);
  const Value from = at(src);
  expect_steps(spec, from.sample);
  const int axis = params.channels_first ? 1 : 0;
  LAMELLA_EXPECTS(from.sample[axis] > 0, shape, "layer '{}': its input has no steps", core::escaped(spec.path));
  core::SliceParams first_step;
  first_step.items.resize(static_cast<std::size_t>(axis) + 2);
  first_step.items.back().stop = 1;
  const int first = params.before + params.after > 0 ? slice(spec, first_step, src) : -1;
  const Recipe recipe{
      .what = Recipe::What::given, .dtype = from.dtype, .numbers = bits_of(std::vector<double>{0.0}), .sample = {1}};
  const auto zero = computed(recipe, [&] { return Tensor::zeros(Shape{1}, from.dtype); });
  const auto zeros = [&](std::int64_t count) {
    const Shape sample = from.sample.with(axis, count);
    const Shape one = all_ones(sample).prepended(1);
    const ops::CombineDesc desc{
        ops::CombineKind::where, sample.prepended(1), {at(first).sample.prepended(1), one}, from.dtype, 1};
    return add_step(desc, {first}, sample, from.dtype, spec.path, {zero});
  };
  std::vector<int> parts{src};
  if (params.before > 0) parts.insert(parts.begin(), zeros(params.before));
  if (params.after > 0) parts.push_back(zeros(params.after));
  return parts.size() == 1 ? src : concatenated(spec, axis, parts);
}

}  // namespace lamella::model
