// SPDX-License-Identifier: Apache-2.0
// EinsumDense, Dot and TimeDistributed as Keras configs.
#include <lamella/product_layers.hpp>

#include "model/builders/arguments.hpp"

namespace lamella {
namespace {

using model::Config;

Config einsum_config(std::string_view equation, const OneOrMany<std::int64_t>& output_shape, const EinsumDenseOptions& o) {
  Config config = model::base_config(o);
  config["output_shape"] = output_shape.list || output_shape.values.size() != 1 ? model::shape_or_null(output_shape.values)
                                                                                : Config::array({output_shape.values[0]});
  config["equation"] = equation;
  config["activation"] = model::activation_config("EinsumDense", o.activation, o.dtype);
  config["bias_axes"] = o.bias_axes.empty() ? Config() : Config(o.bias_axes);
  config["kernel_initializer"] = model::initializer_config("EinsumDense", o.kernel_initializer);
  config["bias_initializer"] = model::initializer_config("EinsumDense", o.bias_initializer);
  config["kernel_regularizer"] = model::object_or_null("EinsumDense", o.kernel_regularizer);
  config["bias_regularizer"] = model::object_or_null("EinsumDense", o.bias_regularizer);
  config["activity_regularizer"] = model::object_or_null("EinsumDense", o.activity_regularizer);
  config["kernel_constraint"] = model::object_or_null("EinsumDense", o.kernel_constraint);
  config["bias_constraint"] = model::object_or_null("EinsumDense", o.bias_constraint);
  return config;
}

Config embedding_config(std::int64_t input_dim, std::int64_t output_dim, const EmbeddingOptions& o) {
  Config config = model::base_config(o);
  config["input_dim"] = input_dim;
  config["output_dim"] = output_dim;
  config["embeddings_initializer"] = model::initializer_config("Embedding", o.embeddings_initializer);
  config["embeddings_regularizer"] = model::object_or_null("Embedding", o.embeddings_regularizer);
  config["activity_regularizer"] = Config();
  config["embeddings_constraint"] = model::object_or_null("Embedding", o.embeddings_constraint);
  config["mask_zero"] = o.mask_zero;
  return config;
}

}  // namespace

EinsumDense::EinsumDense(std::string_view equation, const OneOrMany<std::int64_t>& output_shape,
                         const EinsumDenseOptions& options)
    : Layer(model::make_layer("EinsumDense", options.name, einsum_config(equation, output_shape, options),
                              {{"kernel", options.kernel_initializer}, {"bias", options.bias_initializer}},
                              options.activation.layer ? core::Access::state(*options.activation.layer) : nullptr)) {}

Embedding::Embedding(std::int64_t input_dim, std::int64_t output_dim, const EmbeddingOptions& options)
    : Layer(model::make_layer("Embedding", options.name, embedding_config(input_dim, output_dim, options),
                              {{"embeddings", options.embeddings_initializer}})) {}

Dot::Dot(const OneOrMany<int>& axes, const DotOptions& options)
    : Layer(model::make_layer("Dot", options.name,
                              model::with(options, {{"axes", model::list_or_one(axes)}, {"normalize", options.normalize}}))) {}

TimeDistributed::TimeDistributed(const Layer& layer, const LayerOptions& options)
    : Layer(model::make_layer("TimeDistributed", options.name, model::base_config(options), {}, core::Access::state(layer))) {}

}  // namespace lamella
