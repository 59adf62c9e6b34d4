// SPDX-License-Identifier: Apache-2.0
// Operations that move, take or gather elements along axes. Axes of their params count the batch as 0.
#include <algorithm>

#include "model/axes.hpp"
#include "model/lower/lowering.hpp"

namespace lamella::model {
int Lowering::lower(const core::LayerSpec& spec, const core::CastParams& params, const std::vector<int>& srcs) {
  return cast(only_input(spec, srcs), options_.dtype.value_or(params.dtype), spec.path);
}

int Lowering::lower(const core::LayerSpec& spec, const core::TransposeParams& params, const std::vector<int>& srcs) {
  const int src = only_input(spec, srcs);
  const Shape sample = at(src).sample;
  const int full = sample.rank() + 1;
  std::vector<int> axes = params.axes;
  if (axes.empty()) {
    for (int axis = full; axis-- > 0;) axes.push_back(axis);
  }
  LAMELLA_EXPECTS(static_cast<int>(axes.size()) == full, value, "layer '{}' axes: has {} entries, its input has {} axes",
                  core::escaped(spec.path), axes.size(), full);
  const bool batch_first = axes[0] == 0 || axes[0] == -full;
  LAMELLA_EXPECTS(batch_first, unsupported, "layer '{}' axes: these move the batch axis; lamella computes each sample on its own",
                  core::escaped(spec.path));
  std::vector<int> order;
  for (std::size_t i = 1; i < axes.size(); ++i) order.push_back(sample_axis(spec.path, axes[i], sample));
  static_cast<void>(sample_axes(spec.path, {axes.begin() + 1, axes.end()}, sample));
  return transposed(src, order, spec.path);
}

int Lowering::lower(const core::LayerSpec& spec, const core::ExpandDimsParams& params, const std::vector<int>& srcs) {
  return expand_dims(spec, params, only_input(spec, srcs));
}

int Lowering::expand_dims(const core::LayerSpec& spec, const core::ExpandDimsParams& params, int src) {
  const Shape sample = at(src).sample;
  const int rank = sample.rank() + static_cast<int>(params.axes.size());
  LAMELLA_EXPECTS(rank < Shape::kMaxRank, limit, "layer '{}': the result has more than {} axes", core::escaped(spec.path),
                  Shape::kMaxRank);
  const Shape result(std::vector<std::int64_t>(static_cast<std::size_t>(rank), 1));
  const std::vector<int> axes = sample_axes(spec.path, params.axes, result);
  std::vector<std::int64_t> extents;
  for (int axis = 0, from = 0; axis < rank; ++axis) {
    const bool added = std::find(axes.begin(), axes.end(), axis) != axes.end();
    extents.push_back(added ? 1 : sample[from++]);
  }
  return reshaped(src, Shape(extents));
}

int Lowering::lower(const core::LayerSpec& spec, const core::SqueezeParams& params, const std::vector<int>& srcs) {
  const int src = only_input(spec, srcs);
  const Shape sample = at(src).sample;
  std::vector<int> axes;
  for (const int axis : params.axes) {
    axes.push_back(sample_axis(spec.path, axis, sample));
    LAMELLA_EXPECTS(sample[axes.back()] == 1, shape, "layer '{}' axis: {} has the extent {}, allowed 1", core::escaped(spec.path),
                    axis, sample[axes.back()]);
  }
  std::vector<std::int64_t> extents;
  for (int axis = 0; axis < sample.rank(); ++axis) {
    const bool gone = params.axes.empty() ? sample[axis] == 1 : std::find(axes.begin(), axes.end(), axis) != axes.end();
    if (!gone) extents.push_back(sample[axis]);
  }
  return reshaped(src, Shape(extents));
}

int Lowering::lower(const core::LayerSpec& spec, const core::StackParams& params, const std::vector<int>& srcs) {
  LAMELLA_EXPECTS(!srcs.empty(), argument, "layer '{}' takes at least one input", core::escaped(spec.path));
  std::vector<int> parts;
  for (const int src : srcs) {
    LAMELLA_EXPECTS(at(src).sample == at(srcs[0]).sample, shape,
                    "layer '{}': inputs of shapes {} and {} (without the batch) differ", core::escaped(spec.path),
                    to_string(at(srcs[0]).sample), to_string(at(src).sample));
    parts.push_back(expand_dims(spec, core::ExpandDimsParams{{params.axis}}, src));
  }
  return concatenated(spec, sample_axis(spec.path, params.axis, at(parts[0]).sample), parts);
}

int Lowering::lower(const core::LayerSpec& spec, const core::ReduceParams& params, const std::vector<int>& srcs) {
  if (params.of_bools) return reduce_bools(spec, params, only_input(spec, srcs));
  expect_floats(spec, srcs);
  return reduce(spec, params, in_compute(spec, srcs));
}

int Lowering::reduce(const core::LayerSpec& spec, const core::ReduceParams& params, int src) {
  const Shape whole = at(src).sample;
  LAMELLA_EXPECTS(!params.axes.empty(), unsupported,
                  "layer '{}' axis: all axes, including the batch axis; lamella computes each sample on its own",
                  core::escaped(spec.path));
  const std::vector<int> axes = sample_axes(spec.path, params.axes, whole);
  const bool adjacent = axes.back() - axes.front() + 1 == static_cast<int>(axes.size());
  const int arranged = transposed(src, adjacent ? all_axes(whole) : moved_last(whole, axes), spec.path);
  const Shape sample = at(arranged).sample;
  const int first = adjacent ? axes.front() : sample.rank() - static_cast<int>(axes.size());
  const int last = first + static_cast<int>(axes.size());
  const DType dtype = at(arranged).dtype;
  const ops::ReduceDesc desc{params.kind, sample.elements(0, first), sample.elements(first, last),
                             sample.elements(last, sample.rank()), dtype};
  const bool neutral = params.kind != core::ReduceKind::maximum && params.kind != core::ReduceKind::minimum;
  LAMELLA_EXPECTS(neutral || desc.length > 0, shape, "layer '{}': an empty input has no minimum or maximum",
                  core::escaped(spec.path));
  std::vector<std::int64_t> kept;
  std::vector<std::int64_t> ones;
  for (const int axis : all_axes(whole)) {
    const bool gone = std::find(axes.begin(), axes.end(), axis) != axes.end();
    ones.push_back(gone ? 1 : whole[axis]);
    if (!gone) kept.push_back(whole[axis]);
  }
  const int result = add_step(desc, {arranged}, Shape(kept), dtype, spec.path);
  return params.keepdims ? reshaped(result, Shape(ones)) : result;
}

namespace {

/// The part that one item takes of an axis of `extent` elements, by Python's rules.
struct Taken {
  std::int64_t start = 0;
  std::int64_t step = 1;
  std::int64_t count = 0;
};

Taken taken(const core::SliceItem& item, std::int64_t extent, const std::string& path) {
  if (item.kind == core::SliceItem::Kind::index) {
    const std::int64_t index = *item.start < 0 ? *item.start + extent : *item.start;
    LAMELLA_EXPECTS(index >= 0 && index < extent, value, "layer '{}': index {} is outside an axis of extent {}",
                    core::escaped(path), *item.start, extent);
    return {index, 1, 1};
  }
  const std::int64_t step = item.step.value_or(1);
  const std::int64_t low = step > 0 ? 0 : -1;
  const std::int64_t high = step > 0 ? extent : extent - 1;
  const auto place = [&](const std::optional<std::int64_t>& bound, std::int64_t otherwise) {
    if (!bound) return otherwise;
    return std::clamp(*bound < 0 ? *bound + extent : *bound, low, high);
  };
  const std::int64_t start = place(item.start, step > 0 ? low : high);
  const std::int64_t stop = place(item.stop, step > 0 ? high : low);
  const std::int64_t distance = step > 0 ? stop - start : start - stop;
  const std::int64_t width = step > 0 ? step : -step;
  return distance <= 0 ? Taken{0, 1, 0} : Taken{start, step, (distance + width - 1) / width};
}

/// One item for each axis of the input, with the ellipsis expanded; new axes stay in place.
std::vector<core::SliceItem> spelt_out(const core::SliceParams& params, int full, const std::string& path) {
  using Kind = core::SliceItem::Kind;
  int named = 0;
  bool open = false;
  for (const core::SliceItem& item : params.items) {
    named += item.kind == Kind::range || item.kind == Kind::index ? 1 : 0;
    open = open || item.kind == Kind::ellipsis;
  }
  LAMELLA_EXPECTS(named <= full, value, "layer '{}' indexes {} axes of an input of {} axes", core::escaped(path), named, full);
  std::vector<core::SliceItem> result;
  const auto fill = [&] { result.insert(result.end(), static_cast<std::size_t>(full - named), core::SliceItem{}); };
  for (const core::SliceItem& item : params.items) {
    if (item.kind == Kind::ellipsis) {
      fill();
    } else {
      result.push_back(item);
    }
  }
  if (!open) fill();
  return result;
}

}  // namespace

int Lowering::lower(const core::LayerSpec& spec, const core::SliceParams& params, const std::vector<int>& srcs) {
  return slice(spec, params, only_input(spec, srcs));
}

int Lowering::slice(const core::LayerSpec& spec, const core::SliceParams& params, int src) {
  using Kind = core::SliceItem::Kind;
  const Value from = at(src);
  const std::vector<core::SliceItem> items = spelt_out(params, from.sample.rank() + 1, spec.path);
  const core::SliceItem& batch = items.at(0);
  const bool whole = batch.kind == Kind::range && batch.start.value_or(0) == 0 && !batch.stop && batch.step.value_or(1) == 1;
  LAMELLA_EXPECTS(whole, unsupported,
                  "layer '{}': slices the batch, or inserts an axis before it; lamella computes each sample on its own",
                  core::escaped(spec.path));
  ops::SliceDesc desc{from.sample.prepended(1), {}, {0}, {1}, from.dtype};
  std::vector<std::int64_t> extents;
  std::vector<std::int64_t> shown;
  bool all = true;
  for (std::size_t i = 1; i < items.size(); ++i) {
    if (items[i].kind == Kind::new_axis) {
      shown.push_back(1);
      continue;
    }
    const std::int64_t extent = from.sample[static_cast<int>(extents.size())];
    const Taken part = taken(items[i], extent, spec.path);
    desc.starts.push_back(part.start);
    desc.steps.push_back(part.step);
    extents.push_back(part.count);
    if (items[i].kind == Kind::range) shown.push_back(part.count);
    all = all && part.count == extent && (part.step == 1 || extent == 1);
  }
  LAMELLA_EXPECTS(shown.size() < static_cast<std::size_t>(Shape::kMaxRank), limit, "layer '{}': the result has more than {} axes",
                  core::escaped(spec.path), Shape::kMaxRank);
  const Shape sample(extents);
  desc.dst = sample.prepended(1);
  const int result = all ? src : add_step(desc, {src}, sample, from.dtype, spec.path);
  return reshaped(result, Shape(shown));
}

}  // namespace lamella::model
