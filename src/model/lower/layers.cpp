// SPDX-License-Identifier: Apache-2.0
// Which function lowers which kind of layer. Shapes here are those of one sample; the batch goes in front.
#include "model/lower/lowering.hpp"

namespace lamella::model {

int Lowering::sample_axis(const std::string& path, int axis, const Shape& sample) const {
  const int full_rank = sample.rank() + 1;
  LAMELLA_EXPECTS(axis >= -full_rank && axis < full_rank, value, "layer '", core::escaped(path), "' axis: got ", axis,
                  ", allowed ", -full_rank, "..", full_rank - 1, " for input of shape (None, ...) and rank ", full_rank);
  const int positive = axis < 0 ? axis + full_rank : axis;
  LAMELLA_EXPECTS(positive != 0, unsupported, "layer '", core::escaped(path), "' axis: got ", axis,
                  ", the batch axis; lamella computes each sample on its own");
  return positive - 1;
}

std::shared_ptr<const Tensor> Lowering::constant(const core::LayerSpec& spec, Recipe recipe,
                                                 const std::function<std::vector<double>()>& make) {
  recipe.dtype = compute(spec) == DType::float64 ? DType::float64 : DType::float32;
  return pool_.computed(recipe, [&] {
    const std::vector<double> values = make();
    return Tensor::of<double>(values, Shape{static_cast<std::int64_t>(values.size())}).to(recipe.dtype);
  });
}

std::vector<int> Lowering::layer(const core::LayerSpec& spec, const std::vector<int>& srcs) {
  const std::string& path = spec.path;
  const auto one = [&] {
    LAMELLA_EXPECTS(srcs.size() == 1, argument, "layer '", core::escaped(path), "' takes one input, got ", srcs.size());
    return srcs[0];
  };
  // Floating-point work happens in the layer's compute type; layers that only move data keep theirs.
  const auto in_compute = [&] { return cast(one(), compute(spec), path); };
  return std::visit(
      [&](const auto& params) -> std::vector<int> {
        using P = std::decay_t<decltype(params)>;
        if constexpr (std::is_same_v<P, core::InputParams>) return {one()};
        if constexpr (std::is_same_v<P, core::DenseParams>) return {dense(spec, params, in_compute())};
        if constexpr (std::is_same_v<P, core::ActivationParams>)
          return {activation(path, params.activation, params.axes, in_compute())};
        if constexpr (std::is_same_v<P, core::PReluParams>) return {prelu(spec, in_compute())};
        if constexpr (std::is_same_v<P, core::IdentityParams>) return {in_compute()};
        if constexpr (std::is_same_v<P, core::FlattenParams>) return {flatten(spec, params, in_compute())};
        if constexpr (std::is_same_v<P, core::ReshapeParams>) return {reshape(spec, params, in_compute())};
        if constexpr (std::is_same_v<P, core::BatchNormalizationParams>) return {batch_normalization(spec, params, in_compute())};
        if constexpr (std::is_same_v<P, core::LayerNormalizationParams>) return {layer_normalization(spec, params, in_compute())};
        if constexpr (std::is_same_v<P, core::RescalingParams>) return {rescaling(spec, params, in_compute())};
        if constexpr (std::is_same_v<P, core::NormalizationParams>) return {normalization(spec, params, in_compute())};
        if constexpr (std::is_same_v<P, core::MergeParams>) return {merge(spec, params, srcs)};
        if constexpr (std::is_same_v<P, core::ConcatenateParams>) return {concatenate(spec, params, srcs)};
        if constexpr (std::is_same_v<P, core::NestedParams>) return model(*params.model, srcs);
      },
      spec.params);
}

}  // namespace lamella::model
