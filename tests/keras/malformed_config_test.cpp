// SPDX-License-Identifier: Apache-2.0
// Configs that no Keras writes, or that lamella must not believe: each is refused with its code, its file and its place.
#include <functional>
#include <nlohmann/json.hpp>

#include "keras/refused.hpp"
#include "keras/repacked.hpp"

namespace lamella {
namespace {

using Json = nlohmann::json;
using namespace test;

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
        Case{"HashedCrossing", "dense", become("HashedCrossing", {{"num_bins", 3}}), E::unsupported, {"hash outside of the model"}},
        Case{"HashingOfStrings",
             "dense",
             become("Hashing", {{"num_bins", 3}, {"mask_value", ""}}),
             E::unsupported,
             {"'mask_value'", "is a string"}},
        Case{"HashingNoBins", "dense", become("Hashing", {{"num_bins", 0}}), E::value, {"field 'num_bins'"}},
        Case{"HashingSalt", "dense", become("Hashing", {{"num_bins", 3}, {"salt", {1, 2, 3}}}), E::value, {"field 'salt'"}},
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
             E::missing,
             {"field 'bin_boundaries'", "never adapted"}},
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
             E::missing,
             {"layer 'dense' vocabulary", "'assets/layers/integer_lookup/vocabulary.txt'"}},
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
             {"field 'vocabulary'", "is of 3", "max_tokens are 2"}},
        Case{"LookupMethod",
             "dense",
             become("IntegerLookup", {{"vocabulary", {3, 4}}, {"oov_method", "md5"}}),
             E::value,
             {"field 'oov_method'", "got 'md5', allowed floormod, farmhash"}},
        Case{"LookupSaltWithoutFarmhash",
             "dense",
             become("IntegerLookup", {{"vocabulary", {3, 4}}, {"salt", {1, 2}}}),
             E::value,
             {"field 'salt'", "without oov_method='farmhash'"}},
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
        Case{"MasksTooMany",
             "functional",
             [](Json& c) { kwargs(c, 2)["mask"] = Json::array({nullptr, layer(c, 2)["inbound_nodes"][0]["args"][0]}); },
             E::value,
             {"layer 'dropout'", "more masks"}},
        Case{"MaskOfItself",
             "functional",
             [](Json& c) {
               Json mask = layer(c, 2)["inbound_nodes"][0]["args"][0];
               mask["config"]["keras_history"][0] = "dropout";
               kwargs(c, 2)["mask"] = mask;
             },
             E::value,
             {"layer 'dropout'", "cycle"}},
        Case{"MaskThatIsNoTensor", "functional", [](Json& c) { kwargs(c, 2)["mask"] = 3; }, E::unsupported, {"argument 'mask'"}},
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

}  // namespace
}  // namespace lamella
