// SPDX-License-Identifier: Apache-2.0
// Layers that turn integers into vectors.
#include "model/lower/lowering.hpp"
#include "model/lower/weights.hpp"

namespace lamella::model {

int Lowering::embedding(const core::LayerSpec& spec, const core::EmbeddingParams& params, int src) {
  expect_weight(spec, "embeddings", {params.rows, params.width});
  // Keras casts what is neither int32 nor int64 to int32, and not to the compute type before; of wide floats the gather does it.
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
  // Keras counts along the first axis behind the batch, whichever axes follow; what it would do without one is not of a sample.
  LAMELLA_EXPECTS(each || sample.rank() == 1, unsupported, "layer '", core::escaped(spec.path), "' output_mode: got ",
                  encoding == core::Encoding::count ? "count" : "multi_hot", " for an input of ", sample.rank() + 1,
                  " axes, allowed 2");
  const bool one = each && sample.rank() > 0 && sample.back() == 1;
  std::vector<std::int64_t> extents(sample.begin(), each && !one ? sample.end() : sample.end() - 1);
  extents.push_back(depth);
  const Shape result(extents);
  const DType kept = is_floating(dtype) ? dtype : DType::float32;
  const ops::CountDesc desc{each ? sample.elements() : 1,      each ? 1 : sample[0], depth,
                            encoding != core::Encoding::count, at(src).dtype,        kept};
  return cast(add_step(desc, {src}, result, kept, spec.path), dtype, spec.path);
}

int Lowering::category_encoding(const core::LayerSpec& spec, const core::CategoryEncodingParams& params, int src) {
  const DType given = at(src).dtype;
  LAMELLA_EXPECTS(given != DType::boolean, unsupported, "layer '", core::escaped(spec.path), "': its input is bool");
  // Keras casts to int32 before multi_hot, so that fractions are cut off; one_hot and count compare.
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

int Lowering::discretization(const core::LayerSpec& spec, const core::DiscretizationParams& params, int src) {
  // Keras compares in float32, whatever the layer's policy.
  const DType wide = at(src).dtype == DType::float64 && options_.dtype == DType::float64 ? DType::float64 : DType::float32;
  const int x = cast(src, wide, spec.path);
  const Shape sample = at(x).sample;
  const std::int64_t length = params.boundaries->shape().elements();
  const ops::BucketDesc desc{sample.elements(), length, wide};
  const int bins = add_step(desc, {x}, sample, DType::int64, spec.path, {params.boundaries});
  const DType dtype = params.encoding == core::Encoding::integer ? params.integer : compute(spec);
  return encoded(spec, params.encoding, length + 1, dtype, bins);
}

int Lowering::integer_lookup(const core::LayerSpec& spec, const core::IntegerLookupParams& params, int src) {
  const int x = cast(src, DType::int64, spec.path);
  const Shape sample = at(x).sample;
  const ops::LookupDesc desc{sample.elements(), params.keys->shape().elements(), params.otherwise, params.hashes};
  const int places = add_step(desc, {x}, sample, DType::int64, spec.path, {params.keys, params.values});
  const DType dtype = params.encoding == core::Encoding::integer ? DType::int64 : params.encoded;
  return encoded(spec, params.encoding, params.depth, dtype, places);
}

}  // namespace lamella::model
