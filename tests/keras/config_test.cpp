// SPDX-License-Identifier: Apache-2.0
// Spellings of configs that versions of Keras write mean the same; an untrustworthy index of weights files is refused.
#include <gmock/gmock.h>

#include <functional>
#include <lamella/model.hpp>

#include "keras/repacked.hpp"

namespace lamella {
namespace {

using namespace test;
using ::testing::HasSubstr;

const Options kCpu{.device = Device::cpu(), .threads = 1};

struct Variant {
  const char* name;
  const char* from;
  std::function<void(Json&)> edit;  ///< edits the whole config.json
};

void PrintTo(const Variant& item, std::ostream* out) { *out << item.name; }

std::vector<float> answer(const Model& model) {
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < model.input_names().size(); ++i) {
    std::vector<std::int64_t> extents = model.input_shape(static_cast<int>(i));
    extents.insert(extents.begin(), 3);
    inputs.emplace_back(Shape(extents));
    float value = -1.5F;
    for (float& x : inputs.back().span<float>()) x = value = value > 1.5F ? -1.5F : value + 0.21F;
  }
  const std::vector<TensorView> views(inputs.begin(), inputs.end());
  std::vector<float> result;
  for (const Tensor& y : model.predict(views)) {
    const Tensor wide = y.to(DType::float32);
    result.insert(result.end(), wide.span<float>().begin(), wide.span<float>().end());
  }
  return result;
}

class ConfigVariant : public ::testing::TestWithParam<Variant> {};

TEST_P(ConfigVariant, MeansTheSame) {
  Json config = Json::parse(member(fixture(GetParam().from), "config.json"));
  GetParam().edit(config);
  const TemporaryFile file(repacked(GetParam().from, config.dump()));
  EXPECT_EQ(answer(Model::load(file.path(), kCpu)), answer(Model::load(fixture(GetParam().from), kCpu)));
}

Json as_tuple(const Json& items) { return {{"class_name", "__tuple__"}, {"items", items}}; }
Json as_array(const Json& value) { return {{"class_name", "__numpy__"}, {"config", {{"value", value}, {"dtype", "float32"}}}}; }

void without_input(Json& c) { c["config"]["layers"].erase(0); }

INSTANTIATE_TEST_SUITE_P(
    Keras, ConfigVariant,
    ::testing::Values(
        Variant{"ShapeAsTuple", "dense",
                [](Json& c) {
                  layer(c, 0)["config"]["batch_shape"] = as_tuple({nullptr, 7});
                }},
        Variant{"AxisAsTuple", "softmax_axes", [](Json& c) { layer(c, 2)["config"]["axis"] = as_tuple(Json::array({1})); }},
        Variant{"AxisMissing", "softmax_axes", [](Json& c) { layer(c, 1)["config"].erase("axis"); }},
        Variant{"NumbersAsArray", "normalization_given", [](Json& c) { dense(c)["mean"] = as_array(dense(c)["mean"]); }},
        Variant{"DtypeNull", "dense", [](Json& c) { dense(c)["dtype"] = nullptr; }},
        Variant{"DtypeMissing", "dense", [](Json& c) { dense(c).erase("dtype"); }},
        Variant{"DtypeAsName", "dense", [](Json& c) { dense(c)["dtype"] = "float32"; }},
        Variant{"ShapeInBatchInputShape", "dense",
                [](Json& c) {
                  without_input(c);
                  layer(c, 0)["config"]["batch_input_shape"] = {nullptr, 7};
                }},
        Variant{"ShapeInBuildInputShape", "dense", without_input},
        Variant{"ShapeInBuildConfig", "dense",
                [](Json& c) {
                  without_input(c);
                  c["config"].erase("build_input_shape");
                }},
        Variant{"ShapeOfTheKernel", "dense",
                [](Json& c) {
                  without_input(c);
                  c["config"].erase("build_input_shape");
                  layer(c, 0).erase("build_config");
                }},
        Variant{"NodesNull", "functional", [](Json& c) { layer(c, 0)["inbound_nodes"] = nullptr; }},
        Variant{"NodesMissing", "functional", [](Json& c) { layer(c, 0).erase("inbound_nodes"); }},
        Variant{"NameInTheConfigOnly", "functional", [](Json& c) { layer(c, 1).erase("name"); }},
        Variant{"KwargsMissing", "functional", [](Json& c) { layer(c, 1)["inbound_nodes"][0].erase("kwargs"); }},
        Variant{"TrainingFalse", "functional", [](Json& c) { kwargs(c, 2)["training"] = false; }},
        Variant{"MaskNull", "functional", [](Json& c) { kwargs(c, 2)["mask"] = nullptr; }},
        Variant{"MaskOfNulls", "functional", [](Json& c) { kwargs(c, 2)["mask"] = Json::array({nullptr}); }},
        Variant{"InputsByName", "merge_add",
                [](Json& c) {
                  for (Json& l : c["config"]["layers"]) {
                    if (l["inbound_nodes"].empty()) continue;
                    Json& node = l["inbound_nodes"][0];
                    node["kwargs"]["inputs"] = node["args"][0];
                    node["args"] = Json::array();
                  }
                }},
        Variant{"NestedArguments", "merge_add",
                [](Json& c) {
                  for (Json& l : c["config"]["layers"]) {
                    if (l["class_name"] != "Add") continue;
                    Json& args = l["inbound_nodes"][0]["args"];
                    Json named = Json::object();
                    for (const Json& tensor : args[0]) named["input " + std::to_string(named.size())] = tensor;
                    args = Json::array({named});
                  }
                }}),
    [](const auto& item) { return item.param.name; });

struct Index {
  const char* name;
  const char* text;
  ErrorCode code;
  const char* says;
};

void PrintTo(const Index& item, std::ostream* out) { *out << item.name; }

class MalformedIndex : public ::testing::TestWithParam<Index> {};

TEST_P(MalformedIndex, IsRefused) {
  const Model model = Model::load(fixture("weights_sharded"), kCpu);
  const std::vector<float> before = answer(model);
  const TemporaryFile file(GetParam().text, ".weights.json");
  try {
    static_cast<void>(model.with_weights(file.path()));
    FAIL() << "was loaded";
  } catch (const LoadError& error) {
    EXPECT_EQ(to_string(error.code()), to_string(GetParam().code)) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(GetParam().says));
    if (error.code() != ErrorCode::io) {
      EXPECT_THAT(error.what(), HasSubstr(file.path()));
    }
  }
  EXPECT_EQ(answer(model), before);
}

