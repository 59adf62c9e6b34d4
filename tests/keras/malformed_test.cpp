// SPDX-License-Identifier: Apache-2.0
// Configs and weights that no Keras writes, or that lamella must not believe: each is refused with its code, its file and its
// place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <lamella/model.hpp>
#include <lamella/npy.hpp>
#include <nlohmann/json.hpp>
#include <set>

#include "keras/load.hpp"
#include "keras/repacked.hpp"

namespace lamella {
namespace {

using Json = nlohmann::json;
using ::testing::HasSubstr;
using namespace test;

void expect_refused(const std::string& path, ErrorCode code, const std::vector<std::string>& words) {
  try {
    static_cast<void>(Model::load(path, {.device = Device::cpu()}));
    FAIL() << "was loaded";
  } catch (const Error& error) {
    EXPECT_EQ(name(error.code()), name(code)) << error.what();
    // What is found out when the shapes are put together is named by its layer alone.
    if (dynamic_cast<const LoadError*>(&error) != nullptr) {
      EXPECT_THAT(error.what(), HasSubstr(path));
    }
    for (const std::string& word : words) EXPECT_THAT(error.what(), HasSubstr(word));
  } catch (const std::exception& error) {
    FAIL() << "threw something else: " << error.what();
  }
}

struct Case {
  const char* name;
  const char* from;
  std::function<void(Json&)> edit;  ///< of the whole config.json
  ErrorCode code;
  std::vector<std::string> words;
};

void PrintTo(const Case& item, std::ostream* out) { *out << item.name; }

std::function<void(Json&)> set(const char* key, const Json& value) {
  return [key, value](Json& config) { dense(config)[key] = value; };
}
std::function<void(Json&)> become(const char* class_name, const Json& config) {
  return [class_name, config](Json& model) {
    Json& object = layer(model, 1);
    object["class_name"] = class_name;
    object["config"] = config;
    object["config"]["name"] = "dense";
  };
}
Json function(const Json& config) {
  return {{"module", "builtins"}, {"class_name", "function"}, {"config", config}, {"registered_name", "f"}};
}

std::string case_name(const ::testing::TestParamInfo<Case>& item) { return item.param.name; }

class MalformedConfig : public ::testing::TestWithParam<Case> {};

TEST_P(MalformedConfig, IsRefused) {
  Json config = Json::parse(member(fixture(GetParam().from), "config.json"));
  GetParam().edit(config);
  const TemporaryFile file(repacked(GetParam().from, config.dump()));
  expect_refused(file.path(), GetParam().code, GetParam().words);
}

using E = ErrorCode;
const std::vector<std::string> kUnits{"config.json", "layer 'dense'", "field 'units'", "allowed 1..2147483647"};

INSTANTIATE_TEST_SUITE_P(
    Dense, MalformedConfig,
    ::testing::Values(
        Case{"UnitsZero", "dense", set("units", 0), E::value, kUnits},
        Case{"UnitsNegative", "dense", set("units", -1), E::value, kUnits},
        Case{"UnitsFloat", "dense", set("units", 5.0), E::value, kUnits},
        Case{"UnitsText", "dense", set("units", "5"), E::value, kUnits},
        Case{"UnitsBool", "dense", set("units", true), E::value, kUnits},
        Case{"UnitsNull", "dense", set("units", nullptr), E::value, kUnits},
        Case{"UnitsList", "dense", set("units", Json::array({5})), E::value, kUnits},
        Case{"Units2To31", "dense", set("units", 2147483648), E::value, kUnits},
        Case{"Units2To63", "dense", set("units", 9223372036854775808ULL), E::overflow, kUnits},
        Case{"UnitsLeast", "dense", set("units", INT64_MIN), E::value, kUnits},
        Case{"UnitsMissing", "dense", [](Json& c) { dense(c).erase("units"); }, E::missing, {"layer 'dense'", "field 'units'"}},
        Case{"UnitsOther", "dense", set("units", 6), E::shape, {"layer 'dense'", "kernel", "(7, 5)"}},
        Case{"UseBiasText",
             "dense",
             set("use_bias", "false"),
             E::value,
             {"layer 'dense'", "field 'use_bias'", "allowed true, false"}},
        Case{"UseBiasOff", "dense", set("use_bias", false), E::shape, {"layer 'dense'", "/layers/dense/vars"}},
        Case{"UnknownKey", "dense", set("sparsity", 0.5), E::unsupported, {"layer 'dense'", "field 'sparsity'"}},
        Case{"Quantized",
             "dense",
             set("dtype", "ternary_from_float32"),
             E::unsupported,
             {"layer 'dense'", "field 'dtype'", "'ternary'"}},
        Case{"NameNumber", "dense", set("name", 7), E::json, {"config"}},
        Case{"TrainableText", "dense", set("trainable", "yes"), E::value, {"layer 'dense'", "field 'trainable'"}},
        Case{"ConfigList", "dense", [](Json& c) { layer(c, 1)["config"] = Json::array(); }, E::json, {"config"}},
        Case{"ConfigMissing", "dense", [](Json& c) { layer(c, 1).erase("config"); }, E::json, {"config"}}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Activation, MalformedConfig,
    ::testing::Values(
        Case{"Unknown", "dense", set("activation", "relu7"), E::value, {"layer 'dense'", "field 'activation'", "relu7"}},
        Case{"WrongCase", "dense", set("activation", "ReLu"), E::value, {"layer 'dense'", "field 'activation'"}},
        Case{"Number", "dense", set("activation", 3), E::value, {"layer 'dense'", "field 'activation'"}},
        Case{"List", "dense", set("activation", Json::array({"relu"})), E::value, {"layer 'dense'", "field 'activation'"}},
        Case{"Escapes", "dense", set("activation", "a\nb\x1B[31m"), E::value, {"a\\x0Ab\\x1B[31m"}},
        Case{"LambdaObject",
             "dense",
             set("activation", {{"class_name", "__lambda__"}, {"config", {{"value", "4wEA"}}}}),
             E::unsafe,
             {"layer 'dense'"}},
        Case{"FunctionUnknown", "dense", set("activation", function("bend")), E::value, {"layer 'dense'", "bend"}},
        Case{"FunctionNested",
             "dense",
             set("activation", function(Json::object())),
             E::unsupported,
             {"layer 'dense'", "field 'activation'"}},
        Case{"OtherModule",
             "dense",
             set("activation", {{"module", "os"}, {"class_name", "system"}, {"config", "true"}}),
             E::unsafe,
             {"os"}},
        Case{"EvilReLU",
             "dense",
             set("activation", {{"module", "evil"}, {"class_name", "ReLU"}, {"config", Json::object()}}),
             E::unsafe,
             {"evil"}},
        Case{"ReluSlopeNegative",
             "dense",
             become("ReLU", {{"negative_slope", -1.0}}),
             E::value,
             {"layer 'dense'", "negative_slope"}},
        Case{"ReluMaxText", "dense", become("ReLU", {{"max_value", "6"}}), E::value, {"layer 'dense'", "field 'max_value'"}},
        Case{"LeakyNegative",
             "dense",
             become("LeakyReLU", {{"negative_slope", -0.1}}),
             E::value,
             {"layer 'dense'", "negative_slope"}},
        Case{"EluText", "dense", become("ELU", {{"alpha", "1"}}), E::value, {"layer 'dense'", "field 'alpha'"}},
        Case{"SoftmaxEmptyAxes",
             "dense",
             become("Softmax", {{"axis", Json::array()}}),
             E::value,
             {"layer 'dense'", "field 'axis'"}},
        Case{"SoftmaxFarAxis", "dense", become("Softmax", {{"axis", 99}}), E::value, {"dense", "99"}},
        Case{"SoftmaxTwiceTheSameAxis", "dense", become("Softmax", {{"axis", {1, -1}}}), E::value, {"dense"}},
        Case{"SoftmaxFloatAxis", "dense", become("Softmax", {{"axis", 1.5}}), E::value, {"layer 'dense'", "field 'axis'"}}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Classes, MalformedConfig,
    ::testing::Values(
        Case{"Lambda", "dense", become("Lambda", {{"function", "x"}}), E::unsafe, {"layer 'dense'", "Lambda"}},
        Case{"TfsmLayer", "dense", become("TFSMLayer", {{"filepath", "/etc"}}), E::unsafe, {"layer 'dense'", "TFSMLayer"}},
        Case{"TorchModuleWrapper", "dense", become("TorchModuleWrapper", Json::object()), E::unsafe, {"TorchModuleWrapper"}},
        Case{"StringLookup",
             "dense",
             become("StringLookup", {{"vocabulary", "/etc/passwd"}}),
             E::unsupported,
             {"layer 'dense'", "StringLookup"}},
        Case{"TextVectorization", "dense", become("TextVectorization", Json::object()), E::unsupported, {"takes strings"}},
        Case{"Hashing", "dense", become("Hashing", {{"num_bins", 3}}), E::unsupported, {"Hashing", "hash outside of the model"}},
        Case{"LambdaInstead", "dense", become("Lambda", Json::object()), E::unsafe, {"write it as layers and operations"}},
        Case{"CroppingNegative", "dense", become("Cropping1D", {{"cropping", {-1, 0}}}), E::value, {"field 'cropping'"}},
        Case{"CroppingThree", "dense", become("Cropping1D", {{"cropping", {1, 2, 3}}}), E::value, {"field 'cropping'"}},
        Case{"PoolingFormat",
             "dense",
             become("GlobalAveragePooling1D", {{"data_format", "steps_first"}}),
             E::value,
             {"field 'data_format'", "steps_first"}},
        Case{"CategoriesSparse",
             "dense",
             become("CategoryEncoding", {{"num_tokens", 3}, {"sparse", true}}),
             E::unsupported,
             {"field 'sparse'"}},
        Case{"CategoriesMode",
             "dense",
             become("CategoryEncoding", {{"num_tokens", 3}, {"output_mode", "int"}}),
             E::value,
             {"field 'output_mode'", "got 'int', allowed one_hot, multi_hot, count"}},
        Case{"CategoriesNone", "dense", become("CategoryEncoding", {{"num_tokens", 0}}), E::value, {"field 'num_tokens'"}},
        Case{"BinsAdapted",
             "dense",
             become("Discretization", {{"bin_boundaries", nullptr}, {"num_bins", 3}}),
             E::unsupported,
             {"field 'bin_boundaries'", "bin_boundaries=layer.bin_boundaries"}},
        Case{"BinsEmpty", "dense", become("Discretization", {{"bin_boundaries", Json::array()}}), E::value, {"'bin_boundaries'"}},
        Case{"BinsDescend",
             "dense",
             become("Discretization", {{"bin_boundaries", {1.0, 2.0, 1.5}}}),
             E::unsupported,
             {"field 'bin_boundaries'", "entry 2"}},
        Case{"BinsNaN",
             "dense",
             become("Discretization", {{"bin_boundaries", {std::nan("")}}}),
             E::value,
             {"field 'bin_boundaries'"}},
        Case{"LookupAdapted",
             "dense",
             become("IntegerLookup", {{"vocabulary", nullptr}}),
             E::unsupported,
             {"field 'vocabulary'", "vocabulary=layer.get_vocabulary()"}},
        Case{"LookupFile", "dense", become("IntegerLookup", {{"vocabulary", "/etc/passwd"}}), E::value, {"field 'vocabulary'"}},
        Case{"LookupTwice", "dense", become("IntegerLookup", {{"vocabulary", {3, 4, 3}}}), E::value, {"'vocabulary'", "has 3 twice"}},
        Case{"LookupMaskTwice",
             "dense",
             become("IntegerLookup", {{"vocabulary", {3, 4}}, {"mask_token", 4}}),
             E::value,
             {"'vocabulary'", "has 4 twice"}},
        Case{"LookupTooLarge",
             "dense",
             become("IntegerLookup", {{"vocabulary", {std::uint64_t{1} << 63U}}}),
             E::value,
             {"'vocabulary'", "no int64"}},
        Case{"LookupIdf",
             "dense",
             become("IntegerLookup", {{"vocabulary", {3}}, {"output_mode", "tf_idf"}}),
             E::unsupported,
             {"field 'output_mode'", "tf_idf"}},
        Case{"LookupPadding",
             "dense",
             become("IntegerLookup", {{"vocabulary", {3, 4}}, {"pad_to_max_tokens", true}, {"max_tokens", 2}}),
             E::value,
             {"field 'max_tokens'", "allowed 3.."}},
        Case{"LookupFarmhash",
             "dense",
             become("IntegerLookup", {{"vocabulary", {3, 4}}, {"oov_method", "farmhash"}}),
             E::unsupported,
             {"'oov_method, salt'"}},
        Case{"Conv2D", "dense", become("Conv2D", {{"filters", 3}}), E::unsupported, {"layer 'dense'", "Conv2D"}},
        Case{"ClassNumber", "dense", [](Json& c) { layer(c, 1)["class_name"] = 3; }, E::json, {"config"}},
        Case{"ClassMissing", "dense", [](Json& c) { layer(c, 1).erase("class_name"); }, E::unsupported, {"layer 'dense'"}},
        Case{"EvilDense", "dense", [](Json& c) { layer(c, 1)["module"] = "evil"; }, E::unsafe, {"layer 'dense'", "evil"}},
        Case{"PrefixDense", "dense", [](Json& c) { layer(c, 1)["module"] = "kerasevil.layers"; }, E::unsafe, {"kerasevil"}},
        Case{"OsSystem",
             "dense",
             [](Json& c) {
               layer(c, 1) = {
                   {"module", "os"}, {"class_name", "system"}, {"config", {{"name", "s"}}}, {"registered_name", nullptr}};
             },
             E::unsafe,
             {"layer 's'", "os"}},
        Case{"Registered",
             "dense",
             [](Json& c) { layer(c, 1)["registered_name"] = "pkg>Dense"; },
             E::unsupported,
             {"layer 'dense'", "pkg>Dense"}},
        Case{"RawOperation",
             "dense",
             [](Json& c) { layer(c, 1)["module"] = "keras.src.ops.nn"; },
             E::unsupported,
             {"layer 'dense'", "keras.src.ops.nn"}},
        Case{"TopClass", "dense", [](Json& c) { c["class_name"] = "MyModel"; }, E::unsupported, {"MyModel"}},
        Case{"TopRegistered",
             "dense",
             [](Json& c) { c["registered_name"] = "pkg>Sequential"; },
             E::unsupported,
             {"pkg>Sequential"}},
        Case{"TopList", "dense", [](Json& c) { c = Json::array({1}); }, E::unsupported, {"config.json"}},
        Case{"TopText", "dense", [](Json& c) { c = "Sequential"; }, E::unsupported, {"config.json"}},
        Case{"Renorm",
             "dense",
             become("BatchNormalization", {{"renorm", true}}),
             E::unsupported,
             {"layer 'dense'", "field 'renorm'"}},
        Case{"BatchNormalizationAxes",
             "dense",
             become("BatchNormalization", {{"axis", {1, 2}}}),
             E::unsupported,
             {"layer 'dense'", "field 'axis'"}},
        Case{"NormalizationHalf", "dense", become("Normalization", {{"mean", {1.0}}}), E::value, {"layer 'dense'", "variance"}},
        Case{"RescalingText", "dense", become("Rescaling", {{"scale", "2"}}), E::value, {"layer 'dense'", "field 'scale'"}},
        Case{"ReshapeTwoOpen",
             "dense",
             become("Reshape", {{"target_shape", {-1, -1}}}),
             E::value,
             {"layer 'dense'", "field 'target_shape'"}},
        Case{"ReshapeOther", "dense", become("Reshape", {{"target_shape", {2, 4}}}), E::shape, {"dense"}},
        Case{"FlattenFormat",
             "dense",
             become("Flatten", {{"data_format", "sideways"}}),
             E::value,
             {"layer 'dense'", "field 'data_format'"}},
        Case{"ConcatenateFarAxis", "dense", become("Concatenate", {{"axis", 65}}), E::value, {"layer 'dense'", "field 'axis'"}},
        Case{"DtypeUnknown", "dense", set("dtype", "float128"), E::dtype, {"layer 'dense'", "field 'dtype'", "float128"}},
        Case{"DtypeNumber", "dense", set("dtype", 32), E::dtype, {"layer 'dense'", "field 'dtype'"}},
        Case{"DtypeWithoutConfig",
             "dense",
             set("dtype", {{"class_name", "DTypePolicy"}}),
             E::dtype,
             {"layer 'dense'", "field 'dtype'"}},
        Case{"DtypeMap",
             "dense",
             set("dtype", {{"class_name", "DTypePolicyMap"}, {"config", {{"policy_map", Json::object()}}}}),
             E::unsupported,
             {"DTypePolicyMap"}},
        Case{"FarNegativeAxis",
             "dense",
             become("Concatenate", {{"axis", -2147483649LL}}),
             E::value,
             {"layer 'dense'", "field 'axis'"}},
        Case{"FlattenFormatNumber",
             "dense",
             become("Flatten", {{"data_format", 3}}),
             E::value,
             {"layer 'dense'", "field 'data_format'"}},
        Case{"DtypeInt8", "dense", set("dtype", "int8_from_float16"), E::unsupported, {"layer 'dense'", "float16"}},
        Case{"DtypeInt8WithoutItsWeights",
             "dense",
             set("dtype", "int8_from_float32"),
             E::missing,
             {"layer 'dense'", "kernel_scale"}},
        Case{"DtypeInt4",
             "dense",
             set("dtype", {{"class_name", "Int4DTypePolicy"}, {"config", {{"mode", "int4/128"}, {"source_name", "float32"}}}}),
             E::missing,
             {"layer 'dense'", "kernel_zero"}}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Graph, MalformedConfig,
    ::testing::Values(
        Case{"MissingLayer", "functional", [](Json& c) { history(c, 1)[0] = "nowhere"; }, E::missing, {"layer 'dense'", "'nowhere'"}},
        Case{"Cycle", "functional", [](Json& c) { history(c, 1)[0] = "dense_1"; }, E::value, {"layer 'dense", "cycle"}},
        Case{"Itself", "functional", [](Json& c) { history(c, 1)[0] = "dense"; }, E::value, {"layer 'dense'", "cycle"}},
        Case{"CallTooFar", "functional", [](Json& c) { history(c, 2)[1] = 1; }, E::value, {"layer 'dropout'", "call 1"}},
        Case{"CallNegative", "functional", [](Json& c) { history(c, 2)[1] = -1; }, E::value, {"layer 'dropout'", "call -1"}},
        Case{"ResultTooFar", "functional", [](Json& c) { history(c, 2)[2] = 1; }, E::value, {"layer 'dropout'", "result 1"}},
        Case{"CallFloat", "functional", [](Json& c) { history(c, 2)[1] = 0.0; }, E::json, {"layer 'dropout'"}},
        Case{"NestedCallLeast", "functional_in_functional", [](Json& c) { c["config"]["output_layers"] = {"block", INT64_MIN, 0}; }, E::value, {"block"}},
        Case{"NestedCallZero", "functional_in_functional", [](Json& c) { c["config"]["output_layers"] = {"block", 0, 0}; }, E::value, {"block"}},
        Case{"TwoOfOneName", "functional", [](Json& c) { layer(c, 3)["name"] = "dense"; }, E::value, {"'dense'"}},
        Case{"TwoOfOneNameInSequence", "dense", [](Json& c) { c["config"]["layers"].push_back(layer(c, 1)); }, E::value, {"layer 'dense'", "same name"}},
        Case{"NoName", "functional", [](Json& c) { layer(c, 1).erase("name"), layer(c, 1)["config"].erase("name"); }, E::missing, {"no name"}},
        Case{"NoLayers", "functional", [](Json& c) { c["config"].erase("layers"); }, E::missing, {"'layers'"}},
        Case{"LayersNumber", "functional", [](Json& c) { c["config"]["layers"] = 3; }, E::missing, {"'layers'"}},
        Case{"FunctionalLayerNumber", "functional", [](Json& c) { layer(c, 1) = 3; }, E::json, {"'layers'"}},
        Case{"TensorWithoutHistory", "functional", [](Json& c) { layer(c, 1)["inbound_nodes"][0]["args"][0]["config"].erase("keras_history"); }, E::json, {"layer 'dense'", "keras_history"}},
        Case{"HistoryText", "functional", [](Json& c) { history(c, 1) = "features"; }, E::json, {"layer 'dense'"}},
        Case{"HistoryShort", "functional", [](Json& c) { history(c, 1) = {"features", 0}; }, E::json, {"layer 'dense'"}},
        Case{"ResultText", "functional", [](Json& c) { history(c, 1)[2] = "0"; }, E::json, {"layer 'dense'"}},
        Case{"NoInputs", "functional", [](Json& c) { c["config"].erase("input_layers"); }, E::missing, {"'input_layers'"}},
        Case{"NoOutputs", "functional", [](Json& c) { c["config"]["output_layers"] = Json::array(); }, E::value, {"outputs"}},
        Case{"OutputMissing", "functional", [](Json& c) { c["config"]["output_layers"][0] = "nowhere"; }, E::missing, {"'nowhere'"}},
        Case{"InputIsNoInput", "functional", [](Json& c) { c["config"]["input_layers"][0] = "dense"; }, E::value, {"layer 'dense'", "InputLayer"}},
        Case{"InputTwice", "functional", [](Json& c) { c["config"]["input_layers"] = {{"features", 0, 0}, {"features", 0, 0}}; }, E::value, {"layer 'features'", "twice"}},
        Case{"NodesObject", "functional", [](Json& c) { layer(c, 1)["inbound_nodes"] = Json::object(); }, E::json, {"layer 'dense'"}},
        Case{"NodeNumber", "functional", [](Json& c) { layer(c, 1)["inbound_nodes"][0] = 3; }, E::json, {"layer 'dense'"}},
        Case{"CalledWithoutInputs", "functional", [](Json& c) { layer(c, 1)["inbound_nodes"][0]["args"] = Json::array(); }, E::value, {"layer 'dense'", "without inputs"}},
        Case{"CalledWithTwo", "functional", [](Json& c) { Json& args = layer(c, 3)["inbound_nodes"][0]["args"]; args.push_back(args[0]); }, E::argument, {"dense_1"}},
        Case{"NestedCalledWithTwo", "functional_in_functional", [](Json& c) { Json& args = layer(c, 2)["inbound_nodes"][0]["args"]; args.push_back(args[0]); }, E::shape, {"block"}},
        Case{"CalledWithNumber", "functional", [](Json& c) { layer(c, 1)["inbound_nodes"][0]["args"].push_back(2.0); }, E::unsupported, {"layer 'dense'"}},
        Case{"TrainingTrue", "functional", [](Json& c) { kwargs(c, 2)["training"] = true; }, E::unsupported, {"layer 'dropout'", "training"}},
        Case{"Mask", "functional", [](Json& c) { kwargs(c, 2)["mask"] = layer(c, 2)["inbound_nodes"][0]["args"][0]; }, E::unsupported, {"layer 'dropout'", "'mask'"}},
        Case{"InputInTheMiddle", "dense", [](Json& c) { Json input = layer(c, 0); input["config"]["name"] = "second"; c["config"]["layers"].push_back(input); }, E::value, {"second"}},
        Case{"Empty", "dense", [](Json& c) { c["config"]["layers"] = Json::array(); }, E::value, {"layers", "empty"}},
        Case{"LayersObject", "dense", [](Json& c) { c["config"]["layers"] = Json::object(); }, E::json, {"layers"}},
        Case{"LayerNumber", "dense", [](Json& c) { layer(c, 1) = 3; }, E::json, {"layers"}}),
    case_name);

std::function<void(Json&)> input_shape(const Json& shape) {
  return [shape](Json& config) { layer(config, 0)["config"]["batch_shape"] = shape; };
}

INSTANTIATE_TEST_SUITE_P(
    Input, MalformedConfig,
    ::testing::Values(
        Case{"Negative", "dense", input_shape({nullptr, -7}), E::shape, {"layer 'input_layer'", "field 'batch_shape'", "-7"}},
        Case{"Float", "dense", input_shape({nullptr, 7.0}), E::shape, {"layer 'input_layer'", "field 'batch_shape'"}},
        Case{"Text", "dense", input_shape("7"), E::shape, {"layer 'input_layer'", "field 'batch_shape'"}},
        Case{"NoBatch", "dense", input_shape(Json::array()), E::shape, {"layer 'input_layer'", "batch"}},
        Case{"SeventeenAxes", "dense", input_shape(Json(std::vector<int>(17, 1))), E::shape, {"layer 'input_layer'", "17"}},
        Case{"TooManyElements", "dense", input_shape({nullptr, 1LL << 46, 1LL << 46}), E::overflow, {"layer 'input_layer'"}},
        Case{"NotTheKernels", "dense", input_shape({nullptr, 8}), E::shape, {"dense", "7", "8"}},
        Case{"OnlyTheBatch", "dense", input_shape(Json::array({nullptr})), E::shape, {"dense"}},
        Case{"Sparse",
             "dense",
             [](Json& c) { layer(c, 0)["config"]["sparse"] = true; },
             E::unsupported,
             {"layer 'input_layer'", "sparse"}},
        Case{"Dtype",
             "dense",
             [](Json& c) { layer(c, 0)["config"]["dtype"] = "string"; },
             E::dtype,
             {"layer 'input_layer'", "string"}}),
    case_name);

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
    EXPECT_EQ(error.code(), ErrorCode::limit) << error.what();  // of the JSON's depth, or of the models'
    EXPECT_THAT(error.what(), HasSubstr(file.path()));
  }
}

/// Each model calls the one inside it twice: 2^30 layers in a few kilobytes.
TEST(MalformedModel, ThatGrowsWithoutEndWhenItsCallsAreCountedIsRefused) {
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

TEST(MalformedModel, MissingOrEmptyOrOfTextIsRefused) {
  expect_refused("no/such/model.keras", ErrorCode::io, {});
  const TemporaryFile empty("");
  expect_refused(empty.path(), ErrorCode::archive, {});
  const TemporaryFile text("just some text");
  expect_refused(text.path(), ErrorCode::archive, {"neither"});
}

TEST(MalformedModel, WithANulByteBehindItsConfigIsRefused) {
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

TEST(RepackedModel, LoadsWhateverAddressItsWeightsStandAt) {
  // At 512, 1024, 2048 and so on an HDF5 file might begin behind a user block; this is an archive all the same.
  const std::string config = member(fixture("dense"), "config.json");
  const std::string weights = member(fixture("dense"), "model.weights.h5");
  for (const std::size_t at : {512U, 1024U, 2048U, 4096U}) {
    const std::size_t heads = (30 + std::string("padding").size()) + (30 + std::string("model.weights.h5").size());
    const TemporaryFile file(
        zip({{"padding", std::string(at - heads, ' ')}, {"model.weights.h5", weights}, {"config.json", config}}));
    EXPECT_EQ(keras::load_model(file.path())->layers.size(), 2U) << "weights at " << at;
  }
}

/// A layer called `count` times, each call of the result of the next one, the last of the input: written from the end to the
/// beginning.
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

TEST(RepackedModel, OfManyCallsWrittenBackwardsIsPutInOrderAtOnce) {
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

TEST(RepackedModel, LoadsWithoutMetadata) {
  const TemporaryFile file(zip({{"config.json", member(fixture("dense"), "config.json")},
                                {"model.weights.h5", member(fixture("dense"), "model.weights.h5")}}));
  const auto spec = keras::load_model(file.path());
  ASSERT_EQ(spec->layers.size(), 2U);
  ASSERT_EQ(spec->layers[1]->weights.size(), 2U);
  EXPECT_EQ(spec->layers[1]->weights[0].value->shape(), (Shape{7, 5}));
  EXPECT_EQ(spec->keras_version, "");
}

TEST(RepackedModel, KeepsItsWeightsWhenTheFileIsGone) {
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

TEST(RepackedModel, AsksForTheHardSigmoidOfItsKeras) {
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
