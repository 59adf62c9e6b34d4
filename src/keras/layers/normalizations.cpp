// SPDX-License-Identifier: Apache-2.0
// Normalizations and Rescaling.
#include <array>

#include "keras/layers/parsers.hpp"

namespace lamella::keras {
namespace {

core::LayerParams parse_batch_normalization(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"axis", "epsilon", "center", "scale", "renorm", "renorm_clipping", "renorm_momentum", "virtual_batch_size",
                 "adjustment", "fused", "momentum", "moving_mean_initializer", "moving_variance_initializer", "synchronized"},
                kScaleKeys);
  if (f.boolean("renorm", false)) f.fail_field(ErrorCode::unsupported, "renorm", "is true");
  const std::vector<int> axes = f.axes("axis", {-1});
  if (axes.size() != 1) f.fail_field(ErrorCode::unsupported, "axis", "has {} entries, allowed 1", axes.size());
  core::BatchNormalizationParams params{axes[0], f.number("epsilon", 1e-3), f.boolean("center", true), f.boolean("scale", true)};
  return params;
}

core::LayerParams parse_layer_normalization(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"axis", "epsilon", "center", "scale", "rms_scaling"}, kScaleKeys);
  core::LayerNormalizationParams params{f.axes("axis", {-1}), f.number("epsilon", 1e-3), f.boolean("center", true),
                                        f.boolean("scale", true), f.boolean("rms_scaling", false)};
  return params;
}

core::LayerParams parse_rms_normalization(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"axis", "epsilon"});
  return core::RmsNormalizationParams{f.axes("axis", {-1}), f.number("epsilon", 1e-6)};
}

core::LayerParams parse_unit_normalization(const Fields& f, const std::string&, Reading& reading) {
  f.expect_only({"axis"});
  // Keras 2 bounds the squared norm by 1e-12, Keras 3 the norm.
  return core::UnitNormalizationParams{f.axes("axis", {-1}), reading.keras2 ? 1e-6 : 1e-12};
}

core::LayerParams parse_group_normalization(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"groups", "axis", "epsilon", "center", "scale"}, kScaleKeys);
  const std::int64_t groups = f.has("groups") ? f.integer("groups", -1, 2147483647) : 32;
  if (groups == 0) f.fail_field(ErrorCode::value, "groups", "got 0, allowed -1 and 1..");
  const std::vector<int> axes = f.axes("axis", {-1});
  if (axes.size() != 1) f.fail_field(ErrorCode::unsupported, "axis", "has {} entries, allowed 1", axes.size());
  const core::GroupNormalizationParams params{groups, axes[0], f.number("epsilon", 1e-3), f.boolean("center", true),
                                              f.boolean("scale", true)};
  return params;
}

core::LayerParams parse_rescaling(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"scale", "offset"});
  const auto numbers = [&](const char* key, double fallback) {
    Tensor value = f.has(key) ? f.array(key) : Tensor::of<double>(std::array{fallback}, Shape{});
    if (value.shape().elements() == 0) f.fail_field(ErrorCode::value, key, "holds no number");
    return std::make_shared<const Tensor>(std::move(value));
  };
  const core::RescalingParams params{numbers("scale", 1.0), numbers("offset", 0.0)};
  return params;
}

core::LayerParams parse_normalization(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"axis", "mean", "variance", "invert"});
  core::NormalizationParams params{f.has("axis") ? f.axes("axis", {}) : std::vector<int>{}, f.boolean("invert", false),
                                   f.has("mean")};
  if (f.has("mean") != f.has("variance")) f.fail_field(ErrorCode::value, "mean, variance", "only one of them is given");
  return params;
}

}  // namespace

std::span<const LayerClass> normalization_layers() {
  static constexpr LayerClass rows[] = {
      // One `axis`. `renorm` is refused.
      {"BatchNormalization", parse_batch_normalization},

      // TensorFlow 1.13 to 1.15. One `axis`. `renorm` is refused.
      {"BatchNormalizationV1", parse_batch_normalization},
      {"BatchNormalizationV2", parse_batch_normalization},

      // TensorFlow 2.2 to 2.12. One `axis`. `renorm` is refused.
      {"SyncBatchNormalization", parse_batch_normalization},

      // Floating-point inputs.
      {"RMSNormalization", parse_rms_normalization},
      {"UnitNormalization", parse_unit_normalization},

      // Floating-point inputs. One `axis`. No mask in Keras 2.
      {"GroupNormalization", parse_group_normalization},

      {"LayerNormalization", parse_layer_normalization},

      // `scale` and `offset`: a number or an array.
      {"Rescaling", parse_rescaling},

      // Adapted, or with `mean` and `variance`.
      {"Normalization", parse_normalization},
  };
  return rows;
}

}  // namespace lamella::keras
