// SPDX-License-Identifier: Apache-2.0
// The C interface: models derived from others, and the facts that a model reports.
#include "c/c_api_support.hpp"

#include <lamella/model.hpp>

namespace lamella {
namespace {

using namespace test;

TEST(CApiChangesTest, ChangesModelsWithoutTouchingTheOriginal) {
  const ModelHandle model = loaded("dense");
  lamella_model* changed = nullptr;
  ok(lamella_model_with_activation(model.get(), "dense", "tanh", &changed));
  const ModelHandle held(changed);
  Tensor x = array_of(kFixtures + "dense/arrays.npz", "x");
  Model cpp = Model::load(kFixtures + "dense/model.keras", {.device = Device::cpu()});
  for (const auto& [handle, wanted] :
       {std::pair{model.get(), cpp.predict(x)}, {changed, cpp.with_activation("dense", "tanh").predict(x)}}) {
    Tensor y(wanted.shape());
    const Described in(x);
    const Described out(y);
    ok(lamella_model_predict(handle, &in.tensor, 1, &out.tensor, 1));
    EXPECT_TRUE(same_bits(y, wanted));
  }
  lamella_model* again = nullptr;
  ok(lamella_model_with_weights(changed, (kFixtures + "dense/model.keras").c_str(), &again));
  lamella_model_free(again);
  refused(lamella_model_with_activation(model.get(), "nobody", "tanh", &changed), "E_VALUE", "no layer is named 'nobody'");
  refused(lamella_model_with_weights(model.get(), "no/such.h5", &changed), "E_IO", "no/such.h5");
}

TEST(CApiChangesTest, UpdatesWeightsInPlace) {
  const ModelHandle held = loaded("dense", "cpu", "true");
  lamella_model* const model = held.get();
  const Model cpp = Model::load(kFixtures + "dense/model.keras", {.device = Device::cpu()});
  Tensor x = array_of(kFixtures + "dense/arrays.npz", "x");
  const auto predicts = [&](const Tensor& wanted) {
    Tensor y(wanted.shape());
    const Described in(x);
    const Described out(y);
    ok(lamella_model_predict(model, &in.tensor, 1, &out.tensor, 1));
    EXPECT_TRUE(same_bits(y, wanted));
  };
  predicts(cpp.predict(x));
  Tensor kernel = Tensor::copy_of(cpp.get_layer("dense").weights[0].second);
  for (float& v : kernel.span<float>()) v += 0.5F;
  Tensor bias(Shape{kernel.shape()[1]});
  std::fill(bias.span<float>().begin(), bias.span<float>().end(), 0.25F);
  const Tensor wanted = cpp.with_weights({{"dense/kernel", kernel}, {"dense/bias", bias}}).predict(x);
  const Described new_kernel(kernel);
  Described new_bias(bias);
  const char* names[] = {"dense/kernel", "dense/bias"};
  const std::int64_t every_other[] = {2};
  std::vector<float> wide(static_cast<std::size_t>(bias.shape()[0]) * 2, 0.25F);
  for (std::size_t i = 1; i < wide.size(); i += 2) wide[i] = 9;
  new_bias.tensor.data = wide.data();
  new_bias.tensor.strides = every_other;
  const lamella_tensor values[] = {new_kernel.tensor, new_bias.tensor};
  ok(lamella_model_update_weights(model, names, values, 2));
  predicts(wanted);
  ok(lamella_model_update_weights(model, nullptr, nullptr, 0));
  const char* twice[] = {"dense/bias", "dense/bias"};
  const lamella_tensor both[] = {new_bias.tensor, new_bias.tensor};
  refused(lamella_model_update_weights(model, twice, both, 2), "E_VALUE", "weight 'dense/bias' is given twice");
  const char* wrong[] = {"dense/bias", "dense/kernel"};
  refused(lamella_model_update_weights(model, wrong, values, 2), "E_SHAPE", "'dense/bias': got shape");
  refused(lamella_model_update_weights(model, nullptr, values, 1), "E_ARGUMENT", "names: got NULL");
  refused(lamella_model_update_weights(model, names, nullptr, 1), "E_ARGUMENT", "values: got NULL");
  refused(lamella_model_update_weights(nullptr, names, values, 1), "E_ARGUMENT", "model: got NULL");
  refused(lamella_model_enqueue_update(model, names, values, 2, nullptr), "E_DEVICE", "the model is on cpu, which has none");
  refused(lamella_model_enqueue_update(nullptr, names, values, 1, nullptr), "E_ARGUMENT", "model: got NULL");
  refused(lamella_model_enqueue_update(model, nullptr, values, 1, nullptr), "E_ARGUMENT", "names: got NULL");
  refused(lamella_model_update_weights(loaded("dense").get(), names, values, 1), "E_UNSUPPORTED", "without Options::updatable");
  predicts(wanted);
}

TEST(CApiChangesTest, TellsAFunctionWhatItDoes) {
  struct Told {
    std::vector<std::pair<std::int32_t, std::string>> messages;
    int freed = 0;
  } told;
  const auto log = [](std::int32_t level, const char* message, void* user) {
    static_cast<Told*>(user)->messages.emplace_back(level, message);
  };
  ok(lamella_set_log_function(log, &told, [](void* user) { ++static_cast<Told*>(user)->freed; }));
  loaded("dense");
  ASSERT_EQ(told.messages.size(), 1U);
  EXPECT_EQ(told.messages[0].first, LAMELLA_LOG_INFO);
  EXPECT_THAT(told.messages[0].second, HasSubstr("is made for cpu"));
  EXPECT_EQ(told.freed, 0);
  ok(lamella_set_log_function(log, &told, nullptr));
  EXPECT_EQ(told.freed, 1);
  ok(lamella_set_log_function(nullptr, nullptr, nullptr));
  loaded("dense");
  EXPECT_EQ(told.messages.size(), 1U);
  EXPECT_EQ(told.freed, 1);
}

TEST(CApiChangesTest, SavesModelsThatItCanReadAgain) {
  const ModelHandle model = loaded("dense");
  const std::string path = ::testing::TempDir() + "lamella_c_saved.keras";
  ok(lamella_model_save(model.get(), path.c_str()));
  const Tensor x = array_of(kFixtures + "dense/arrays.npz", "x");
  EXPECT_TRUE(same_bits(Model::load(path).predict(x), Model::load(kFixtures + "dense/model.keras").predict(x)));
  std::remove(path.c_str());
  refused(lamella_model_save(model.get(), "model.onnx"), "E_VALUE", "got 'model.onnx', allowed NAME.keras, NAME.weights.h5");
  refused(lamella_model_save(model.get(), nullptr), "E_ARGUMENT", "path: got NULL");
}

TEST(CApiChangesTest, SetsActivationsWithParameters) {
  const ModelHandle model = loaded("dense");
  const Model cpp = Model::load(kFixtures + "dense/model.keras", {.device = Device::cpu()});
  Tensor x = array_of(kFixtures + "dense/arrays.npz", "x");
  const Tensor wanted = cpp.with_activation("dense", ActivationSpec::leaky_relu(0.05)).predict(x);
  const char* const names[] = {"negative_slope"};
  const double values[] = {0.05};
  lamella_model* changed = nullptr;
  ok(lamella_model_with_activation_parameters(model.get(), "dense", "leaky_relu", names, values, 1, &changed));
  const ModelHandle held(changed);
  Tensor y(wanted.shape());
  const Described in(x);
  const Described out(y);
  ok(lamella_model_predict(changed, &in.tensor, 1, &out.tensor, 1));
  EXPECT_TRUE(same_bits(y, wanted));
  refused(lamella_model_with_activation_parameters(model.get(), "dense", "elu", names, values, 1, &changed), "E_VALUE",
          "known: alpha");
  refused(lamella_model_with_activation_parameters(model.get(), "dense", "elu", nullptr, values, 1, &changed), "E_ARGUMENT",
          "names: got NULL");
  refused(lamella_model_with_activation_parameters(model.get(), "dense", "elu", names, nullptr, 1, &changed), "E_ARGUMENT",
          "values: got NULL");
}

TEST(CApiChangesTest, ReportsStatisticsAndEndsAModelAtALayer) {
  const ModelHandle model = loaded("dense_chain");
  const Model cpp = Model::load(kFixtures + "dense_chain/model.keras", {.device = Device::cpu()});
  const std::string layer = cpp.layers()[1].name;
  lamella_model* part = nullptr;
  ok(lamella_model_output_of(model.get(), layer.c_str(), &part));
  const ModelHandle held(part);
  EXPECT_STREQ(lamella_model_output_name(part, 0), layer.c_str());
  EXPECT_LT(lamella_model_count_params(part), lamella_model_count_params(model.get()));
  refused(lamella_model_output_of(model.get(), "nobody", &part), "E_VALUE", "no layer is named 'nobody'");

  std::uint64_t host = 0;
  std::uint64_t device = 1;
  ok(lamella_model_memory_bytes(model.get(), &host, &device));
  EXPECT_EQ(host, cpp.memory_bytes().host);
  EXPECT_EQ(device, 0U);
  lamella_stats stats{};
  refused(lamella_model_stats(model.get(), &stats), "E_ARGUMENT", "struct_size: got 0");
  stats.struct_size = sizeof stats;
  ok(lamella_model_stats(model.get(), &stats));
  EXPECT_EQ(stats.calls, 0);
  Tensor x = array_of(kFixtures + "dense_chain/arrays.npz", "x");
  Tensor y(cpp.predict(x).shape());
  const Described in(x);
  const Described out(y);
  ok(lamella_model_predict(model.get(), &in.tensor, 1, &out.tensor, 1));
  ok(lamella_model_stats(model.get(), &stats));
  EXPECT_EQ(stats.calls, 1);
  EXPECT_EQ(stats.rows, x.shape()[0]);
  EXPECT_EQ(stats.sessions, 1);
  EXPECT_GT(stats.preparing_seconds, 0);
}

TEST(CApiChangesTest, ReadsWeightsFromFiles) {
  const ModelHandle fixed = loaded("dense");
  const std::string path = testing::TempDir() + "/c_api_changes_test.npz";
  const Model cpp = Model::load(kFixtures + "dense/model.keras", {.device = Device::cpu()});
  const LayerInfo layer = cpp.layers().back();
  const Tensor zeros = Tensor::zeros(layer.weights[0].second.shape());
  save_npz(path, {{layer.path + "/kernel", zeros}});
  const Tensor x = array_of(kFixtures + "dense/arrays.npz", "x");
  const Tensor wanted = cpp.with_weights(path).predict(x);
  EXPECT_FALSE(same_bits(wanted, cpp.predict(x)));
  const auto expect_wanted = [&](const lamella_model* model) {
    Tensor y(wanted.shape());
    Tensor copy = x.clone();
    const Described in(copy);
    const Described out(y);
    ok(lamella_model_predict(model, &in.tensor, 1, &out.tensor, 1));
    EXPECT_TRUE(same_bits(y, wanted));
  };
  lamella_model* changed = nullptr;
  ok(lamella_model_with_weights(fixed.get(), path.c_str(), &changed));
  const ModelHandle held(changed);
  expect_wanted(changed);

  lamella_options* options = nullptr;
  ok(lamella_options_create(&options));
  ok(lamella_options_set(options, "updatable", "true"));
  ok(lamella_options_set(options, "device", "cpu"));
  lamella_model* updatable = nullptr;
  ok(lamella_model_load((kFixtures + "dense/model.keras").c_str(), options, &updatable));
  lamella_options_free(options);
  const ModelHandle kept(updatable);
  ok(lamella_model_update_from_file(updatable, path.c_str()));
  expect_wanted(updatable);
  refused(lamella_model_update_from_file(updatable, nullptr), "E_ARGUMENT", "path: got NULL");
  refused(lamella_model_update_from_file(updatable, "absent.npz"), "E_IO", "absent.npz: cannot be opened");
  refused(lamella_model_update_from_file(fixed.get(), path.c_str()), "E_UNSUPPORTED", "without Options::updatable");
  save_npz(path, {{"nobody/kernel", zeros}});
  refused(lamella_model_update_from_file(updatable, path.c_str()), "E_VALUE", "no weight is named 'nobody/kernel'");
  expect_wanted(updatable);
}

TEST(CApiChangesTest, LoadsWithAShape) {
  const std::int64_t shape[] = {3};
  lamella_model* model = nullptr;
  const std::string path = kFixtures + "dense/model.keras";  // has a shape of its own, which takes precedence
  ok(lamella_model_load_with_shape(path.c_str(), shape, 1, nullptr, &model));
  const ModelHandle held(model);
  EXPECT_EQ(lamella_model_count_params(model), lamella_model_count_params(loaded("dense").get()));
  refused(lamella_model_load_with_shape(path.c_str(), nullptr, 1, nullptr, &model), "E_ARGUMENT", "shape: got NULL");
  refused(lamella_model_load_with_shape(path.c_str(), shape, 16, nullptr, &model), "E_VALUE", "ndim: got 16");
}

}  // namespace
}  // namespace lamella
