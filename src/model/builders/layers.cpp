// SPDX-License-Identifier: Apache-2.0
// Converts the arguments of each layer to its Keras config. Keys that only some versions of Keras 3 have are omitted if they have
// the default value.
#include <lamella/layers.hpp>

#include "model/builders/arguments.hpp"

namespace lamella {

ActivationArgument::ActivationArgument(const char* keras_name) : name(core::not_null(keras_name, "activation")) {}

namespace {

using model::activation_config;
using model::base_config;
using model::Config;
using model::initializer_config;
using model::list_or_one;
using model::make_layer;
using model::object_or_null;
using model::or_null;
using model::shape_or_null;
using model::with;

double rate_of(const char* where, const char* argument, double value) {
  LAMELLA_EXPECTS(value >= 0 && value <= 1, value, "[{}] {}: got {:g}, allowed 0..1", where, argument, value);
  return value;
}

template <typename Options>
Config noise_config(const char* where, const char* argument, double value, const Options& options) {
  Config config = base_config(options);
  config[argument] = rate_of(where, argument, value);
  config["seed"] = or_null(options.seed);
  return config;
}

Config dropout_config(const char* where, double rate, const DropoutOptions& options) {
  Config config = noise_config(where, "rate", rate, options);
  config["noise_shape"] = shape_or_null(options.noise_shape);
  return config;
}

/// Shared by the normalizations with gamma and beta.
template <typename Options>
void add_gamma_beta(const char* where, const Options& o, Config& config) {
  config["beta_initializer"] = initializer_config(where, o.beta_initializer);
  config["gamma_initializer"] = initializer_config(where, o.gamma_initializer);
  config["beta_regularizer"] = object_or_null(where, o.beta_regularizer);
  config["gamma_regularizer"] = object_or_null(where, o.gamma_regularizer);
  config["beta_constraint"] = object_or_null(where, o.beta_constraint);
  config["gamma_constraint"] = object_or_null(where, o.gamma_constraint);
}

Config dense_config(std::int64_t units, const DenseOptions& o) {
  Config config = base_config(o);
  if (!o.activity_regularizer.empty()) config["activity_regularizer"] = object_or_null("Dense", o.activity_regularizer);
  config["units"] = units;
  config["activation"] = activation_config("Dense", o.activation, o.dtype);
  config["use_bias"] = o.use_bias;
  config["kernel_initializer"] = initializer_config("Dense", o.kernel_initializer);
  config["bias_initializer"] = initializer_config("Dense", o.bias_initializer);
  config["kernel_regularizer"] = object_or_null("Dense", o.kernel_regularizer);
  config["bias_regularizer"] = object_or_null("Dense", o.bias_regularizer);
  config["kernel_constraint"] = object_or_null("Dense", o.kernel_constraint);
  config["bias_constraint"] = object_or_null("Dense", o.bias_constraint);
  return config;
}

Config prelu_config(const PReLUOptions& o) {
  Config config = base_config(o);
  config["alpha_initializer"] = initializer_config("PReLU", o.alpha_initializer);
  config["alpha_regularizer"] = object_or_null("PReLU", o.alpha_regularizer);
  config["alpha_constraint"] = object_or_null("PReLU", o.alpha_constraint);
  config["shared_axes"] = o.shared_axes.empty() ? Config() : Config(o.shared_axes);
  return config;
}

Config batch_normalization_config(const BatchNormalizationOptions& o) {
  Config config = base_config(o);
  config.update({{"axis", o.axis}, {"momentum", o.momentum}, {"epsilon", o.epsilon}, {"center", o.center}, {"scale", o.scale}});
  add_gamma_beta("BatchNormalization", o, config);
  config["moving_mean_initializer"] = initializer_config("BatchNormalization", o.moving_mean_initializer);
  config["moving_variance_initializer"] = initializer_config("BatchNormalization", o.moving_variance_initializer);
  config["synchronized"] = o.synchronized;
  return config;
}

Config layer_normalization_config(const LayerNormalizationOptions& o) {
  LAMELLA_EXPECTS(!o.axis.values.empty(), value, "[LayerNormalization] axis: got none, allowed an axis or a list of axes");
  Config config = base_config(o);
  config.update({{"axis", list_or_one(o.axis)}, {"epsilon", o.epsilon}, {"center", o.center}, {"scale", o.scale}});
  add_gamma_beta("LayerNormalization", o, config);
  return config;
}

Config group_normalization_config(const GroupNormalizationOptions& o) {
  Config config = base_config(o);
  config.update({{"groups", o.groups}, {"axis", o.axis}, {"epsilon", o.epsilon}, {"center", o.center}, {"scale", o.scale}});
  add_gamma_beta("GroupNormalization", o, config);
  return config;
}

Config normalization_config(const NormalizationOptions& o) {
  LAMELLA_EXPECTS(!o.mean.values.empty() && !o.variance.values.empty(), argument,
                  "[Normalization] mean and variance: got {} and {} numbers, allowed 1.. each: there is no adapt()",
                  o.mean.values.size(), o.variance.values.size());
  Config config = base_config(o);
  config.update(
      {{"axis", o.axis.values}, {"invert", o.invert}, {"mean", list_or_one(o.mean)}, {"variance", list_or_one(o.variance)}});
  return config;
}

std::shared_ptr<model::LayerState> plain(const char* class_name, const LayerOptions& options) {
  return make_layer(class_name, options.name, base_config(options));
}

/// Here Keras' own constructors take no `trainable`, and their configs hold a name as the dtype.
Config spatial_config(const char* where, double rate, const SpatialDropoutOptions& options) {
  return {{"rate", rate_of(where, "rate", rate)}, {"seed", or_null(options.seed)}, {"dtype", options.dtype}};
}

Config image_config(const char* where, double rate, const SpatialDropoutOptions& options) {
  Config config = spatial_config(where, rate, options);
  config["data_format"] = "channels_last";
  return config;
}

}  // namespace

KerasTensor Input(const std::vector<std::int64_t>& shape, const InputOptions& options) {
  std::vector<std::int64_t> batch_shape = shape;
  batch_shape.insert(batch_shape.begin(), -1);
  const auto layer = make_layer("InputLayer", options.name,
                                {{"batch_shape", shape_or_null(batch_shape)}, {"dtype", options.dtype}, {"sparse", false}});
  return core::Access::tensor(model::call_of(layer, {}), 0);
}

Dense::Dense(std::int64_t units, const DenseOptions& options)
    : Layer(make_layer("Dense", options.name, dense_config(units, options),
                       {{"kernel", options.kernel_initializer}, {"bias", options.bias_initializer}},
                       options.activation.layer ? core::Access::state(*options.activation.layer) : nullptr)) {}

Activation::Activation(const ActivationArgument& activation, const LayerOptions& options)
    : Layer(make_layer("Activation", options.name,
                       with(options, {{"activation", activation_config("Activation", activation, options.dtype)}}))) {}

ReLU::ReLU(const ReLUOptions& options)
    : Layer(make_layer("ReLU", options.name,
                       with(options, {{"max_value", or_null(options.max_value)},
                                      {"negative_slope", options.negative_slope},
                                      {"threshold", options.threshold}}))) {}

LeakyReLU::LeakyReLU(const LeakyReLUOptions& options)
    : Layer(make_layer("LeakyReLU", options.name, with(options, {{"negative_slope", options.negative_slope}}))) {}

PReLU::PReLU(const PReLUOptions& options)
    : Layer(make_layer("PReLU", options.name, prelu_config(options), {{"alpha", options.alpha_initializer}})) {}

ELU::ELU(const ELUOptions& options) : Layer(make_layer("ELU", options.name, with(options, {{"alpha", options.alpha}}))) {}

Softmax::Softmax(const SoftmaxOptions& options)
    : Layer(make_layer("Softmax", options.name, with(options, {{"axis", list_or_one(options.axis)}}))) {}

ThresholdedReLU::ThresholdedReLU(const ThresholdedReLUOptions& options)
    : Layer(make_layer("ThresholdedReLU", options.name, with(options, {{"theta", options.theta}}))) {}

Dropout::Dropout(double rate, const DropoutOptions& options)
    : Layer(make_layer("Dropout", options.name, dropout_config("Dropout", rate, options))) {}

AlphaDropout::AlphaDropout(double rate, const DropoutOptions& options)
    : Layer(make_layer("AlphaDropout", options.name, dropout_config("AlphaDropout", rate, options))) {}

GaussianDropout::GaussianDropout(double rate, const NoiseOptions& options)
    : Layer(make_layer("GaussianDropout", options.name, noise_config("GaussianDropout", "rate", rate, options))) {}

GaussianNoise::GaussianNoise(double stddev, const NoiseOptions& options)
    : Layer(make_layer("GaussianNoise", options.name, noise_config("GaussianNoise", "stddev", stddev, options))) {}

SpatialDropout1D::SpatialDropout1D(double rate, const SpatialDropoutOptions& options)
    : Layer(make_layer("SpatialDropout1D", options.name, spatial_config("SpatialDropout1D", rate, options))) {}
SpatialDropout2D::SpatialDropout2D(double rate, const SpatialDropoutOptions& options)
    : Layer(make_layer("SpatialDropout2D", options.name, image_config("SpatialDropout2D", rate, options))) {}
SpatialDropout3D::SpatialDropout3D(double rate, const SpatialDropoutOptions& options)
    : Layer(make_layer("SpatialDropout3D", options.name, image_config("SpatialDropout3D", rate, options))) {}

ActivityRegularization::ActivityRegularization(const ActivityRegularizationOptions& options)
    : Layer(make_layer("ActivityRegularization", options.name, with(options, {{"l1", options.l1}, {"l2", options.l2}}))) {}

Identity::Identity(const LayerOptions& options) : Layer(plain("Identity", options)) {}

Flatten::Flatten(const FlattenOptions& options)
    : Layer(make_layer("Flatten", options.name, with(options, {{"data_format", options.data_format}}))) {}

Reshape::Reshape(const std::vector<std::int64_t>& target_shape, const LayerOptions& options)
    : Layer(make_layer("Reshape", options.name, with(options, {{"target_shape", target_shape}}))) {}

Permute::Permute(const std::vector<int>& dims, const LayerOptions& options)
    : Layer(make_layer("Permute", options.name, with(options, {{"dims", dims}}))) {}

RepeatVector::RepeatVector(std::int64_t n, const LayerOptions& options)
    : Layer(make_layer("RepeatVector", options.name, with(options, {{"n", n}}))) {}

Masking::Masking(const MaskingOptions& options)
    : Layer(make_layer("Masking", options.name, with(options, {{"mask_value", options.mask_value}}))) {}

BatchNormalization::BatchNormalization(const BatchNormalizationOptions& options)
    : Layer(make_layer("BatchNormalization", options.name, batch_normalization_config(options),
                       {{"gamma", options.gamma_initializer},
                        {"beta", options.beta_initializer},
                        {"moving_mean", options.moving_mean_initializer},
                        {"moving_variance", options.moving_variance_initializer}})) {}

LayerNormalization::LayerNormalization(const LayerNormalizationOptions& options)
    : Layer(make_layer("LayerNormalization", options.name, layer_normalization_config(options),
                       {{"gamma", options.gamma_initializer}, {"beta", options.beta_initializer}})) {}

RMSNormalization::RMSNormalization(const RMSNormalizationOptions& options)
    : Layer(make_layer("RMSNormalization", options.name,
                       with(options, {{"axis", list_or_one(options.axis)}, {"epsilon", options.epsilon}}),
                       {{"scale", Initializer::ones()}})) {}

UnitNormalization::UnitNormalization(const UnitNormalizationOptions& options)
    : Layer(make_layer("UnitNormalization", options.name, with(options, {{"axis", list_or_one(options.axis)}}))) {}

GroupNormalization::GroupNormalization(const GroupNormalizationOptions& options)
    : Layer(make_layer("GroupNormalization", options.name, group_normalization_config(options),
                       {{"gamma", options.gamma_initializer}, {"beta", options.beta_initializer}})) {}

Rescaling::Rescaling(const OneOrMany<double>& scale, const RescalingOptions& options)
    : Layer(make_layer("Rescaling", options.name,
                       with(options, {{"scale", list_or_one(scale)}, {"offset", list_or_one(options.offset)}}))) {}

Normalization::Normalization(const NormalizationOptions& options)
    : Layer(make_layer("Normalization", options.name, normalization_config(options))) {}

Add::Add(const LayerOptions& options) : Layer(plain("Add", options)) {}
Subtract::Subtract(const LayerOptions& options) : Layer(plain("Subtract", options)) {}
Multiply::Multiply(const LayerOptions& options) : Layer(plain("Multiply", options)) {}
Average::Average(const LayerOptions& options) : Layer(plain("Average", options)) {}
Maximum::Maximum(const LayerOptions& options) : Layer(plain("Maximum", options)) {}
Minimum::Minimum(const LayerOptions& options) : Layer(plain("Minimum", options)) {}

Concatenate::Concatenate(const ConcatenateOptions& options)
    : Layer(make_layer("Concatenate", options.name, with(options, {{"axis", options.axis}}))) {}

}  // namespace lamella
