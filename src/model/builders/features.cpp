// SPDX-License-Identifier: Apache-2.0
// Layers of steps, categories and bins as Keras configs.
#include <lamella/feature_layers.hpp>

#include "model/builders/arguments.hpp"

namespace lamella {
namespace {

using model::Config;

Config pooling_config(const GlobalPoolingOptions& o) {
  return model::with(o, {{"data_format", o.data_format}, {"keepdims", o.keepdims}});
}

/// Keras turns one number into a pair.
Config both_sides(const OneOrMany<std::int64_t>& sides) {
  if (sides.values.size() == 1 && !sides.list) return {sides.values[0], sides.values[0]};
  return sides.values;
}

Config discretization_config(const std::vector<double>& bin_boundaries, const DiscretizationOptions& o) {
  LAMELLA_EXPECTS(!bin_boundaries.empty(), argument,
                  "[Discretization] bin_boundaries: got none, allowed 1..: there is no adapt()");
  return {{"bin_boundaries", bin_boundaries}, {"num_bins", nullptr}, {"epsilon", 0.01},
          {"output_mode", o.output_mode},     {"sparse", false},     {"dtype", o.dtype}};
}

Config lookup_config(const std::vector<std::int64_t>& vocabulary, const IntegerLookupOptions& o) {
  Config config = model::with(o, {{"invert", o.invert},
                                  {"max_tokens", model::or_null(o.max_tokens)},
                                  {"num_oov_indices", o.num_oov_indices},
                                  {"oov_token", o.oov_token},
                                  {"mask_token", model::or_null(o.mask_token)},
                                  {"output_mode", o.output_mode},
                                  {"sparse", false},
                                  {"pad_to_max_tokens", o.pad_to_max_tokens},
                                  {"vocabulary_dtype", "int64"},
                                  {"idf_weights", nullptr},
                                  {"vocabulary", vocabulary},
                                  {"oov_method", "floormod"},
                                  {"salt", nullptr}});
  const std::int64_t first = o.num_oov_indices + (o.mask_token && o.output_mode == "int" ? 1 : 0);
  config["vocabulary_size"] = first + static_cast<std::int64_t>(vocabulary.size());
  return config;
}

Config hashing_config(std::int64_t num_bins, HashingOptions o) {
  LAMELLA_EXPECTS(o.salt.size() <= 2, argument, "[Hashing] salt: got {} numbers, allowed 0, 1, 2", o.salt.size());
  if (o.dtype.empty()) o.dtype = o.output_mode == "int" ? "int64" : "float32";
  if (o.salt.size() == 1) o.salt.push_back(o.salt[0]);
  return model::with(o, {{"num_bins", num_bins},
                         {"mask_value", model::or_null(o.mask_value)},
                         {"salt", o.salt.empty() ? Config() : Config(o.salt)},
                         {"output_mode", o.output_mode},
                         {"sparse", false}});
}

}  // namespace

GlobalAveragePooling1D::GlobalAveragePooling1D(const GlobalPoolingOptions& options)
    : Layer(model::make_layer("GlobalAveragePooling1D", options.name, pooling_config(options))) {}
GlobalMaxPooling1D::GlobalMaxPooling1D(const GlobalPoolingOptions& options)
    : Layer(model::make_layer("GlobalMaxPooling1D", options.name, pooling_config(options))) {}

Cropping1D::Cropping1D(const OneOrMany<std::int64_t>& cropping, const LayerOptions& options)
    : Layer(model::make_layer("Cropping1D", options.name, model::with(options, {{"cropping", both_sides(cropping)}}))) {}
ZeroPadding1D::ZeroPadding1D(const OneOrMany<std::int64_t>& padding, const ZeroPaddingOptions& options)
    : Layer(model::make_layer("ZeroPadding1D", options.name,
                              model::with(options, {{"padding", both_sides(padding)}, {"data_format", options.data_format}}))) {}

CategoryEncoding::CategoryEncoding(std::int64_t num_tokens, const CategoryEncodingOptions& options)
    : Layer(model::make_layer("CategoryEncoding", options.name,
                              model::with(options, {{"num_tokens", num_tokens}, {"output_mode", options.output_mode}}))) {}
Discretization::Discretization(const std::vector<double>& bin_boundaries, const DiscretizationOptions& options)
    : Layer(model::make_layer("Discretization", options.name, discretization_config(bin_boundaries, options))) {}

IntegerLookup::IntegerLookup(const std::vector<std::int64_t>& vocabulary, const IntegerLookupOptions& options)
    : Layer(model::make_layer("IntegerLookup", options.name, lookup_config(vocabulary, options))) {}
Hashing::Hashing(std::int64_t num_bins, const HashingOptions& options)
    : Layer(model::make_layer("Hashing", options.name, hashing_config(num_bins, options))) {}

}  // namespace lamella
