// SPDX-License-Identifier: Apache-2.0
// Models whose files are incomplete, mixed up or nested too deeply: each is refused with its code and file.
#include <lamella/npy.hpp>
#include <nlohmann/json.hpp>

#include "keras/load.hpp"
#include "keras/refused.hpp"
#include "keras/repacked.hpp"

namespace lamella {
namespace {

using Json = nlohmann::json;
using ::testing::HasSubstr;
using namespace test;

TEST(MalformedModel, NestedTooDeeplyIsRefused) {
  Json config = Json::parse(member(fixture("dense"), "config.json"));
  Json inner = config;
  for (int depth = 0; depth < 40; ++depth) {
    Json outer = config;
    inner["config"]["name"] = "inner" + std::to_string(depth);
    inner.erase("build_config");
    inner.erase("compile_config");
    outer["config"]["layers"] = {layer(config, 0), inner};
    inner = outer;
    if (depth == 10) continue;
  }
  const TemporaryFile file(repacked("dense", inner.dump()));
  try {
    static_cast<void>(keras::load_model(file.path()));
    FAIL() << "was loaded";
  } catch (const LoadError& error) {
    EXPECT_EQ(error.code(), ErrorCode::limit) << error.what();  // the limit on JSON's depth, or on models'
    EXPECT_THAT(error.what(), HasSubstr(file.path()));
  }
}

/// Each model calls the one inside it twice: 2^30 layers in a few kilobytes.
TEST(MalformedModel, WithExponentiallyManyCallsIsRefused) {
  const auto tensor = [](const std::string& name, int call) {
    return Json{{"class_name", "__keras_tensor__"},
                {"config", {{"shape", {nullptr, 7}}, {"dtype", "float32"}, {"keras_history", {name, call, 0}}}}};
  };
  const auto called = [](const Json& argument) { return Json{{"args", Json::array({argument})}, {"kwargs", Json::object()}}; };
  const Json input{{"module", "keras.layers"},
                   {"class_name", "InputLayer"},
                   {"name", "x"},
                   {"inbound_nodes", Json::array()},
                   {"config", {{"batch_shape", {nullptr, 7}}, {"name", "x"}}}};
  Json inner{{"module", "keras.layers"},
             {"class_name", "Activation"},
             {"name", "a"},
             {"config", {{"name", "a"}, {"activation", "tanh"}}}};
  std::string name = "a";
  for (int depth = 0; depth < 14; ++depth) {
    inner["name"] = name;
    inner["inbound_nodes"] = Json::array({called(tensor("x", 0))});
    for (int call = 0; call < 7; ++call) inner["inbound_nodes"].push_back(called(tensor(name, call)));
    Json outer{{"module", "keras"}, {"class_name", "Functional"}, {"name", "m"}};
    outer["config"] = {{"name", "m" + std::to_string(depth)},
                       {"layers", {input, inner}},
                       {"input_layers", {"x", 0, 0}},
                       {"output_layers", {name, depth == 0 ? 7 : 8, 0}}};
    name = "m";
    inner = outer;
  }
  const TemporaryFile file(repacked("dense", inner.dump()));
  expect_refused(file.path(), ErrorCode::limit, {"calls"});
}

TEST(MalformedModel, WithoutAConfigIsRefused) {
  const TemporaryFile file(zip({{"metadata.json", "{}"}, {"model.weights.h5", member(fixture("dense"), "model.weights.h5")}}));
  expect_refused(file.path(), ErrorCode::missing, {"config.json"});
}

TEST(MalformedModel, WithoutWeightsIsRefused) {
  const TemporaryFile file(zip({{"config.json", member(fixture("dense"), "config.json")}}));
  expect_refused(file.path(), ErrorCode::missing, {"model.weights.h5"});
}

TEST(MalformedModel, WithPickledWeightsIsRefused) {
  const TemporaryFile file(zip({{"config.json", member(fixture("dense"), "config.json")}, {"model.weights.npz", "PK"}}));
  expect_refused(file.path(), ErrorCode::unsupported, {"model.weights.npz", "pickle"});
}

TEST(MalformedModel, WithEmptyWeightsIsRefused) {
  const TemporaryFile file(zip({{"config.json", member(fixture("dense"), "config.json")}, {"model.weights.h5", ""}}));
  expect_refused(file.path(), ErrorCode::hdf5, {"model.weights.h5"});
}

TEST(MalformedModel, WithAnEmptyConfigIsRefused) {
  const TemporaryFile file(repacked("dense", ""));
  expect_refused(file.path(), ErrorCode::json, {"config.json"});
}

TEST(MalformedModel, WithWeightsOfAnotherModelIsRefused) {
  const TemporaryFile file(zip({{"config.json", member(fixture("dense_no_bias"), "config.json")},
                                {"model.weights.h5", member(fixture("dense"), "model.weights.h5")}}));
  expect_refused(file.path(), ErrorCode::shape, {"model.weights.h5:/layers/dense/vars", "layer 'dense'"});
}

TEST(MalformedModel, WithAVersionThatIsANumberIsRefused) {
  const TemporaryFile file(zip({{"metadata.json", R"({"keras_version": 3})"},
                                {"config.json", member(fixture("dense"), "config.json")},
                                {"model.weights.h5", member(fixture("dense"), "model.weights.h5")}}));
  expect_refused(file.path(), ErrorCode::value, {"metadata.json", "keras_version"});
}

TEST(MalformedModel, MissingEmptyOrTextIsRefused) {
  expect_refused("no/such/model.keras", ErrorCode::io, {});
  const TemporaryFile empty("");
  expect_refused(empty.path(), ErrorCode::archive, {});
  const TemporaryFile text("just some text");
  expect_refused(text.path(), ErrorCode::archive, {"neither"});
}

TEST(MalformedModel, WithANulByteAfterItsConfigIsRefused) {
  const std::string config = member(fixture("dense"), "config.json");
  for (const std::string& tail : {std::string(1, '\0'), std::string("\0{\"class_name\": \"Lambda\"}", 26)}) {
    const TemporaryFile file(repacked("dense", config + tail));
    expect_refused(file.path(), ErrorCode::json, {"config.json", "NUL"});
  }
}

TEST(MalformedModel, WithANameLongerThanAnyLayerHasIsRefused) {
  Json config = Json::parse(member(fixture("dense"), "config.json"));
  dense(config)["name"] = std::string(2000, 'n');
  layer(config, 1).erase("name");
  const TemporaryFile file(repacked("dense", config.dump()));
  expect_refused(file.path(), ErrorCode::limit, {"config.json", "bytes, allowed 0..1024"});
}

TEST(MalformedModel, WithAPathThatHoldsANulByteIsRefused) {
  const std::string folder = std::string(LAMELLA_FIXTURES) + "/keras3/folder/model";
  EXPECT_THROW(static_cast<void>(Model::load(folder + std::string("\0x", 2))), LoadError);
  EXPECT_THROW(static_cast<void>(load_npy(folder + std::string("/../x.npy\0", 10))), LoadError);
  EXPECT_THROW(save_npy(std::string("array.npy\0x", 11), Tensor::zeros(Shape{1})), LoadError);
}

}  // namespace
}  // namespace lamella
