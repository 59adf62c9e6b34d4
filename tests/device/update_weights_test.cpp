// SPDX-License-Identifier: Apache-2.0
// update_weights(): a model whose weights were replaced in place gives the bits of a model made with the new weights.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <fstream>
#include <lamella/models.hpp>
#include <lamella/npy.hpp>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "device/test_device.hpp"
#include "effort.hpp"
#include "model/model_support.hpp"

namespace lamella {
namespace {

using namespace test;

using Values = std::map<std::string, Tensor>;

/// Other values for all floating weights; positive ones stay positive. The mean before a Dense in mixed() stays 0, because only
/// then the layer folds. The groups of a quantized kernel's inputs stay too.
Values changed(const Values& values, float factor = 1.25F) {
  Values result;
  for (const auto& [name, value] : values) {
    if (!is_floating(value.dtype()) || name == "in/moving_mean" || name.ends_with("/g_idx")) continue;
    Tensor wide = value.to(DType::float32);
    for (float& v : wide.span<float>()) v = v * factor + 0.03125F;
    result.emplace(name, wide.to(value.dtype()));
  }
  return result;
}

/// BatchNormalization before and after a Dense, both of which fold; LayerNormalization and PReLU; a Dense wider than a panel.
Model mixed(const Options& options) {
  const auto x = Input({19}, {.name = "x"});
  const auto h = Dense(70, {.activation = "tanh", .name = "wide"})(BatchNormalization({.center = false, .name = "in"})(x));
  const auto n = BatchNormalization({.name = "behind"})(Dense(33, {.use_bias = false, .name = "middle"})(h));
  const auto p = PReLU({.name = "prelu"})(LayerNormalization({.name = "rows"})(n));
  return Functional({x}, {Dense(5, {.activation = "sigmoid", .name = "out"})(p), Dense(3, {.name = "second"})(h)})
      .compile(options);
}

/// The results of predict() and, in device memory, predict_into(), called often enough to be captured.
std::vector<Tensor> answers(const Model& model, const Tensor& x, const Tensor& on_device, std::vector<Tensor>& outputs) {
  std::vector<Tensor> found = model.predict(std::array<TensorView, 1>{x});
  for (int i = 0; i < 3; ++i) {
    std::vector<MutableTensorView> dsts(outputs.begin(), outputs.end());
    model.predict_into(std::array<TensorView, 1>{on_device}, dsts);
    for (const Tensor& output : outputs) found.push_back(output.to(Device::cpu()));
  }
  return found;
}

void expect_updates(const Options& options, std::int64_t rows) {
  SCOPED_TRACE(options.engine + " " + std::to_string(rows));
  Options updatable = options;
  updatable.updatable = true;
  const Model plain = mixed(options);
  Model model = mixed(updatable);
  const DType dtype = model.input_dtype();
  const Tensor x = random_input({rows, 19}).to(dtype);
  const Tensor on_device = x.to(device());
  std::vector<Tensor> outputs;
  outputs.emplace_back(Shape{rows, 5}, model.output_dtype(0), device());
  outputs.emplace_back(Shape{rows, 3}, model.output_dtype(1), device());
  const auto before = answers(model, x, on_device, outputs);
  EXPECT_TRUE(same_bits(before, answers(plain, x, on_device, outputs)));
  EXPECT_TRUE(same_bits(before, answers(model, x, on_device, outputs)));  // repeated calls are captured by now
  const ModelStats stats = model.stats();
  const MemoryBytes bytes = model.memory_bytes();
  const Values other = changed(values_of(plain));
  const Model wanted = plain.with_weights(views_of(other));
  model.update_weights(views_of(other));
  EXPECT_TRUE(same_bits(answers(model, x, on_device, outputs), answers(wanted, x, on_device, outputs)));
  EXPECT_EQ(model.stats().programs, stats.programs);
  EXPECT_EQ(model.stats().graphs, stats.graphs);
  EXPECT_LE(model.memory_bytes().host, bytes.host);
  EXPECT_EQ(model.memory_bytes().device, bytes.device);
  // A new batch size, and a single weight.
  const Tensor more = random_input({rows + 1, 19}).to(dtype);
  EXPECT_TRUE(same_bits(model.predict(std::array<TensorView, 1>{more}), wanted.predict(std::array<TensorView, 1>{more})));
  Values one;
  one.emplace("behind/moving_variance", changed(other).at("behind/moving_variance").clone());
  model.update_weights(views_of(one));
  EXPECT_TRUE(
      same_bits(answers(model, x, on_device, outputs), answers(wanted.with_weights(views_of(one)), x, on_device, outputs)));
  Values there;
  for (const auto& [name, value] : values_of(plain)) there.emplace(name, value.to(device()));
  model.update_weights(views_of(there));
  EXPECT_TRUE(same_bits(answers(model, x, on_device, outputs), before));
}

TEST(UpdateWeightsTest, HasTheBitsOfAModelMadeWithThemOnEveryEngine) {
  std::set<std::string> ran;
  for (const std::string& engine : dense_engine_names()) {
    for (const std::optional<DType> dtype :
         {std::optional<DType>{}, std::optional{DType::bfloat16}, std::optional{DType::float64}}) {
      Options options{.device = device(), .dtype = dtype, .engine = engine, .threads = 2};
      try {
        expect_updates(options, 5);
        ran.insert(engine);
      } catch (const ArgumentError& error) {
        EXPECT_THAT(error.what(), ::testing::HasSubstr(engine)) << "it refuses a type or a size";
      }
    }
  }
  // Two engines run none of these if the vendors' activations differ from Keras', and one only with other options.
  const std::size_t others = device().is_cuda() ? 3 : 2;
  EXPECT_GE(ran.size() + others, dense_engine_names().size()) << "of these: " << ::testing::PrintToString(ran);
}

TEST(UpdateWeightsTest, HasThoseBitsAtEveryBatchSize) {
  for (const std::int64_t rows : {1, 2, 17, 64, 130}) expect_updates({.device = device(), .threads = 2}, rows);
}

struct Fixture {
  std::string folder;
  nlohmann::json entry;
};

std::vector<Tensor> answers(const Model& model, const Fixture& fixture) {
  std::map<std::string, Tensor> arrays = load_npz(fixture.folder + fixture.entry.at("arrays").get<std::string>());
  std::map<std::string, TensorView> inputs;
  for (const auto& [name, key] : fixture.entry.at("inputs").items())
    inputs.emplace(model.input_names().size() == 1 ? model.input_names()[0] : name, arrays.at(key.get<std::string>()));
  return model.predict(inputs);
}

TEST(UpdateWeightsTest, ReachesEveryWeightOfFilesThatKerasWrote) {
  int compared = 0;
  std::vector<std::string> refused;
  for (const char* group : {"keras3", "keras3-lookups", "calls/keras3", "layouts/keras3", "keras2", "quantized/3.15.1"}) {
    std::ifstream file(std::string(LAMELLA_FIXTURES) + "/" + group + "/index.json");
    for (const auto& entry : nlohmann::json::parse(file)) {
      const Fixture fixture{std::string(LAMELLA_FIXTURES) + "/" + group + "/", entry};
      SCOPED_TRACE(group + std::string("/") + entry.at("case").get<std::string>());
      const std::string path = fixture.folder + entry.at("file").get<std::string>();
      const Model plain = Model::load(path, {.device = device(), .threads = 1});
      Model model = Model::load(path, {.device = device(), .threads = 1, .updatable = true});
      const Values old = values_of(plain);
      const Values other = changed(old);
      const auto before = answers(model, fixture);
      try {
        model.update_weights(views_of(other));
      } catch (const ArgumentError& error) {
        EXPECT_EQ(error.code(), ErrorCode::unsupported) << error.what();
        refused.push_back(entry.at("case").get<std::string>());
        EXPECT_TRUE(same_bits(answers(model, fixture), before));
        continue;
      }
      EXPECT_TRUE(same_bits(answers(model, fixture), answers(plain.with_weights(views_of(other)), fixture)));
      const Values found = values_of(model);
      for (const auto& [name, value] : other) EXPECT_TRUE(same_bits(found.at(name), value)) << name;
      model.update_weights(views_of(old));
      EXPECT_TRUE(same_bits(answers(model, fixture), before));
      ++compared;
    }
  }
  EXPECT_GE(compared, 150);
  EXPECT_THAT(refused, ::testing::Each(::testing::HasSubstr("float8")));
}

class Updatable : public ::testing::Test {
 protected:
  const Options options_{.device = device(), .threads = 1, .updatable = true};
  Model model_ = mixed(options_);
  const Tensor x_ = random_input({4, 19});
  [[nodiscard]] std::vector<Tensor> now(const Model& model) const { return model.predict(std::array<TensorView, 1>{x_}); }
};

TEST_F(Updatable, ErrorsLeaveEveryWeightUnchanged) {
  const auto before = now(model_);
  const Values old = values_of(model_);
  Values other = changed(old);
  const auto refused = [&](ErrorCode code, const std::string& words) {
    expect_error(code, words, [&] { model_.update_weights(views_of(other)); });
    EXPECT_TRUE(same_bits(now(model_), before));
    for (const auto& [name, value] : values_of(model_)) EXPECT_TRUE(same_bits(value, old.at(name))) << name;
    other = changed(old);
  };
  other["wide/kernel"] = Tensor::zeros({70, 19});
  refused(ErrorCode::shape, "[Model::update_weights] 'wide/kernel': got shape (70, 19), allowed (19, 70)");
  other["wide/bias"] = Tensor::zeros({70}, DType::int32);
  refused(ErrorCode::dtype, "'wide/bias': got int32, allowed floating types");
  other["wide/gamma"] = Tensor::zeros({70});
  refused(ErrorCode::value, "no weight is named 'wide/gamma'; known: 'behind/beta'");
  // A subnormal scale: the layer may no longer fold (docs/architecture.md).
  for (float& v : other["behind/gamma"].span<float>()) v = 1e-40F;
  refused(ErrorCode::unsupported, "needs different steps: a layer folds into its neighbour now but did not before");
  other["wide/bias"] = Tensor::zeros({70}, DType::int32, device());
  refused(ErrorCode::dtype, "'wide/bias': got int32, allowed floating types");
  Model fixed = mixed({.device = device()});
  expect_error(ErrorCode::unsupported, "was made without Options::updatable", [&] { fixed.update_weights(views_of(other)); });
}

TEST_F(Updatable, CopiesShareTheWeightsAndDerivedModelsHaveTheirOwn) {
  const Model copy = model_;
  Model relu = model_.with_activation("wide", "relu");
  const Model part = model_.output_of("behind");
  const Model same = model_.with_weights(views_of({}));
  const auto of_relu = now(relu);
  const auto of_part = now(part);
  const auto before = now(model_);
  const std::vector<TensorView> views = model_.weights();
  const Values old = values_of(model_);
  const Values other = changed(old);
  model_.update_weights(views_of(other));
  EXPECT_TRUE(same_bits(now(copy), now(model_)));
  EXPECT_FALSE(same_bits(now(copy), before));
  EXPECT_TRUE(same_bits(now(relu), of_relu));
  EXPECT_TRUE(same_bits(now(part), of_part));
  EXPECT_TRUE(same_bits(now(same), before));
  EXPECT_EQ(model_.weights().size(), views.size());
  for (std::size_t i = 0; i < views.size(); ++i) EXPECT_EQ(model_.weights()[i].data(), views[i].data());
  // A model made afterwards starts with the new weights and is independent from then on.
  EXPECT_TRUE(same_bits(now(model_.with_activation("wide", "tanh")), now(model_)));
  relu.update_weights(views_of(other));
  EXPECT_TRUE(same_bits(now(relu), now(model_.with_activation("wide", "relu"))));
}

TEST_F(Updatable, EveryPredictionSeesEitherTheOldOrTheNewWeights) {
  const Values old = values_of(model_);
  const Values other = changed(old);
  const auto a = now(model_);
  const auto b = now(model_.with_weights(views_of(other)));
  ASSERT_FALSE(same_bits(a, b));
  std::atomic<bool> ends{false};
  std::atomic<int> of_neither{0};
  std::atomic<int> calls{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      while (!ends) {
        const auto found = now(model_);
        if (!same_bits(found, a) && !same_bits(found, b)) ++of_neither;
        ++calls;
      }
    });
  }
  Model handle = model_;
  const int updates = 120 / static_cast<int>(kOneCaseOf);
  for (int i = 0; i < updates; ++i) handle.update_weights(views_of(i % 2 == 0 ? other : old));
  while (calls < 6) std::this_thread::yield();
  ends = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(of_neither, 0);
  EXPECT_TRUE(same_bits(now(model_), updates % 2 == 0 ? a : b));
}

TEST(UpdateWeightsTest, ReachesProgramsOfOpenShapes) {
  const auto x = Input({-1, 6}, {.name = "x"});
  const auto h = BatchNormalization({.name = "norm"})(Dense(8, {.name = "dense"})(x));
  Model model = Functional({x}, {h}).compile({.device = device(), .threads = 1, .updatable = true});
  const Tensor a = random_input({2, 3, 6});
  const Tensor b = random_input({2, 5, 6});
  static_cast<void>(model.predict(a));
  static_cast<void>(model.predict(b));
  const Values other = changed(values_of(model));
  const Model wanted = model.with_weights(views_of(other));
  model.update_weights(views_of(other));
  const Tensor c = random_input({2, 4, 6});  // this shape is first seen afterwards
  for (const Tensor* each : {&a, &b, &c}) EXPECT_TRUE(same_bits(model.predict(*each), wanted.predict(*each)));
}

}  // namespace
}  // namespace lamella
