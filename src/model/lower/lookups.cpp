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

}  // namespace lamella::model