INSTANTIATE_TEST_SUITE_P(
    Weights, MalformedIndex,
    ::testing::Values(
        Index{"List", "{\"weight_map\": []}", ErrorCode::missing, "weight_map"},
        Index{"Missing", "{\"metadata\": {}}", ErrorCode::missing, "weight_map"},
        Index{"Number", R"({"weight_map": {"/layers/dense/vars": 3}})", ErrorCode::value, "weight_map"},
        Index{"NumberInList", R"({"weight_map": {"/layers/dense/vars": [3]}})", ErrorCode::value, "weight_map"},
        Index{"Empty", R"({"weight_map": {"/layers/dense/vars": ""}})", ErrorCode::unsafe, "not a plain file name"},
        Index{"Folder", R"({"weight_map": {"/layers/dense/vars": "a/b.h5"}})", ErrorCode::unsafe, "a/b.h5"},
        Index{"Backslash", R"({"weight_map": {"/layers/dense/vars": "a\\b.h5"}})", ErrorCode::unsafe, "not a plain file name"},
        Index{"Nul", R"({"weight_map": {"/layers/dense/vars": "a\u0000.h5"}})", ErrorCode::unsafe, "not a plain file name"},
        Index{"Parent", R"({"weight_map": {"/layers/dense/vars": ".."}})", ErrorCode::unsafe, "not a plain file name"},
        Index{"NoSuchFile", R"({"weight_map": {"layers/dense/vars": "none_such.weights.h5"}})", ErrorCode::io,
              "none_such.weights.h5"},
        Index{"OtherGroups", R"({"weight_map": {"/else": "none_such.weights.h5"}})", ErrorCode::io, "none_such.weights.h5"}),
    [](const auto& item) { return item.param.name; });

}  // namespace
}  // namespace lamella
