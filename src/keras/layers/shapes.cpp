// SPDX-License-Identifier: Apache-2.0
// Layers that leave the numbers as they are, and inputs.
#include <algorithm>

#include "keras/layers/parsers.hpp"

namespace lamella::keras {

ParsedLayer parse_identity(const Fields&, const std::string&, Reading&) { return {core::IdentityParams{}, {}, {}, {}}; }

ParsedLayer parse_flatten(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"data_format"});
  const std::string format = f.string("data_format", "channels_last");
  if (format != "channels_last" && format != "channels_first") {
    f.fail_field(ErrorCode::value, "data_format",
                 core::concat("got '", core::escaped(format), "', allowed channels_last, channels_first"));
  }
  return {core::FlattenParams{format == "channels_first"}, {}, {}, {}};
}

ParsedLayer parse_reshape(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"target_shape"});
  core::ReshapeParams params;
  int open = 0;
  for (const int extent : f.axes("target_shape", {})) {
    if (extent < -1) f.fail_field(ErrorCode::value, "target_shape", core::concat("got ", extent, ", allowed -1.."));
    open += extent == -1 ? 1 : 0;
    params.target.push_back(extent);
  }
  if (open > 1) f.fail_field(ErrorCode::value, "target_shape", "has more than one -1");
  return {params, {}, {}, {}};
}

ParsedLayer parse_permute(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"dims"});
  core::PermuteParams params{f.axes("dims", {})};
  std::vector<int> sorted = params.dims;
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    if (sorted[i] != static_cast<int>(i) + 1)
      f.fail_field(ErrorCode::value, "dims", core::concat("is no order of the numbers 1..", sorted.size()));
  }
  return {std::move(params), {}, {}, {}};
}

ParsedLayer parse_repeat_vector(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"n"});
  return {core::RepeatVectorParams{f.integer("n", 0, 2147483647)}, {}, {}, {}};
}

ParsedLayer parse_masking(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"mask_value"});
  return {core::MaskingParams{f.number("mask_value", 0.0)}, {}, {}, {}};
}

ParsedLayer parse_input(const Fields& f, const std::string&, Reading&) {
  f.expect_only(
      {"batch_shape", "batch_input_shape", "sparse", "ragged", "optional", "shape", "batch_size", "type_spec", "input_tensor"});
  if (f.boolean("sparse", false) || f.boolean("ragged", false)) f.fail_field(ErrorCode::unsupported, "sparse, ragged", "is true");
  const char* key = f.has("batch_shape") ? "batch_shape" : "batch_input_shape";
  core::InputParams params{read_shape(f.at(key), f, key), DType::float32};
  if (params.batch_shape.empty()) f.fail_field(ErrorCode::shape, key, "has no batch axis");
  const std::string dtype = f.has("dtype") && f.at("dtype").is_string() ? f.at("dtype").get<std::string>() : "float32";
  try {
    params.dtype = dtype_of(dtype);
  } catch (const ArgumentError& error) {
    f.fail_field(ErrorCode::dtype, "dtype", std::string(core::without_code(error.what())));
  }
  return {params, {}, {}, {}};
}

}  // namespace lamella::keras
