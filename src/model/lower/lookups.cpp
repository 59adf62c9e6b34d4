// SPDX-License-Identifier: Apache-2.0
// Layers that turn integers into vectors.
#include <algorithm>
#include <cmath>
#include <span>

#include "model/lower/lowering.hpp"
#include "model/lower/weights.hpp"

namespace lamella::model {

int Lowering::lower(const core::LayerSpec& spec, const core::EmbeddingParams& params, const std::vector<int>& srcs) {
  const int src = only_input(spec, srcs);
  expect_weight(spec, "embeddings", {params.rows, params.width});
  // Keras casts everything except int32 and int64 to int32, without casting to the compute type first; for wide floats the gather
  // does it.
  const DType given = at(src).dtype;
  const bool short_float = given == DType::float16 || given == DType::bfloat16;
  const bool other_integer = !is_floating(given) && given != DType::int32 && given != DType::int64;
  const DType taken = short_float ? DType::float32 : other_integer ? DType::int32 : given;
  const int index = cast(src, taken, spec.path);
  const Shape sample = at(index).sample;
  const DType dtype = compute(spec);
  const ops::GatherDesc desc{sample.elements(), params.rows, params.width, at(index).dtype, dtype};
  std::vector<std::int64_t> extents(sample.begin(), sample.end());
  extents.push_back(params.width);
  return add_step(desc, {index}, Shape(extents), dtype, spec.path, {weight(spec, "embeddings")});
}

int Lowering::encoded(const core::LayerSpec& spec, core::Encoding encoding, std::int64_t depth, DType dtype, int src) {
  if (encoding == core::Encoding::integer) return cast(src, dtype, spec.path);
  const Shape sample = at(src).sample;
  const bool each = encoding == core::Encoding::one_hot;
  // Keras counts along the first axis after the batch, whatever follows; without such an axis the result would mix samples.
  LAMELLA_EXPECTS(each || sample.rank() == 1, unsupported, "layer '{}' output_mode: got {} for an input of {} axes, allowed 2",
                  core::escaped(spec.path), encoding == core::Encoding::count ? "count" : "multi_hot", sample.rank() + 1);
  const bool one = each && sample.rank() > 0 && sample.back() == 1;
  std::vector<std::int64_t> extents(sample.begin(), each && !one ? sample.end() : sample.end() - 1);
  extents.push_back(depth);
  const Shape result(extents);
  const DType kept = is_floating(dtype) ? dtype : DType::float32;
  const ops::CountDesc desc{each ? sample.elements() : 1,      each ? 1 : sample[0], depth,
                            encoding != core::Encoding::count, at(src).dtype,        kept};
  return cast(add_step(desc, {src}, result, kept, spec.path), dtype, spec.path);
}

int Lowering::lower(const core::LayerSpec& spec, const core::CategoryEncodingParams& params, const std::vector<int>& srcs) {
  const int src = only_input(spec, srcs);
  const DType given = at(src).dtype;
  LAMELLA_EXPECTS(given != DType::boolean, unsupported, "layer '{}': its input is bool", core::escaped(spec.path));
  // Keras casts to int32 before multi_hot, which truncates fractions; one_hot and count compare.
  const bool cuts = params.encoding == core::Encoding::multi_hot && is_floating(given);
  const bool short_float = given == DType::float16 || given == DType::bfloat16;
  const bool wide = given == DType::int64 || given == DType::uint32 || given == DType::uint64;
  const DType taken = cuts                 ? DType::int32
                      : short_float        ? DType::float32
                      : is_floating(given) ? given
                      : wide               ? DType::int64
                                           : DType::int32;
  const DType dtype = params.in_variable_dtype && !options_.dtype ? spec.policy.variable : compute(spec);
  return encoded(spec, params.encoding, params.depth, dtype, cast(src, taken, spec.path));
}

namespace {

/// numpy.interp(x, xs, ys) for an x that is not below xs[0].
double interpolated(double x, std::span<const double> xs, std::span<const float> ys) {
  const auto after = static_cast<std::size_t>(std::upper_bound(xs.begin(), xs.end(), x) - xs.begin());
  if (after == 0) return static_cast<double>(ys[0]);
  const std::size_t at = after - 1;
  const double y = static_cast<double>(ys[at]);
  if (after == xs.size() || xs[at] == x) return y;
  const double slope = (static_cast<double>(ys[after]) - y) / (xs[after] - xs[at]);
  return slope * (x - xs[at]) + y;
}

/// The boundaries that Keras 2 computes from its summary, bit for bit: values and their weights, divided into equal parts.
std::vector<float> boundaries_of(const Tensor& summary, std::int64_t bins) {
  const auto count = static_cast<std::size_t>(summary.shape()[1]);
  const auto all = summary.span<float>();
  const auto numbers = all.subspan(0, count);
  std::vector<float> boundaries(numbers.begin(), numbers.end());
  const double part = 1.0 / static_cast<double>(bins);
  if (static_cast<double>(count) * part >= 1) {
    std::vector<double> reached;
    float total = 0;
    for (const float weight : all.subspan(count)) reached.push_back(static_cast<double>(total += weight));
    for (double& share : reached) share = static_cast<double>(static_cast<float>(share) / total);
    boundaries.clear();
    const auto parts = static_cast<std::int64_t>(std::ceil(1.0 / part));
    for (std::int64_t i = 0; i < parts; ++i)
      boundaries.push_back(static_cast<float>(interpolated(part + static_cast<double>(i) * part, reached, numbers)));
  }
  if (!boundaries.empty()) boundaries.pop_back();
  return boundaries;
}

}  // namespace

std::shared_ptr<const Tensor> Lowering::learnt_boundaries(const core::LayerSpec& spec, std::int64_t bins) {
  const auto& summary = weight(spec, "summary");
  LAMELLA_EXPECTS(summary && summary->dtype() == DType::float32 && summary->shape().rank() == 2 && summary->shape()[0] == 2,
                  shape, "layer '{}' summary: allowed float32 of shape (2, any)", core::escaped(spec.path));
  const std::vector<float> boundaries = boundaries_of(*summary, bins);
  LAMELLA_EXPECTS(!boundaries.empty(), missing, "layer '{}': was never adapted", core::escaped(spec.path));
  for (std::size_t i = 0; i < boundaries.size(); ++i) {
    LAMELLA_EXPECTS(i == 0 ? !std::isnan(boundaries[0]) : boundaries[i - 1] <= boundaries[i], value,
                    "layer '{}' summary: its boundaries are not ascending at entry {}", core::escaped(spec.path), i);
  }
  return std::make_shared<const Tensor>(Tensor::of<float>(boundaries, Shape{boundaries.size()}));
}

int Lowering::lower(const core::LayerSpec& spec, const core::DiscretizationParams& params, const std::vector<int>& srcs) {
  const int src = only_input(spec, srcs);
  // Keras compares in float32, whatever the layer's policy.
  const DType wide = at(src).dtype == DType::float64 && options_.dtype == DType::float64 ? DType::float64 : DType::float32;
  const int x = cast(src, wide, spec.path);
  const Shape sample = at(x).sample;
  const auto boundaries = params.boundaries ? params.boundaries : learnt_boundaries(spec, params.bins);
  const std::int64_t length = boundaries->shape().elements();
  const ops::BucketDesc desc{sample.elements(), length, wide};
  const int bins = add_step(desc, {x}, sample, DType::int64, spec.path, {boundaries});
  const DType dtype = params.encoding == core::Encoding::integer ? params.integer : compute(spec);
  return encoded(spec, params.encoding, length + 1, dtype, bins);
}

namespace {

void set_key(ops::HashRule& rule, const core::Salt& salt) {
  if (!salt) return;
  rule.keyed = true;
  rule.key0 = (*salt)[0];
  rule.key1 = (*salt)[1];
}

}  // namespace

int Lowering::lower(const core::LayerSpec& spec, const core::IntegerLookupParams& params, const std::vector<int>& srcs) {
  const int src = only_input(spec, srcs);
  LAMELLA_EXPECTS(params.keys, missing,
                  "layer '{}': its vocabulary is in the .keras file with which it was saved; load the weights from that file",
                  core::escaped(spec.path));
  const int x = cast(src, DType::int64, spec.path);
  const Shape sample = at(x).sample;
  constexpr std::int64_t kNowhere = -1;  // no index has this value
  const ops::LookupDesc desc{sample.elements(), params.keys->shape().elements(), params.hashed > 0 ? kNowhere : params.otherwise,
                             params.hashes};
  int places = add_step(desc, {x}, sample, DType::int64, spec.path, {params.keys, params.values});
  if (params.hashed > 0) {
    const int known = cast(comparison(spec.path, {core::Comparison::not_equal, kNowhere}, places), DType::int64, spec.path);
    const int unknown = cast(comparison(spec.path, {core::Comparison::equal, kNowhere}, places), DType::int64, spec.path);
    ops::HashRule rule{.bins = params.hashed, .first = params.otherwise};
    set_key(rule, params.salt);
    const int bins = add_step(ops::HashDesc{sample.elements(), rule}, {x}, sample, DType::int64, spec.path);
    places = combined(spec.path, ops::CombineKind::add,
                      {masked(spec.path, places, known, true), masked(spec.path, bins, unknown, true)});
  }
  const DType dtype = params.encoding == core::Encoding::integer ? DType::int64 : params.encoded;
  return encoded(spec, params.encoding, params.depth, dtype, places);
}

int Lowering::lower(const core::LayerSpec& spec, const core::HashingParams& params, const std::vector<int>& srcs) {
  const int src = only_input(spec, srcs);
  const DType given = at(src).dtype;
  LAMELLA_EXPECTS(given != DType::boolean, unsupported, "layer '{}': its input is bool", core::escaped(spec.path));
  const bool masks = params.mask && params.bins > 1;
  ops::HashRule rule{
      .bins = masks ? params.bins - 1 : params.bins, .first = masks ? 1 : 0, .is_unsigned = given == DType::uint64};
  rule.masks = masks && !is_floating(given);
  if (rule.masks) rule.mask = *params.mask;
  set_key(rule, params.salt);
  const int x = cast(src, DType::int64, spec.path);
  const Shape sample = at(x).sample;
  int bins = add_step(ops::HashDesc{sample.elements(), rule}, {x}, sample, DType::int64, spec.path);
  if (masks && is_floating(given)) {  // compared before fractions are cut off
    const int other = differences(spec.path, static_cast<double>(*params.mask), src);
    const int unmasked = cast(cast(other, DType::boolean, spec.path), DType::int64, spec.path);
    bins = combined(spec.path, ops::CombineKind::where, {bins, unmasked});
  }
  const bool variable = params.in_variable_dtype && (!options_.dtype || !is_floating(spec.policy.variable));
  return encoded(spec, params.encoding, params.bins, variable ? spec.policy.variable : compute(spec), bins);
}

}  // namespace lamella::model
