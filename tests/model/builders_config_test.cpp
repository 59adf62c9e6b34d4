// SPDX-License-Identifier: Apache-2.0
// Compares the configs of layers and models built here with those of Keras, written by tests/conformance/builders.py.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <lamella/feature_layers.hpp>
#include <lamella/models.hpp>
#include <lamella/product_layers.hpp>
#include <nlohmann/json.hpp>

#include "keras/reading.hpp"
#include "keras/stored.hpp"
#include "model/builders/state.hpp"

namespace lamella {
namespace {

using Json = nlohmann::json;
using Cases = std::map<std::string, std::function<Layer()>>;

const char* const kL2 =
    R"({"module": "keras.regularizers", "class_name": "L2", "config": {"l2": 0.25}, "registered_name": null})";
const char* const kNonNeg = R"({"module": "keras.constraints", "class_name": "NonNeg", "config": {}, "registered_name": null})";

Initializer he_normal(std::uint64_t seed) {
  Initializer initializer = Initializer::he_normal();
  initializer.seed = seed;
  return initializer;
}

BatchNormalization batch_normalization_all() {
  return BatchNormalization({.axis = 1,
                             .momentum = 0.5,
                             .epsilon = 0.25,
                             .center = false,
                             .scale = false,
                             .beta_initializer = "ones",
                             .gamma_initializer = "zeros",
                             .moving_mean_initializer = "ones",
                             .moving_variance_initializer = "zeros",
                             .beta_regularizer = kL2,
                             .gamma_regularizer = kL2,
                             .beta_constraint = kNonNeg,
                             .gamma_constraint = kNonNeg});
}

Dense dense_all() {
  return Dense(3, {.activation = "tanh",
                   .use_bias = false,
                   .kernel_initializer = he_normal(5),
                   .bias_initializer = Initializer::constant(0.5),
                   .kernel_regularizer = kL2,
                   .bias_regularizer = kL2,
                   .activity_regularizer = kL2,
                   .kernel_constraint = kNonNeg,
                   .bias_constraint = kNonNeg,
                   .name = "fc",
                   .trainable = false,
                   .dtype = "mixed_bfloat16"});
}

GroupNormalization group_normalization_all() {
  return GroupNormalization({.groups = -1,
                             .axis = 1,
                             .epsilon = 0.5,
                             .center = false,
                             .scale = false,
                             .beta_initializer = "ones",
                             .gamma_initializer = "zeros",
                             .beta_regularizer = kL2,
                             .gamma_regularizer = kL2,
                             .beta_constraint = kNonNeg,
                             .gamma_constraint = kNonNeg});
}

EinsumDense einsum_dense_all() {
  return EinsumDense("abc,cde->abde", {-1, 2, 3},
                     {.activation = "tanh",
                      .bias_axes = "de",
                      .kernel_initializer = he_normal(5),
                      .bias_initializer = "ones",
                      .kernel_regularizer = kL2,
                      .bias_regularizer = kL2,
                      .activity_regularizer = kL2,
                      .kernel_constraint = kNonNeg,
                      .bias_constraint = kNonNeg});
}

Cases dense_and_activations() {
  return {
      {"input", [] { return Input({8}); }},
      {"input_all",
       [] {
         return Input({-1, 3}, {.name = "x", .dtype = "float16"});
       }},
      {"dense", [] { return Dense(4); }},
      {"dense_all", dense_all},
      {"dense_leaky_relu", [] { return Dense(3, {.activation = LeakyReLU({.negative_slope = 0.1, .name = "leaky"})}); }},
      {"dense_prelu", [] { return Dense(3, {.activation = PReLU({.name = "alpha"})}); }},
      {"relu", [] { return ReLU(); }},
      {"relu_all",
       [] {
         return ReLU(
             {.max_value = 6.0, .negative_slope = 0.125, .threshold = 0.5, .name = "r", .trainable = false, .dtype = "float16"});
       }},
      {"leaky_relu", [] { return LeakyReLU(); }},
      {"prelu", [] { return PReLU(); }},
      {"prelu_all",
       [] {
         return PReLU(
             {.alpha_initializer = "he_normal", .alpha_regularizer = kL2, .alpha_constraint = kNonNeg, .shared_axes = {1, 2}});
       }},
      {"elu", [] { return ELU(); }},
      {"softmax", [] { return Softmax(); }},
      {"softmax_axes",
       [] {
         return Softmax({.axis = {1, 2}});
       }},
  };
}

Cases layers_without_numbers() {
  return {
      {"dropout", [] { return Dropout(0.5); }},
      {"dropout_all",
       [] {
         return Dropout(0.25, {.noise_shape = {-1, 1, 3}, .seed = 7});
       }},
      {"alpha_dropout",
       [] {
         return AlphaDropout(0.25, {.noise_shape = {-1, 1}, .seed = 3});
       }},
      {"gaussian_dropout", [] { return GaussianDropout(0.25, {.seed = 3}); }},
      {"gaussian_noise", [] { return GaussianNoise(0.25); }},
      {"spatial_dropout", [] { return SpatialDropout1D(0.25, {.seed = 3}); }},
      {"spatial_dropout2d", [] { return SpatialDropout2D(0.25, {.seed = 3}); }},
      {"spatial_dropout3d", [] { return SpatialDropout3D(0.25); }},
      {"activity_regularization", [] { return ActivityRegularization({.l1 = 0.5, .l2 = 0.25}); }},
      {"identity", [] { return Identity(); }},
      {"flatten", [] { return Flatten(); }},
      {"flatten_first", [] { return Flatten({.data_format = "channels_first"}); }},
      {"reshape",
       [] {
         return Reshape({2, -1});
       }},
      {"permute",
       [] {
         return Permute({2, 1});
       }},
      {"repeat_vector", [] { return RepeatVector(3); }},
      {"masking", [] { return Masking(); }},
      {"masking_value", [] { return Masking({.mask_value = -1.0}); }},
  };
}

Cases normalizations_and_products() {
  return {
      {"rms_normalization", [] { return RMSNormalization(); }},
      {"rms_normalization_axes",
       [] {
         return RMSNormalization({.axis = {1, 2}, .epsilon = 0.5});
       }},
      {"unit_normalization", [] { return UnitNormalization(); }},
      {"unit_normalization_axes",
       [] {
         return UnitNormalization({.axis = {1, 2}});
       }},
      {"group_normalization", [] { return GroupNormalization(); }},
      {"group_normalization_all", group_normalization_all},
      {"einsum_dense", [] { return EinsumDense("ab,bc->ac", 5); }},
      {"einsum_dense_all", einsum_dense_all},
  };
}

Cases pooling_and_lookups() {
  return {
      {"global_average_pooling1d", [] { return GlobalAveragePooling1D(); }},
      {"global_average_pooling1d_all",
       [] { return GlobalAveragePooling1D({.data_format = "channels_first", .keepdims = true}); }},
      {"global_max_pooling1d", [] { return GlobalMaxPooling1D(); }},
      {"global_max_pooling1d_all", [] { return GlobalMaxPooling1D({.data_format = "channels_first", .keepdims = true}); }},
      {"cropping1d", [] { return Cropping1D(); }},
      {"cropping1d_sides",
       [] {
         return Cropping1D({0, 2});
       }},
      {"zero_padding1d", [] { return ZeroPadding1D(); }},
      {"zero_padding1d_sides",
       [] {
         return ZeroPadding1D({0, 2}, {.data_format = "channels_first"});
       }},
      {"category_encoding", [] { return CategoryEncoding(7); }},
      {"category_encoding_count", [] { return CategoryEncoding(7, {.output_mode = "count"}); }},
      {"discretization",
       [] {
         return Discretization({-1.0, 0.5});
       }},
      {"discretization_one_hot",
       [] {
         return Discretization({-1.0, 0.5}, {.output_mode = "one_hot"});
       }},
      {"embedding", [] { return Embedding(7, 3); }},
      {"embedding_all",
       [] {
         return Embedding(7, 3,
                          {.embeddings_initializer = "ones",
                           .embeddings_regularizer = kL2,
                           .embeddings_constraint = kNonNeg,
                           .mask_zero = true});
       }},
      {"dot", [] { return Dot(1); }},
      {"dot_axes",
       [] {
         return Dot({1, 2}, {.normalize = true});
       }},
      {"time_distributed", [] { return TimeDistributed(Dense(2)); }},
  };
}

Cases merges_and_the_rest() {
  return {
      {"batch_normalization", [] { return BatchNormalization(); }},
      {"batch_normalization_all", batch_normalization_all},
      {"layer_normalization", [] { return LayerNormalization(); }},
      {"layer_normalization_axes",
       [] {
         return LayerNormalization({.axis = {1, 2}, .epsilon = 0.5, .center = false});
       }},
      {"rescaling", [] { return Rescaling(0.5); }},
      {"rescaling_lists",
       [] {
         return Rescaling({0.5, 2.0}, {.offset = {1.0, -1.0}});
       }},
      {"normalization",
       [] {
         return Normalization({.mean = {1.0, 2.0}, .variance = {4.0, 0.25}});
       }},
      {"normalization_none", [] { return Normalization({.axis = {}, .mean = 1.0, .variance = 4.0, .invert = true}); }},
      {"add", [] { return Add(); }},
      {"subtract", [] { return Subtract(); }},
      {"multiply", [] { return Multiply(); }},
      {"average", [] { return Average(); }},
      {"maximum", [] { return Maximum(); }},
      {"minimum", [] { return Minimum(); }},
      {"concatenate", [] { return Concatenate(); }},
      {"concatenate_axis", [] { return Concatenate({.axis = 1}); }},
  };
}

Cases layers() {
  Cases cases;
  for (auto* part :
       {dense_and_activations, layers_without_numbers, normalizations_and_products, pooling_and_lookups, merges_and_the_rest}) {
    cases.merge(part());
  }
  for (const std::string_view name : activation_names()) {
    if (name == "threshold") continue;  // its parameters have no defaults
    cases["activation_" + std::string(name)] = [name] { return Activation(name); };
  }
  return cases;
}

Layer functional() {
  const auto a = Input({8});
  const auto b = Input({8}, {.name = "b"});
  const auto unused = Input({2});
  const Dense shared(4);
  const Dense second(4);
  const auto p = second(shared(a));
  const auto q = shared(b);
  const std::vector<KerasTensor> merged{Add()({p, q}),     Subtract()({p, q}), Multiply()({p, q}),
                                        Average()({p, q}), Maximum()({p, q}),  Minimum()({p, q})};
  return Functional({b, unused, a}, {Concatenate()(merged), shared(Concatenate()({p, q})), q});
}

Layer functional_one() {
  const auto x = Input({-1, 4});
  const Dense dense(3);
  return Functional({x}, Flatten()(dense(x)), {.name = "one", .trainable = false});
}

Layer functional_nested() {
  const auto x = Input({4}, {.name = "inner_x"});
  const Functional inner(x, {Dense(4, {.name = "inner_dense"})(x), Softmax({.name = "inner_softmax"})(x)}, {.name = "inner"});
  const Sequential tower({Input({4}, {.name = "tower_x"}), Dense(4, {.name = "tower_dense"})}, {.name = "tower"});
  const auto a = Input({4}, {.name = "a"});
  const auto p = inner.call(a);
  const auto r = inner.call(tower(p[1]));
  return Functional(a, {p[0], tower(r[1]), r[0]}, {.name = "outer"});
}

Layer sequential_nested() {
  const Sequential inner({Dense(4, {.name = "a"}), PReLU({.name = "b"})}, {.name = "inner"});
  return Sequential({Input({8}, {.name = "x"}), inner, Dense(2, {.name = "last"})}, {.name = "outer"});
}

Cases models() {
  return {
      {"sequential",
       [] {
         return Sequential(
             {Input({8}), Dense(4, {.activation = "relu"}), Dropout(0.5), BatchNormalization(), Dense(3), Softmax()});
       }},
      {"sequential_unbuilt",
       [] {
         return Sequential({Dense(4), Dense(2, {.name = "last"}), Dense(2)});
       }},
      {"sequential_nested", sequential_nested},
      {"functional", functional},
      {"functional_one", functional_one},
      {"functional_nested", functional_nested},
  };
}

Json golden(const char* kind) {
  std::ifstream file(std::string(LAMELLA_SOURCE_DIR) + "/tests/model/data/builders.json");
  return Json::parse(file).at(kind);
}

void expect_as_keras(const Cases& cases, const Json& wanted) {
  EXPECT_EQ(cases.size(), wanted.size());
  for (const auto& [name, make] : cases) {
    ASSERT_TRUE(wanted.contains(name)) << name;
    const Json found = Json::parse(make().get_config());
    EXPECT_EQ(found, wanted.at(name)) << name << ": " << Json::diff(wanted.at(name), found).dump();
  }
}

TEST(BuildersConfigTest, EveryLayersConfigIsKerasConfig) { expect_as_keras(layers(), golden("layers")); }

TEST(BuildersConfigTest, EveryModelsConfigIsKerasConfig) { expect_as_keras(models(), golden("models")); }

TEST(BuildersConfigTest, TheLoaderReadsEveryConfigAsWritten) {
  for (const auto& [name, make] : layers()) {
    const Layer layer = make();
    const Json config = Json::parse(layer.get_config());
    keras::Reading reading;
    const auto read =
        keras::read_layer({{"class_name", layer.class_name()}, {"module", "keras.layers"}, {"config", config}}, "x", reading);
    EXPECT_EQ(Json::parse(keras::config_of(*read)), config) << name;
    EXPECT_EQ(read->params.index(), core::Access::state(layer)->prototype->params.index()) << name;
    EXPECT_EQ(read->policy.compute, core::Access::state(layer)->prototype->policy.compute) << name;
  }
}

/// For tests/conformance/builders.py, which lets Keras read these configs.
TEST(BuildersConfigTest, WritesItsConfigsWhereAsked) {
  const char* path = std::getenv("LAMELLA_WRITE_CONFIGS");
  if (path == nullptr) GTEST_SKIP() << "LAMELLA_WRITE_CONFIGS is not set";
  Json entries = Json::array();
  for (const Cases& cases : {layers(), models()}) {
    for (const auto& [name, make] : cases) {
      const Layer layer = make();
      entries.push_back({{"case", name}, {"class_name", layer.class_name()}, {"config", Json::parse(layer.get_config())}});
    }
  }
  std::ofstream file(path);
  file << entries.dump();
  EXPECT_TRUE(file.flush().good());
}

}  // namespace
}  // namespace lamella
