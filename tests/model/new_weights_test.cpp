// SPDX-License-Identifier: Apache-2.0
// Models with new weights from the caller's memory.
#include <fstream>
#include <lamella/model.hpp>
#include <lamella/npy.hpp>
#include <nlohmann/json.hpp>

#include "model/model_support.hpp"

namespace lamella {
namespace {

using namespace test;

const Options kCpu{.device = Device::cpu(), .threads = 1};
const std::string kFixtures = std::string(LAMELLA_FIXTURES) + "/";

using Values = std::map<std::string, Tensor>;

struct Fixture {
  std::string folder;
  nlohmann::json entry;
};

std::vector<Fixture> fixtures_of(const std::string& group) {
  std::vector<Fixture> result;
  std::ifstream file(kFixtures + group + "/index.json");
  for (const auto& entry : nlohmann::json::parse(file)) result.push_back({kFixtures + group + "/", entry});
  return result;
}

std::vector<Tensor> answers(const Model& model, const Fixture& fixture) {
  std::map<std::string, Tensor> arrays = load_npz(fixture.folder + fixture.entry.at("arrays").get<std::string>());
  std::map<std::string, TensorView> inputs;
  for (const auto& [name, key] : fixture.entry.at("inputs").items())
    inputs.emplace(model.input_names().size() == 1 ? model.input_names()[0] : name, arrays.at(key.get<std::string>()));
  return model.predict(inputs);
}

TEST(NewWeightsTest, AreAsGoodAsThoseOfAFile) {
  int compared = 0;
  for (const char* group : {"keras3", "keras2"}) {
    for (const Fixture& fixture : fixtures_of(group)) {
      if (!fixture.entry.contains("weights_file") || !fixture.entry.at("weights_file").is_string()) continue;
      SCOPED_TRACE(fixture.entry.at("case").get<std::string>());
      const Model model = Model::load(fixture.folder + fixture.entry.at("file").get<std::string>(), kCpu);
      const Model from_file = model.with_weights(fixture.folder + fixture.entry.at("weights_file").get<std::string>());
      const Values values = values_of(from_file);
      const Model from_memory = model.with_weights(views_of(values));
      EXPECT_TRUE(same_bits(answers(from_memory, fixture), answers(from_file, fixture)));
      ++compared;
    }
  }
  EXPECT_GE(compared, 4);
}

TEST(NewWeightsTest, ReachEveryWeightOfEveryModel) {
  int compared = 0;
  for (const char* group : {"keras3", "keras3-more", "calls/keras3", "layouts/keras3", "keras2"}) {
    for (const Fixture& fixture : fixtures_of(group)) {
      SCOPED_TRACE(fixture.entry.at("case").get<std::string>());
      const Model model = Model::load(fixture.folder + fixture.entry.at("file").get<std::string>(), kCpu);
      const Values old = values_of(model);
      Values changed;
      for (const auto& [name, value] : old) {
        if (value.dtype() == DType::float32) changed.emplace(name, random_input(value.shape(), 7));
      }
      if (changed.empty()) continue;
      const Model other = model.with_weights(views_of(changed));
      const Values found = values_of(other);
      ASSERT_EQ(found.size(), old.size());
      for (const auto& [name, value] : found)
        EXPECT_TRUE(same_bits(value, changed.contains(name) ? changed.at(name) : old.at(name))) << name;
      EXPECT_TRUE(same_bits(answers(other.with_weights(views_of(old)), fixture), answers(model, fixture)));
      ++compared;
    }
  }
  EXPECT_GE(compared, 100);
}

TEST(NewWeightsTest, ConvertFloatingTypesAndLeaveOthersAlone) {
  const Fixture fixture{kFixtures + "keras3/", {}};
  const Model model = Model::load(fixture.folder + "dense/model.keras", kCpu);
  const Values old = values_of(model);
  const Tensor& bias = old.at("dense/bias");
  const Model other = model.with_weights({{"dense/bias", bias.to(DType::float64)}});
  EXPECT_TRUE(same_bits(values_of(other).at("dense/bias"), bias));
  EXPECT_EQ(other.get_layer("dense").weights[0].second.data(), model.get_layer("dense").weights[0].second.data()) << "shared";
  EXPECT_NE(other.get_layer("dense").weights[1].second.data(), model.get_layer("dense").weights[1].second.data());
}

TEST(NewWeightsTest, AreRefusedIfTheyDoNotFit) {
  const Model colliding = Model::load(kFixtures + "keras2/names_with_slashes/model.keras", kCpu);
  expect_error(ErrorCode::value, "2 weights are named 'a/b/c/beta'", [&] {
    (void)colliding.with_weights({{"a/b/c/beta", Tensor::zeros({1})}});
  });
  const Model model = Model::load(kFixtures + "keras3/dense/model.keras", kCpu);
  const Tensor bias = std::move(values_of(model).at("dense/bias"));
  expect_error(ErrorCode::value, "no weight is named 'dense/gamma'; known: 'dense/bias', 'dense/kernel'", [&] {
    (void)model.with_weights({{"dense/gamma", bias}});
  });
  expect_error(ErrorCode::shape, "'dense/kernel': got shape", [&] { (void)model.with_weights({{"dense/kernel", bias}}); });
  expect_error(ErrorCode::dtype, "'dense/bias': got int32, allowed floating types", [&] {
    (void)model.with_weights({{"dense/bias", bias.to(DType::int32)}});
  });
}

}  // namespace
}  // namespace lamella
