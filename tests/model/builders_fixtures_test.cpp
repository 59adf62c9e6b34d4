// SPDX-License-Identifier: Apache-2.0
// Models that Keras saved, rebuilt in C++ as in tests/fixtures/cases_*.py: with the file's weights they are the same program.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <lamella/feature_layers.hpp>
#include <lamella/models.hpp>
#include <lamella/npy.hpp>
#include <lamella/product_layers.hpp>
#include <nlohmann/json.hpp>

namespace lamella {
namespace {

using Json = nlohmann::json;

/// A model with one output per layer, all layers on the same input.
Network branches(const std::vector<std::int64_t>& shape, const std::vector<Layer>& layers) {
  const auto x = Input(shape);
  std::vector<KerasTensor> outputs;
  for (const Layer& layer : layers) outputs.push_back(layer(x));
  return Functional({x}, outputs);
}

Network residual() {
  const auto x = Input({6});
  auto h = x;
  for (int i = 0; i < 3; ++i) h = Add()({h, Dense(6, {.activation = "tanh"})(h)});
  return Functional(x, Dense(2)(h));
}

Network shared_dense() {
  const auto a = Input({4}, {.name = "left"});
  const auto b = Input({4}, {.name = "right"});
  const Dense shared(5, {.activation = "tanh", .name = "shared"});
  return Functional({a, b}, Subtract()({shared(a), shared(b)}));
}

Network shared_others() {
  const auto x = Input({5});
  const PReLU act({.name = "one_alpha"});
  const BatchNormalization bn({.name = "one_bn"});
  const Dense dense(5);
  return Functional(x, {act(bn(dense(x))), bn(act(x))});
}

Network several_inputs_outputs() {
  const auto a = Input({3}, {.name = "z_first"});
  const auto b = Input({4}, {.name = "a_second"});
  const auto h = Concatenate()({a, b});
  return Functional({a, b}, {Dense(2, {.name = "z_out"})(h), Dense(3, {.name = "a_out"})(h), h});
}

Network none_inner_dim() {
  const auto x = Input({-1, 8});
  return Functional(x, Dense(3)(LayerNormalization()(Dense(5, {.activation = "relu"})(x))));
}

Sequential inner_sequential() {
  return Sequential({Input({6}), Dense(5, {.activation = "relu"}), BatchNormalization(), Dense(4)});
}

Functional inner_functional(const std::string& name) {
  const auto x = Input({6});
  return Functional(x, Add()({Dense(6, {.activation = "tanh"})(x), x}), {.name = name});
}

Network nested_shared() {
  const Functional block = inner_functional("block");
  const auto x = Input({6});
  return Functional(x, block(Activation("relu")(block(block(x)))));
}

Network nested_several_outputs() {
  const auto p = Input({3});
  const auto q = Input({4});
  const auto h = Concatenate()({p, q});
  const Functional two({p, q}, {Dense(3)(h), Dense(2)(h)}, {.name = "two"});
  const auto a = Input({3}, {.name = "a"});
  const auto b = Input({4}, {.name = "b"});
  const auto first = two.call({a, b});
  const auto third = two.call({first[0], b});
  return Functional({a, b}, Concatenate()({first[0], first[1], third[0]}));
}

Network nested_deeply() {
  const Sequential deep({Input({6}), Dense(6), inner_functional("inner")});
  const auto inside = Input({6});
  const Functional middle(inside, deep(inside), {.name = "middle"});
  const auto x = Input({6});
  return Functional(x, Dense(2)(middle(x)));
}

Network policy_per_layer() {
  return Sequential({Input({6}), Dense(8, {.activation = "tanh", .dtype = "float16"}),
                     Dense(6, {.activation = "relu", .dtype = "mixed_bfloat16"}), Dense(5), Activation("softmax")});
}

Network time_distributed() {
  const auto x = Input({3});
  const auto turned = Reshape({3})(Permute({2, 1})(Reshape({3, 1})(x)));
  const Functional residual(x, Concatenate()({Add()({x, Dense(3)(x)}), turned}), {.name = "residual"});
  const Sequential tower({Input({3}), Dense(4, {.activation = "relu"}), BatchNormalization(), Dense(2)}, {.name = "tower"});
  return branches({5, 3}, {TimeDistributed(Dense(4)), TimeDistributed(Dense(5, {.activation = "softmax"})),
                           TimeDistributed(BatchNormalization()), TimeDistributed(LayerNormalization()), TimeDistributed(PReLU()),
                           TimeDistributed(Dropout(0.5)), TimeDistributed(tower), TimeDistributed(residual)});
}

Network einsum_dense_rank3() {
  using E = EinsumDense;
  return branches({4, 6},
                  {E("abc,cd->abd", {-1, 5}, {.bias_axes = "d"}), E("abc,cd->abd", {4, 5}, {.bias_axes = "bd"}),
                   E("abc,cd->abd", {4, 5}, {.bias_axes = "b"}), E("abc,bd->acd", {6, 3}, {.bias_axes = "c"}),
                   E("abc,bd->adc", {3, 6}, {.activation = "tanh", .bias_axes = "d"}), E("abc,cbd->ad", 7, {.bias_axes = "d"}),
                   E("abc,cde->abde", {-1, 2, 3}, {.bias_axes = "de"}), E("abc,cde->abed", {4, 3, 2}, {.bias_axes = "e"}),
                   E("...bc,cd->...bd", {4, 5}, {.bias_axes = "b"}), E("ab...,bc->ac...", 3, {.bias_axes = "c"}),
                   E("abc,dc->abd", {4, 5}), E("abc,cd->abd", {4, 5}, {.activation = "softmax", .bias_axes = "d"})});
}

Network dot_vectors() {
  const auto a = Input({6}, {.name = "a"});
  const auto b = Input({6}, {.name = "b"});
  return Functional({a, b}, {Dot(1)({a, b}), Dot(-1, {.normalize = true})({a, b})});
}

/// The same for an input of integers.
Network integer_branches(const std::vector<std::int64_t>& shape, const std::vector<Layer>& layers) {
  const auto x = Input(shape, {.dtype = "int64"});
  std::vector<KerasTensor> outputs;
  for (const Layer& layer : layers) outputs.push_back(layer(x));
  return Functional({x}, outputs);
}

Network integer_lookups() {
  const std::vector<std::int64_t> words{9, 3, 7, std::int64_t{1} << 40, 12, -5};
  return integer_branches({4}, {IntegerLookup(words), IntegerLookup(words, {.mask_token = 0}),
                                IntegerLookup(words, {.num_oov_indices = 3, .mask_token = 0}),
                                IntegerLookup({9, 3, 7}, {.max_tokens = 4}), IntegerLookup(words, {.oov_token = -9})});
}

Network hashings() {
  std::vector<Layer> layers;
  for (const std::int64_t bins : {1, 2, 10}) {
    layers.emplace_back(Hashing(bins));
    layers.emplace_back(Hashing(bins, {.salt = {5}}));
    layers.emplace_back(Hashing(bins, {.mask_value = 7}));
    layers.emplace_back(Hashing(bins, {.mask_value = 3, .salt = {1, std::uint64_t{1} << 62U}}));
  }
  return integer_branches({4}, layers);
}

struct Case {
  std::string name;
  std::function<Network()> build;
};

std::vector<Case> stacks_and_branches() {
  return {
      {"dense_chain",
       [] {
         return Sequential({Input({17}), Dense(33, {.activation = "relu"}), Dense(31, {.activation = "tanh"}), Dense(1),
                            Dense(10, {.activation = "softmax"})});
       }},
      {"dense_then_activation",
       [] {
         return Sequential({Input({17}), Dense(33), Activation("relu"), Dense(31), Activation("gelu"), Dense(3)});
       }},
      {"dense_batch_normalization",
       [] {
         return Sequential({Input({9}), Dense(8), BatchNormalization(), Activation("relu"), Dense(7, {.activation = "tanh"}),
                            BatchNormalization(), Dense(3)});
       }},
      {"dense_glu",
       [] {
         return Sequential({Input({6}), Dense(8, {.activation = "glu"})});
       }},
      {"prelu_between_dense",
       [] {
         return Sequential({Input({6}), Dense(9), PReLU(), Dense(4), PReLU({.shared_axes = {1}})});
       }},
      {"prelu_shared",
       [] {
         return branches({4, 3, 5}, {PReLU(), PReLU({.shared_axes = {1}}), PReLU({.shared_axes = {1, 2}}),
                                     PReLU({.shared_axes = {3}}), PReLU({.shared_axes = {1, 2, 3}})});
       }},
      {"softmax_axes",
       [] {
         return branches({4, 3, 5},
                         {Softmax(), Softmax({.axis = 1}), Softmax({.axis = 2}), Softmax({.axis = -2}), Softmax({.axis = {1, 2}}),
                          Softmax({.axis = {-1, -3}}), Softmax({.axis = {1, 2, 3}}), Softmax({.axis = {-1}})});
       }},
      {"layer_normalization",
       [] {
         return branches({4, 6}, {LayerNormalization(), LayerNormalization({.axis = 1}), LayerNormalization({.axis = {1, 2}}),
                                  LayerNormalization({.center = false}), LayerNormalization({.scale = false}),
                                  LayerNormalization({.center = false, .scale = false}), LayerNormalization({.epsilon = 0.1}),
                                  LayerNormalization({.axis = {2, 1}})});
       }},
      {"rescaling",
       [] {
         return branches({3}, {Rescaling(1 / 255.0), Rescaling(2.0, {.offset = -1.0}),
                               Rescaling({1.0, 2.0, -3.0}, {.offset = {0.5, 0.0, 1.0}}), Rescaling({0.5, 2.0, 4.0})});
       }},
      {"normalization_given",
       [] {
         return branches({4, 3}, {Normalization({.mean = {1.0, 2.0, -1.0}, .variance = {4.0, 0.25, 0.0}}),
                                  Normalization({.axis = {}, .mean = 0.5, .variance = 2.0}),
                                  Normalization({.mean = {1.0, 2.0, -1.0}, .variance = {4.0, 0.25, 1.0}, .invert = true})});
       }},
  };
}

std::vector<Case> graphs_and_others() {
  return {
      {"residual", residual},
      {"shared_dense", shared_dense},
      {"shared_others", shared_others},
      {"several_inputs_outputs", several_inputs_outputs},
      {"none_inner_dim", none_inner_dim},
      {"sequential_in_sequential",
       [] {
         return Sequential({Input({6}), inner_sequential(), Dense(6), inner_sequential(), Dense(2)});
       }},
      {"functional_in_sequential",
       [] {
         return Sequential({Input({6}), Dense(6), inner_functional("block"), Dense(2)});
       }},
      {"nested_shared", nested_shared},
      {"nested_several_outputs", nested_several_outputs},
      {"nested_deeply", nested_deeply},
      {"policy_per_layer", policy_per_layer},
      {"rms_normalization",
       [] {
         return branches({4, 6}, {RMSNormalization(), RMSNormalization({.axis = {1, 2}}), RMSNormalization({.epsilon = 0.1})});
       }},
      {"unit_normalization",
       [] {
         return branches({4, 6}, {UnitNormalization(), UnitNormalization({.axis = 1}), UnitNormalization({.axis = {1, 2}})});
       }},
      {"group_normalization_rank4",
       [] {
         return branches({2, 3, 4}, {GroupNormalization({.groups = 2}), GroupNormalization({.groups = 2, .axis = 1})});
       }},
      {"permute_then_dense",
       [] {
         return Sequential({Input({3, 4}), Permute({2, 1}), Dense(5), Flatten(), Dense(2)});
       }},
      {"repeat_vector",
       [] {
         return Sequential({Input({4}), Dense(3), RepeatVector(5), Dense(2)});
       }},
      {"time_distributed", time_distributed},
      {"time_distributed_none",
       [] {
         return Sequential({Input({-1, 3}), TimeDistributed(Dense(4, {.activation = "tanh"})), TimeDistributed(Dense(2))});
       }},
      {"einsum_dense_rank3", einsum_dense_rank3},
      {"dot_vectors", dot_vectors},
      {"learnt_lookup", integer_lookups},
      {"learnt_lookup_inverse",
       [] {
         const std::vector<std::int64_t> words{9, 3, 7, std::int64_t{1} << 40, 12, -5};
         return integer_branches(
             {4}, {IntegerLookup(words, {.invert = true}), IntegerLookup(words, {.mask_token = 0, .invert = true})});
       }},
      {"hashing_bins", hashings},
      {"hashing_one_hot",
       [] {
         return Sequential({Input({1}, {.dtype = "int64"}), Hashing(5, {.output_mode = "one_hot"})});
       }},
  };
}

std::vector<Case> cases() {
  std::vector<Case> all = stacks_and_branches();
  for (Case& one : graphs_and_others()) all.push_back(std::move(one));
  return all;
}

Json entry_of(const std::string& name) {
  for (const std::string group : {"keras3", "keras3-more", "features/keras3-tensorflow"}) {
    std::ifstream file(std::string(LAMELLA_FIXTURES) + "/" + group + "/index.json");
    for (Json entry : Json::parse(file)) {
      if (entry.at("case") != name) continue;
      entry["folder"] = std::string(LAMELLA_FIXTURES) + "/" + group + "/";
      return entry;
    }
  }
  throw std::runtime_error("no fixture is called " + name);
}

/// The file's weights in the order of Keras' get_weights(), without those of Normalization, which are arguments of the layer.
std::vector<TensorView> weights_of(const Model& model) {
  std::vector<TensorView> weights;
  for (const LayerInfo& layer : model.layers()) {
    if (layer.class_name == "Normalization") continue;
    for (const auto& [name, view] : layer.weights) weights.push_back(view);
  }
  return weights;
}

void PrintTo(const Case& tested, std::ostream* out) { *out << tested.name; }

class EachBuilt : public ::testing::TestWithParam<Case> {};

TEST_P(EachBuilt, WithTheFilesWeightsGivesTheFilesBits) {
  const Json entry = entry_of(GetParam().name);
  const std::string folder = entry.at("folder").get<std::string>();
  const Options options{.device = Device::cpu(), .threads = 1};
  const Model loaded = Model::load(folder + entry.at("file").get<std::string>(), options);
  Network network = GetParam().build();
  network.set_weights(weights_of(loaded));
  const Model built = network.compile(options);
  EXPECT_EQ(built.input_names().size(), loaded.input_names().size());
  EXPECT_EQ(built.count_params(), loaded.count_params());
  std::vector<Tensor> inputs;
  std::vector<TensorView> views;
  auto arrays = load_npz(folder + entry.at("arrays").get<std::string>());
  for (const std::string& name : loaded.input_names()) {
    const Json& keys = entry.at("inputs");
    inputs.push_back(std::move(arrays.at((keys.size() == 1 ? *keys.begin() : keys.at(name)).get<std::string>())));
  }
  for (const Tensor& input : inputs) views.emplace_back(input);
  const std::vector<Tensor> wanted = loaded.predict(views);
  const std::vector<Tensor> found = built.predict(views);
  ASSERT_EQ(found.size(), wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    ASSERT_EQ(to_string(found[i].shape()), to_string(wanted[i].shape()));
    ASSERT_EQ(found[i].dtype(), wanted[i].dtype());
    EXPECT_EQ(std::memcmp(found[i].data(), wanted[i].data(), wanted[i].bytes()), 0) << "output " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, EachBuilt, ::testing::ValuesIn(cases()), [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace lamella
