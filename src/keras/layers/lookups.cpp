// SPDX-License-Identifier: Apache-2.0
// Layers that turn integers into vectors.
#include "keras/layers/parsers.hpp"

namespace lamella::keras {

ParsedLayer parse_embedding(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"input_dim", "output_dim", "mask_zero", "input_length", "sparse", "weights"});
  if (f.has("quantization_config"))
    f.fail_field(ErrorCode::unsupported, "quantization_config", "is set; quantized layers are not supported");
  const core::EmbeddingParams params{f.integer("input_dim", 1, 2147483647), f.integer("output_dim", 1, 2147483647),
                                     f.boolean("mask_zero", false)};
  return {params, {{"embeddings", true}}, {}, {}};
}

}  // namespace lamella::keras
