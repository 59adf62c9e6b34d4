// SPDX-License-Identifier: Apache-2.0
// Layers that only move or rename elements.
#include <algorithm>
#include <cmath>

#include "model/axes.hpp"
#include "model/lower/lowering.hpp"
#include "model/lower/weights.hpp"

namespace lamella::model {

int Lowering::lower(const core::LayerSpec& spec, const core::InputParams& /*params*/, const std::vector<int>& srcs) {
  return only_input(spec, srcs);
}

int Lowering::lower(const core::LayerSpec& spec, const core::IdentityParams& /*params*/, const std::vector<int>& srcs) {
  return as_called(spec, srcs);
}

int Lowering::lower(const core::LayerSpec& spec, const core::FlattenParams& params, const std::vector<int>& srcs) {
  const int src = as_called(spec, srcs);
  std::vector<int> order = all_axes(at(src).sample);
  if (params.channels_first && order.size() > 1) std::rotate(order.begin(), order.begin() + 1, order.end());
  const int arranged = transposed(src, order, spec.path);
  return reshaped(arranged, Shape{at(arranged).sample.elements()});
}

int Lowering::lower(const core::LayerSpec& spec, const core::ReshapeParams& params, const std::vector<int>& srcs) {
  const int src = as_called(spec, srcs);
  const std::int64_t total = at(src).sample.elements();
  std::vector<std::int64_t> target = params.target;
  std::int64_t known = 1;
  for (const std::int64_t extent : target) {
    if (extent >= 0) known = core::checked_mul(known, extent).value_or(-1);
    LAMELLA_EXPECTS(known >= 0, overflow, "layer '{}' target_shape does not fit into 64 bits", core::escaped(spec.path));
  }
  for (std::int64_t& extent : target) {
    if (extent == -1) extent = known == 0 ? 0 : total / known;
  }
  const Shape result(target);
  LAMELLA_EXPECTS(result.elements() == total, shape, "layer '{}' target_shape: {} has {} elements, the input {} has {}",
                  core::escaped(spec.path), to_string(result), result.elements(), to_string(at(src).sample), total);
  return reshaped(src, result);
}

int Lowering::lower(const core::LayerSpec& spec, const core::PermuteParams& params, const std::vector<int>& srcs) {
  const int src = as_called(spec, srcs);
  const Shape sample = at(src).sample;
  LAMELLA_EXPECTS(static_cast<std::size_t>(sample.rank()) == params.dims.size(), shape,
                  "layer '{}' dims has {} entries, its input has {} axes after the batch", core::escaped(spec.path),
                  params.dims.size(), sample.rank());
  std::vector<int> order;
  for (const int dim : params.dims) order.push_back(dim - 1);
  return transposed(src, order, spec.path);
}

int Lowering::lower(const core::LayerSpec& spec, const core::RepeatVectorParams& params, const std::vector<int>& srcs) {
  const int src = as_called(spec, srcs);
  const Shape sample = at(src).sample;
  LAMELLA_EXPECTS(sample.rank() == 1, shape, "layer '{}': expected ndim=2, found ndim={}", core::escaped(spec.path),
                  sample.rank() + 1);
  const Shape result = sample.prepended(params.count);
  ops::CombineDesc desc{ops::CombineKind::add, result.prepended(1), {sample.prepended(1).prepended(1)}, at(src).dtype};
  if (desc.dtype == DType::boolean) desc.dtype = DType::uint8;  // a copy of bytes
  return add_step(std::move(desc), {src}, result, at(src).dtype, spec.path);
}

int Lowering::differences(const std::string& path, double wanted, int src) {
  if (wanted == 0.0) return src;
  src = ordered(path, wanted, src);
  const Value from = at(src);
  // Keras compares with the value in the input's type. In it, a difference is 0 only if the numbers are equal.
  const double value = rounded(wanted, from.dtype);
  LAMELLA_EXPECTS(std::isfinite(value) || std::isnan(value), unsupported,
                  "layer '{}' mask_value: got {:g}, which is infinite as {}; allowed are finite numbers", core::escaped(path),
                  wanted, to_string(from.dtype));
  const Shape one = all_ones(from.sample);
  return affine(path, src, {line_constant({1}, from.dtype), one}, {line_constant({-value}, from.dtype), one});
}

int Lowering::lower(const core::LayerSpec& spec, const core::MaskingParams& params, const std::vector<int>& srcs) {
  const int src = as_called(spec, srcs);
  LAMELLA_EXPECTS(at(src).sample.rank() > 0, shape, "layer '{}': expected min_ndim=2, found ndim=1", core::escaped(spec.path));
  // Steps of zeros are already zero, and NaN equals nothing.
  if (params.value == 0.0 || std::isnan(params.value)) return src;
  const Mask mask{spec.path, src, true, params.value};
  return masked(spec.path, src, mask_value(mask, at(src).dtype, spec.path), params.selects);
}

}  // namespace lamella::model
