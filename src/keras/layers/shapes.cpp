// SPDX-License-Identifier: Apache-2.0
// Layers that do not change values, and inputs.
#include <algorithm>

#include "keras/layers/parsers.hpp"

namespace lamella::keras {

namespace {

/// Masked values are replaced by 0 in Keras 3.15 and later, and multiplied by 0 before.
bool selects(const Reading& reading) { return !reading.keras2 && !older_than(reading, 3, 15); }

bool channels_first(const Fields& f) {
  const std::string format = f.string("data_format", "channels_last");
  if (format != "channels_last" && format != "channels_first") {
    f.fail_field(ErrorCode::value, "data_format", "got '{}', allowed channels_last, channels_first", core::escaped(format));
  }
  return format == "channels_first";
}

/// One number for both sides, or one for each.
std::pair<std::int64_t, std::int64_t> both_sides(const Fields& f, const char* key) {
  const std::vector<int> sides = f.axes(key, {1, 1});
  if (sides.empty() || sides.size() > 2 || sides.front() < 0 || sides.back() < 0)
    f.fail_field(ErrorCode::value, key, "is neither a number of steps of at least 0 nor a pair of them");
  return {sides.front(), sides.back()};
}

core::LayerParams global_pooling(core::ReduceKind kind, const Fields& f, const Reading& reading) {
  f.expect_only({"data_format", "keepdims"});
  return core::GlobalPoolingParams{kind, channels_first(f), f.boolean("keepdims", false), selects(reading)};
}

core::LayerParams parse_identity(const Fields&, const std::string&, Reading&) { return core::IdentityParams{}; }

core::LayerParams parse_flatten(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"data_format"});
  return core::FlattenParams{channels_first(f)};
}

core::LayerParams parse_reshape(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"target_shape"});
  core::ReshapeParams params;
  int open = 0;
  for (const int extent : f.axes("target_shape", {})) {
    if (extent < -1) f.fail_field(ErrorCode::value, "target_shape", "got {}, allowed -1..", extent);
    open += extent == -1 ? 1 : 0;
    params.target.push_back(extent);
  }
  if (open > 1) f.fail_field(ErrorCode::value, "target_shape", "has more than one -1");
  return params;
}

core::LayerParams parse_permute(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"dims"});
  core::PermuteParams params{f.axes("dims", {})};
  std::vector<int> sorted = params.dims;
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    if (sorted[i] != static_cast<int>(i) + 1)
      f.fail_field(ErrorCode::value, "dims", "is not a permutation of 1..{}", sorted.size());
  }
  return params;
}

core::LayerParams parse_repeat_vector(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"n"});
  return core::RepeatVectorParams{f.integer("n", 0, 2147483647)};
}

core::LayerParams parse_masking(const Fields& f, const std::string&, Reading& reading) {
  f.expect_only({"mask_value"});
  return core::MaskingParams{f.number("mask_value", 0.0), selects(reading)};
}

core::LayerParams parse_global_average_pooling(const Fields& f, const std::string&, Reading& reading) {
  return global_pooling(core::ReduceKind::mean, f, reading);
}

core::LayerParams parse_global_max_pooling(const Fields& f, const std::string&, Reading& reading) {
  return global_pooling(core::ReduceKind::maximum, f, reading);
}

core::LayerParams parse_cropping(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"cropping"});
  const auto [before, after] = both_sides(f, "cropping");
  return core::CroppingParams{before, after};
}

core::LayerParams parse_zero_padding(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"padding", "data_format"});
  const auto [before, after] = both_sides(f, "padding");
  return core::ZeroPaddingParams{before, after, channels_first(f)};
}

core::LayerParams parse_input(const Fields& f, const std::string&, Reading&) {
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
    f.fail_field(ErrorCode::dtype, "dtype", "{}", core::without_code(error.what()));
  }
  return params;
}

}  // namespace

std::span<const LayerClass> shape_layers() {
  static constexpr LayerClass rows[] = {
      // `sparse` and `ragged` inputs are refused.
      {"InputLayer", parse_input},

      // No effect at inference, so any argument.
      {"Dropout", parse_identity},
      {"GaussianDropout", parse_identity},
      {"AlphaDropout", parse_identity},
      {"SpatialDropout1D", parse_identity},
      {"SpatialDropout2D", parse_identity},
      {"SpatialDropout3D", parse_identity},
      {"GaussianNoise", parse_identity},
      {"ActivityRegularization", parse_identity},
      {"Identity", parse_identity},

      {"Flatten", parse_flatten},

      // One extent may be -1.
      {"Reshape", parse_reshape},

      {"Permute", parse_permute},
      {"RepeatVector", parse_repeat_vector},

      // A finite `mask_value`.
      {"Masking", parse_masking},

      // Floating-point inputs.
      {"GlobalAveragePooling1D", parse_global_average_pooling},
      {"GlobalMaxPooling1D", parse_global_max_pooling},

      {"Cropping1D", parse_cropping},

      // Floating-point inputs.
      {"ZeroPadding1D", parse_zero_padding},
  };
  return rows;
}

}  // namespace lamella::keras
