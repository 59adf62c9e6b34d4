// SPDX-License-Identifier: Apache-2.0
// Unusual files: what is read of them, and how errors name those that cannot be read.
#include <gmock/gmock.h>

#include <filesystem>
#include <lamella/architecture.hpp>
#include <lamella/npy.hpp>

#include "keras/reading.hpp"
#include "keras/refused.hpp"
#include "keras/repacked.hpp"
#include "keras/stored.hpp"

namespace lamella {
namespace {

using namespace test;
using ::testing::AllOf;
using ::testing::HasSubstr;

const Options kCpu{.device = Device::cpu(), .threads = 1};

std::string refused(ErrorCode code, const std::string& path) {
  return refusal(code, [&] { static_cast<void>(Model::load(path, kCpu)); });
}

std::string refused_config(ErrorCode code, const char* from, const Json& config) {
  const TemporaryFile file(repacked(from, config.dump()));
  std::string what = refused(code, file.path());
  EXPECT_THAT(what, HasSubstr(file.path()));
  return what;
}

Json config_of(const char* from) { return Json::parse(member(fixture(from), "config.json")); }

// --- what a model is called with
// ------------------------------------------------------------------------------------------------

std::string called(const char* name) { return std::string(LAMELLA_FIXTURES) + "/calls/keras3/" + name; }

TEST(ReadingInputs, OfADictAreNamedByItsKeys) {
  using ::testing::ElementsAre;
  for (const std::string& form : {std::string("%/model.keras"), std::string("h5_%/model.h5")}) {
    const auto names = [&](const char* name) {
      std::string path = form;
      return Model::load(called(path.replace(path.find('%'), 1, name).c_str()), kCpu).input_names();
    };
    EXPECT_THAT(names("dict_of_one"), ElementsAre("k"));
    EXPECT_THAT(names("dict_of_other_names"), ElementsAre("a", "b"));
    EXPECT_THAT(names("dict_in_dict"), ElementsAre("k", "x", "y"));
    EXPECT_THAT(names("keys_that_return"), ElementsAre("k", "a", "k_1"));
  }
}

TEST(ReadingInputs, OfASequentialWithoutShapeAreRequested) {
  Json config = config_of("flatten");
  config["config"]["layers"].erase(0);
  config["config"].erase("build_input_shape");
  for (Json& layer : config["config"]["layers"]) layer.erase("build_config");
  const std::string what = refused_config(ErrorCode::missing, "flatten", config);
  EXPECT_THAT(what, AllOf(HasSubstr("the shape of the model's input"), HasSubstr("Flatten"), HasSubstr("keras.Input(shape)")));
}

// --- whose classes they are
// -----------------------------------------------------------------------------------------------------

TEST(ReadingClasses, ThatAreNotKerasOwnAreRefusedWithAdvice) {
  const auto says = [](const char* whose) { return AllOf(HasSubstr(whose), HasSubstr("copy the weights")); };
  Json config = config_of("dense");
  layer(config, 1)["registered_name"] = "lab>Doubler";
  EXPECT_THAT(refused_config(ErrorCode::unsupported, "dense", config), says("'lab>Doubler' is not part of Keras"));
  config = config_of("dense");
  layer(config, 1)["class_name"] = "lab>Doubler";  // an .h5 file names no module
  layer(config, 1).erase("module");
  EXPECT_THAT(refused_config(ErrorCode::unsupported, "dense", config), says("'lab>Doubler' is not part of Keras"));
  config = config_of("dense");
  for (const char* module : {"lab.layers", "keras_hub.src.layers", "kerassy"}) {
    layer(config, 1)["module"] = module;
    EXPECT_THAT(refused_config(ErrorCode::unsafe, "dense", config), says(module));
  }
  config = config_of("dense");
  config["registered_name"] = "lab>Net";
  EXPECT_THAT(refused_config(ErrorCode::unsupported, "dense", config), says("'lab>Net' is not part of Keras"));
}

TEST(ReadingClasses, OfKeras1AreRecognised) {
  Json config = config_of("dense");
  Json& dense = layer(config, 1)["config"];
  dense["output_dim"] = dense["units"];
  dense.erase("units");
  EXPECT_THAT(refused_config(ErrorCode::unsupported, "dense", config), AllOf(HasSubstr("Keras 1"), HasSubstr("save it again")));
}

// --- files of another kind ----------------------------------------------------------------------------------------------------

struct Foreign {
  std::string bytes;
  const char* word;
};

TEST(ReadingForeignFiles, EachIsNamedInTheError) {
  const std::vector<Foreign> files{
      {"", "is empty"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n", "git lfs pull"},
      {std::string("\x1c\0\0\0TFL3\0\0\0\0", 12), "TensorFlow Lite"},
      {std::string("\x08\x07\x12\x07pytorch\x1a\x03", 13), "ONNX"},
      {std::string("\x80\x04\x95\0\0", 5), "pickle"},
      {"\x93NUMPY\x01", "npy array"},
      {R"({"modelTopology": {}})", "TensorFlow.js"},
      {R"({"class_name": "Sequential"})", "the architecture alone"},
      {"<!DOCTYPE html>", "web page"},
      {"nothing of the kind", "is neither a .keras archive nor an HDF5 file (19 bytes)"},
  };
  for (const Foreign& item : files) {
    const TemporaryFile file(item.bytes);
    EXPECT_THAT(refused(ErrorCode::archive, file.path()), AllOf(HasSubstr(file.path()), HasSubstr(item.word)));
  }
}

TEST(ReadingForeignFiles, FoldersToo) {
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / "lamella_foreign_folder";
  for (const auto& [name, word] : {std::pair{"saved_model.pb", "SavedModel"}, std::pair{"model.json", "TensorFlow.js"},
                                   std::pair{"manifest.ocdbt", "Orbax"}}) {
    std::filesystem::remove_all(folder);
    std::filesystem::create_directory(folder);
    std::ofstream(folder / name) << "x";
    EXPECT_THAT(refused(ErrorCode::archive, folder.string()), AllOf(HasSubstr(folder.string()), HasSubstr(word)));
    std::filesystem::remove(folder / name);
  }
  EXPECT_THAT(refused(ErrorCode::missing, folder.string()),
              AllOf(HasSubstr(folder.string() + ": is a folder without config.json"), HasSubstr("allowed a .keras or .h5 file")));
  std::filesystem::remove_all(folder);
}

TEST(ReadingForeignFiles, AHugeFileIsRefusedWithoutReadingIt) {
  const TemporaryFile file("x");
  std::filesystem::resize_file(file.path(), std::uintmax_t{1} << 42U);  // sparse: larger than disk and memory
  EXPECT_THAT(refused(ErrorCode::archive, file.path()), HasSubstr("is neither"));
}

// --- what is said of layers ---------------------------------------------------------------------------------------------------

TEST(ReadingLayers, EveryUnsupportedLayerIsNamed) {
  Json config = config_of("dense");
  for (const char* class_name : {"Conv2D", "LSTM", "Lambda"}) {
    Json object = layer(config, 1);
    object["class_name"] = class_name;
    object["config"]["name"] = std::string("the_") + class_name;
    config["config"]["layers"].push_back(object);
  }
  const std::string what = refused_config(ErrorCode::unsupported, "dense", config);
  EXPECT_THAT(what, AllOf(HasSubstr("'the_Conv2D': class Conv2D is not supported"), HasSubstr("'the_LSTM'"),
                          HasSubstr("'the_Lambda': class Lambda carries code"), HasSubstr("supported are Activation, ")));
}

TEST(ReadingLayers, AnErrorsCodeIsPrintedOnce) {
  Json config = config_of("dense");
  dense(config)["activation"] = "atanh";
  const std::string what = refused_config(ErrorCode::value, "dense", config);
  EXPECT_EQ(what.find("[E_"), what.rfind("[E_")) << what;
}

TEST(ReadingLayers, InconsistentShapesAreErrorsOfTheFile) {
  const auto with = [](const char* class_name, Json fields) {
    Json config = config_of("dense");
    Json object{{"module", "keras.layers"}, {"class_name", class_name}, {"config", std::move(fields)}};
    object["config"]["name"] = "last";
    config["config"]["layers"].push_back(object);
    return config;
  };
  const std::vector<int> ones(17, 1);
  EXPECT_THAT(refused_config(ErrorCode::shape, "dense", with("Reshape", {{"target_shape", ones}})), HasSubstr("layer 'last'"));
}

TEST(ReadingLayers, ExtentsWhoseSumDoesNotFitAreRefused) {
  const auto joined = [](const char* layer_name, const char* of, int times) {
    Json node = Json::array();
    for (int i = 0; i < times; ++i) node.push_back(Json::array({of, 0, 0, Json::object()}));
    return Json{{"class_name", "Concatenate"},
                {"name", layer_name},
                {"inbound_nodes", Json::array({node})},
                {"config", {{"name", layer_name}, {"axis", -1}}}};
  };
  const Json input{{"class_name", "InputLayer"},
                   {"name", "x"},
                   {"inbound_nodes", Json::array()},
                   {"config", {{"batch_shape", {nullptr, std::int64_t{1} << 46U}}, {"name", "x"}}}};
  Json model{{"module", "keras"}, {"class_name", "Functional"}};
  model["config"] = {{"name", "m"},
                     {"layers", {input, joined("b", "x", 1 << 14), joined("c", "b", 8)}},
                     {"input_layers", {{"x", 0, 0}}},
                     {"output_layers", {{"c", 0, 0}}}};
  EXPECT_THAT(refused_config(ErrorCode::overflow, "dense", model), HasSubstr("layer 'c'"));
}

TEST(ReadingLayers, CallsWithInputsAndLongNamesAreCounted) {
  const auto chain = [](int count, const std::string& layer_name) {
    Json calls = Json::array();
    for (int i = 0; i < count; ++i)
      calls.push_back(Json::array({Json::array({i == 0 ? "x" : layer_name, std::max(i - 1, 0), 0, Json::object()})}));
    const Json input{{"class_name", "InputLayer"},
                     {"name", "x"},
                     {"inbound_nodes", Json::array()},
                     {"config", {{"batch_shape", {nullptr, 1}}, {"name", "x"}}}};
    const Json item{{"class_name", "Activation"},
                    {"name", layer_name},
                    {"inbound_nodes", calls},
                    {"config", {{"name", layer_name}, {"activation", "tanh"}}}};
    Json model{{"module", "keras"}, {"class_name", "Functional"}};
    model["config"] = {{"name", "m"},
                       {"layers", {input, item}},
                       {"input_layers", {{"x", 0, 0}}},
                       {"output_layers", {{layer_name, count - 1, 0}}}};
    return model;
  };
  const TemporaryFile few(repacked("dense", chain(9'000, std::string(800, 'n')).dump()));
  EXPECT_NO_THROW(static_cast<void>(Model::load(few.path(), kCpu)));
  EXPECT_THAT(refused_config(ErrorCode::limit, "dense", chain(11'000, std::string(800, 'n'))), HasSubstr("layer calls"));
}

TEST(ReadingLayers, AnAxisMayBeAFloatThatIsAnInteger) {
  Json config = config_of("dense");
  Json object{{"module", "keras.layers"}, {"class_name", "Softmax"}, {"config", {{"name", "s"}, {"axis", 1.0}}}};
  config["config"]["layers"].push_back(object);
  const TemporaryFile file(repacked("dense", config.dump()));
  EXPECT_NO_THROW(static_cast<void>(Model::load(file.path(), kCpu)));
  config["config"]["layers"].back()["config"]["axis"] = 1.5;
  EXPECT_THAT(refused_config(ErrorCode::value, "dense", config), HasSubstr("field 'axis'"));
}

TEST(ReadingLayers, NestingOfLayersIsLimited) {
  Json config = config_of("dense");
  Json inner = layer(config, 1);
  for (int i = 0; i < 10; ++i) {
    Json outer = layer(config, 1);
    outer["config"]["activation"] = inner;
    inner = outer;
  }
  layer(config, 1) = inner;
  EXPECT_THAT(refused_config(ErrorCode::limit, "dense", config), HasSubstr("nested"));
}

// --- models without weights, arrays -------------------------------------------------------------------------------------------

TEST(ReadingLayers, KeepTheirConfigs) {
  const Json relu = {{"class_name", "function"}, {"config", "relu"}, {"module", "builtins"}, {"registered_name", "function"}};
  for (const Json& config : {Json{{"activation", relu}}, Json{{"activation", "tanh"}, {"name", "a,\"b\""}, {"trainable", true}},
                             Json{{"activation", "tanh"}, {"activity_regularizer", nullptr}}}) {
    keras::Reading reading;
    const Json object = {{"class_name", "Activation"}, {"config", config}};
    EXPECT_EQ(keras::config_of(*keras::read_layer(object, "x", reading)), config.dump());
  }
  keras::Reading reading;
  const Json embedding = {{"class_name", "Embedding"}, {"config", {{"input_dim", 3}, {"output_dim", 2}}}};
  EXPECT_EQ(keras::config_of(*keras::read_layer(embedding, "x", reading)), embedding.at("config").dump());
}

TEST(ReadingArchitectures, TextAndWeightsMakeTheModel) {
  const TemporaryFile text(member(fixture("dense"), "config.json"), ".json");
  const Model model = load_architecture(text.path(), fixture("dense"), kCpu);
  const Model whole = Model::load(fixture("dense"), kCpu);
  ASSERT_EQ(model.weights().size(), whole.weights().size());
  const Tensor x = Tensor::of<float>(std::vector<float>(7, 0.5F), Shape{1, 7});
  const Tensor a = model.predict(x);
  const Tensor b = whole.predict(x);
  EXPECT_EQ(std::vector<float>(a.span<float>().begin(), a.span<float>().end()),
            std::vector<float>(b.span<float>().begin(), b.span<float>().end()));
  EXPECT_THAT(refused(ErrorCode::archive, text.path()), HasSubstr("the architecture alone"));
}

TEST(ReadingArrays, NulBytesInAHeaderAreNotPadding) {
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }";
  header += std::string(117 - header.size(), '\0') + "\n";
  std::string bytes = "\x93NUMPY";
  bytes += std::string("\x01\x00\x76\x00", 4) + header + std::string(4, '\0');
  const TemporaryFile file(bytes, ".npy");
  EXPECT_THAT(refusal(ErrorCode::value, [&] { static_cast<void>(load_npy(file.path())); }), HasSubstr("expected the end"));
}

}  // namespace
}  // namespace lamella
