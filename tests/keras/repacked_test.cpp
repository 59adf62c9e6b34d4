// SPDX-License-Identifier: Apache-2.0
// Real files rewritten: in another order, at other addresses, without parts that Keras does not need either.
#include <gtest/gtest.h>

#include <lamella/model.hpp>
#include <nlohmann/json.hpp>
#include <set>

#include "keras/load.hpp"
#include "keras/repacked.hpp"

namespace lamella {
namespace {

using Json = nlohmann::json;
using namespace test;

TEST(RepackedModel, LoadsWithItsWeightsAtAnyAddress) {
  // At 512, 1024, 2048 and so on an HDF5 file could begin, after a user block; this is an archive nevertheless.
  const std::string config = member(fixture("dense"), "config.json");
  const std::string weights = member(fixture("dense"), "model.weights.h5");
  for (const std::size_t at : {512U, 1024U, 2048U, 4096U}) {
    const std::size_t heads = (30 + std::string("padding").size()) + (30 + std::string("model.weights.h5").size());
    const TemporaryFile file(
        zip({{"padding", std::string(at - heads, ' ')}, {"model.weights.h5", weights}, {"config.json", config}}));
    EXPECT_EQ(keras::load_model(file.path())->layers.size(), 2U) << "weights at " << at;
  }
}

/// A layer called `count` times in a chain whose calls are listed in reverse: each takes the result of the next one, the last the
/// input.
Json backwards(int count) {
  Json calls = Json::array();
  for (int i = 1; i < count; ++i) calls.push_back(Json::array({Json::array({"a", i, 0})}));
  calls.push_back(Json::array({Json::array({"x", 0, 0})}));
  const Json input{{"class_name", "InputLayer"},
                   {"name", "x"},
                   {"inbound_nodes", Json::array()},
                   {"config", {{"batch_shape", {nullptr, 7}}, {"name", "x"}}}};
  const Json item{
      {"class_name", "Activation"}, {"name", "a"}, {"inbound_nodes", calls}, {"config", {{"name", "a"}, {"activation", "tanh"}}}};
  Json model{{"module", "keras"}, {"class_name", "Functional"}};
  model["config"] = {{"name", "m"}, {"layers", {input, item}}, {"input_layers", {"x", 0, 0}}, {"output_layers", {"a", 0, 0}}};
  return model;
}

TEST(RepackedModel, OfManyCallsInReverseIsSortedQuickly) {
  constexpr int kCalls = 50'000;  // quadratic work would take minutes
  const TemporaryFile file(repacked("dense", backwards(kCalls).dump()));
  const auto spec = keras::load_model(file.path());
  ASSERT_EQ(spec->nodes.size(), kCalls + 1U);
  for (std::size_t n = 1; n < spec->nodes.size(); ++n) {
    ASSERT_EQ(spec->nodes[n].inputs.size(), 1U);
    ASSERT_LT(spec->nodes[n].inputs[0].node, static_cast<int>(n));
  }
  EXPECT_NO_THROW(static_cast<void>(Model::load(file.path(), {.device = Device::cpu()})));
}

TEST(RepackedModel, OfManyOutputsOfOneLayerNamesThemAllDifferently) {
  Json config = backwards(1);
  Json outputs = Json::array();
  for (int i = 0; i < 20'000; ++i) outputs.push_back(Json::array({"a", 0, 0}));
  config["config"]["output_layers"] = outputs;
  const TemporaryFile file(repacked("dense", config.dump()));
  const auto spec = keras::load_model(file.path());
  EXPECT_EQ(std::set<std::string>(spec->output_names.begin(), spec->output_names.end()).size(), 20'000U);
  EXPECT_EQ(spec->output_names[0], "a");
  EXPECT_EQ(spec->output_names[2], "a_2");
}

TEST(RepackedModel, ALayerInTwoModelsHasOneSetOfWeights) {
  const std::string from = "sequential_in_sequential";
  Json config = Json::parse(member(fixture(from), "config.json"));
  for (const std::size_t model : {1U, 3U}) layer(layer(config, model), 1)["shared_object_id"] = 7;
  const TemporaryFile file(repacked(from, config.dump()));
  const auto expect_shared = [&](const core::ModelSpec& spec) {
    const core::ModelSpec* const first = core::nested_model(*spec.layers[1]);
    const core::ModelSpec* const second = core::nested_model(*spec.layers[3]);
    ASSERT_TRUE(first != nullptr && second != nullptr);
    EXPECT_EQ(first->layers[1], second->layers[1]);
    EXPECT_NE(first->layers[3], second->layers[3]);
    ASSERT_EQ(first->layers[1]->weights.size(), 2U);
    const auto original = keras::load_model(fixture(from));
    const auto& wanted = *core::nested_model(*original->layers[1])->layers[1]->weights[0].value;
    const auto found = first->layers[1]->weights[0].value->span<float>();
    EXPECT_TRUE(std::equal(found.begin(), found.end(), wanted.span<float>().begin(), wanted.span<float>().end()));
  };
  const auto spec = keras::load_model(file.path());
  expect_shared(*spec);
  const auto again = std::get<0>(keras::load_weights(*spec, file.path()));
  expect_shared(*again);
  EXPECT_NE(core::nested_model(*again->layers[1])->layers[1], core::nested_model(*spec->layers[1])->layers[1]);
}

TEST(RepackedModel, ALayerInTwoModelsOfALegacyFileKeepsOneSetOfWeights) {
  const std::string path = std::string(LAMELLA_FIXTURES) + "/keras2/h5_layer_shared_between_nested/model.h5";
  const keras::FileBytes original(path);
  std::string bytes(keras::as_text(original.bytes()));
  const std::string from = R"("config": {"name": "common", "trainable": true, "dtype": "float32", )";
  // Keras 2 writes the id where the layer occurs the second time: in the second model.
  std::string into = R"("shared_object_id": 2, "config": {"name": "common", )";
  into.resize(from.size(), ' ');
  ASSERT_NE(bytes.find(from), std::string::npos);
  bytes.replace(bytes.find(from), from.size(), into);
  const TemporaryFile file(bytes, ".h5");
  const auto spec = keras::load_model(file.path());
  const core::ModelSpec* const one = core::nested_model(*spec->layers[1]);
  const core::ModelSpec* const other = core::nested_model(*spec->layers[2]);
  ASSERT_TRUE(one != nullptr && other != nullptr);
  EXPECT_EQ(one->layers[1], other->layers[1]);
  EXPECT_EQ(one->layers[1]->weights.size(), 2U);
}

TEST(RepackedModel, LoadsWithoutMetadata) {
  const TemporaryFile file(zip({{"config.json", member(fixture("dense"), "config.json")},
                                {"model.weights.h5", member(fixture("dense"), "model.weights.h5")}}));
  const auto spec = keras::load_model(file.path());
  ASSERT_EQ(spec->layers.size(), 2U);
  ASSERT_EQ(spec->layers[1]->weights.size(), 2U);
  EXPECT_EQ(spec->layers[1]->weights[0].value->shape(), (Shape{7, 5}));
  EXPECT_EQ(spec->keras_version, "");
}

TEST(RepackedModel, KeepsItsWeightsWhenTheFileIsRemoved) {
  std::shared_ptr<const core::ModelSpec> spec;
  {
    const TemporaryFile file(repacked("dense", member(fixture("dense"), "config.json")));
    spec = keras::load_model(file.path());
  }
  const auto original = keras::load_model(fixture("dense"));
  const auto found = spec->layers[1]->weights[0].value->span<float>();
  const auto wanted = original->layers[1]->weights[0].value->span<float>();
  EXPECT_TRUE(std::equal(found.begin(), found.end(), wanted.begin(), wanted.end()));
}

TEST(RepackedModel, UsesTheHardSigmoidOfItsKeras) {
  Json config = Json::parse(member(fixture("dense"), "config.json"));
  dense(config)["activation"] = "hard_sigmoid";
  const auto kind = [&](const char* version, HardSigmoid option) {
    const TemporaryFile file(zip({{"metadata.json", Json{{"keras_version", version}}.dump()},
                                  {"config.json", config.dump()},
                                  {"model.weights.h5", member(fixture("dense"), "model.weights.h5")}}));
    return std::get<core::DenseParams>(keras::load_model(file.path(), option)->layers[1]->params).activation.kind;
  };
  EXPECT_EQ(kind("2.15.0", HardSigmoid::as_written), ActivationKind::HardSigmoidKeras2);
  EXPECT_EQ(kind("3.1.0", HardSigmoid::as_written), ActivationKind::HardSigmoid);
  EXPECT_EQ(kind("2.15.0", HardSigmoid::keras3), ActivationKind::HardSigmoid);
  EXPECT_EQ(kind("3.1.0", HardSigmoid::keras2), ActivationKind::HardSigmoidKeras2);
}

}  // namespace
}  // namespace lamella
