// SPDX-License-Identifier: Apache-2.0
// Graphs and inputs that no Keras writes: each is refused with its code, file and place.
#include "keras/malformed_config.hpp"

namespace lamella {
namespace {

using namespace test;

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
