// SPDX-License-Identifier: Apache-2.0
// Loading weights into a model: every fixture's own file leaves its model unchanged to the bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <lamella/model.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "keras/refused.hpp"

namespace lamella {
namespace {

using test::refusal;

using ::testing::AllOf;
using ::testing::HasSubstr;

const Options kCpu{.device = Device::cpu(), .threads = 1};

std::vector<std::string> whole_models() {
  std::vector<std::string> found;
  for (const char* group : {"keras3", "keras3-early", "keras2", "keras212", "layouts/keras3", "layouts/keras2",
                            "layouts/keras212", "layouts/keras214", "quantized/3.12.4", "quantized/3.13.2", "quantized/3.14.1",
                            "quantized/3.15.1", "features/keras2", "features/keras3"}) {
    const std::string folder = std::string(LAMELLA_FIXTURES) + "/" + group + "/";
    std::ifstream index(folder + "index.json");
    for (const auto& entry : nlohmann::json::parse(index)) found.push_back(folder + entry.at("file").get<std::string>());
  }
  return found;
}

void expect_same_weights(const Model& found, const Model& wanted) {
  const std::vector<TensorView> a = found.weights();
  const std::vector<TensorView> b = wanted.weights();
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i].shape(), b[i].shape()) << i;
    ASSERT_EQ(a[i].dtype(), b[i].dtype()) << i;
    if (a[i].bytes() == 0) continue;
    ASSERT_EQ(std::memcmp(a[i].data(), b[i].data(), a[i].bytes()), 0) << i;
  }
}

TEST(WeightsTest, AModelsOwnFileLeavesItsWeightsUnchanged) {
  const std::vector<std::string> files = whole_models();
  ASSERT_GT(files.size(), 300U);
  for (const std::string& file : files) {
    SCOPED_TRACE(file);
    const Model model = Model::load(file, kCpu);
    expect_same_weights(model.with_weights(file), model);
    if (HasFatalFailure()) return;
  }
}

TEST(WeightsTest, AQuantizedLegacyModelAcceptsTheWeightsOfAKerasFile) {
  const std::string here = std::string(LAMELLA_FIXTURES) + "/quantized/";
  const std::string file = here + "3.14.1/int4_grouped/model.keras";
  const Model wanted = Model::load(file, kCpu);
  const Model found = Model::load(here + "3.15.1/int4_grouped_h5/model.h5", kCpu).with_weights(file);
  std::vector<std::int64_t> shape = wanted.input_shape();
  shape.insert(shape.begin(), 2);
  Tensor x{Shape(shape)};
  float number = -1.0F;
  for (float& element : x.span<float>()) element = number = number > 1.0F ? -1.0F : number + 0.37F;
  const Tensor a = found.predict(x);
  const Tensor b = wanted.predict(x);
  ASSERT_EQ(a.shape(), b.shape());
  EXPECT_EQ(std::memcmp(a.data(), b.data(), b.bytes()), 0);
}

TEST(WeightsTest, WeightsFilesAreNotModels) {
  for (const char* file : {"keras3/weights_h5/new.weights.h5", "keras212/weights_keras2/new_weights.h5",
                           "keras3/weights_sharded/new_00000.weights.h5"}) {
    const std::string path = std::string(LAMELLA_FIXTURES) + "/" + file;
    EXPECT_THAT(refusal(ErrorCode::missing, [&] { static_cast<void>(Model::load(path, kCpu)); }),
                AllOf(HasSubstr(path), HasSubstr("model_config"), HasSubstr("it holds weights only")));
  }
}

TEST(WeightsTest, OfAnotherModelSayWhichLayerTheyDoNotFit) {
  const std::string here = LAMELLA_FIXTURES;
  const Model model = Model::load(here + "/keras3/weights_h5/model.keras", kCpu);
  for (const char* file : {"/keras3/prelu/model.keras", "/keras3/h5_prelu/model.h5"}) {
    std::string text;
    try {
      static_cast<void>(model.with_weights(here + file));
      ADD_FAILURE() << file;
    } catch (const LoadError& error) {
      text = error.what();
    }
    EXPECT_THAT(text, AllOf(HasSubstr(here + file), HasSubstr("layer '")));
  }
}

}  // namespace
}  // namespace lamella
