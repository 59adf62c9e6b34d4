// SPDX-License-Identifier: Apache-2.0
// The C interface: the same answers as in C++, and each function with arguments that it must refuse.
#include "c/c_api_support.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <lamella/model.hpp>
#include <lamella/version.hpp>

namespace lamella {
namespace {

using namespace test;

TEST(CApiTest, ReportsItsVersions) {
  EXPECT_EQ(lamella_abi_version(), LAMELLA_ABI_VERSION);
  EXPECT_EQ(lamella_version(), version());
}

TEST(CApiTest, PredictsAsCppDoes) {
  const ModelHandle model = loaded("dense");
  Tensor x = array_of(kFixtures + "dense/arrays.npz", "x");
  const Tensor wanted = Model::load(kFixtures + "dense/model.keras", {.device = Device::cpu()}).predict(x);
  Tensor y(wanted.shape());
  const Described in(x);
  const Described out(y);
  ok(lamella_model_predict(model.get(), &in.tensor, 1, &out.tensor, 1));
  EXPECT_TRUE(same_bits(y, wanted));
}

TEST(CApiTest, ReadsAModelFromMemory) {
  std::ifstream file(kFixtures + "dense/model.keras", std::ios::binary);
  std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  lamella_model* model = nullptr;
  ok(lamella_model_load_bytes(bytes.data(), bytes.size(), nullptr, &model));
  const ModelHandle held(model);
  std::fill(bytes.begin(), bytes.end(), '\0');  // the library has copied them
  EXPECT_EQ(lamella_model_count_params(model), lamella_model_count_params(loaded("dense").get()));
  refused(lamella_model_load_bytes("PK\3\4 and no more", 16, nullptr, &model), "E_ARCHIVE", "");
}

TEST(CApiTest, TakesSeveralInputsAndOutputs) {
  const ModelHandle model = loaded("graph");
  ASSERT_EQ(lamella_model_input_count(model.get()), 2);
  ASSERT_EQ(lamella_model_output_count(model.get()), 2);
  EXPECT_STREQ(lamella_model_input_name(model.get(), 0), "a");
  EXPECT_STREQ(lamella_model_output_name(model.get(), 0), "out");
  EXPECT_EQ(lamella_model_input_name(model.get(), 2), nullptr);
  EXPECT_EQ(lamella_model_output_name(model.get(), -1), nullptr);
  TwoByTwo graph;
  const std::array inputs{graph.in_a.tensor, graph.in_b.tensor};
  const std::array outputs{graph.out_y.tensor, graph.out_z.tensor};
  ok(lamella_model_predict(model.get(), inputs.data(), 2, outputs.data(), 2));
  EXPECT_TRUE(same_bits(graph.y, graph.wanted[0]));
  EXPECT_TRUE(same_bits(graph.z, graph.wanted[1]));
  refused(lamella_model_predict(model.get(), inputs.data(), 1, outputs.data(), 2), "E_ARGUMENT", "has 2 inputs, got 1");
  refused(lamella_model_predict(model.get(), nullptr, 2, outputs.data(), 2), "E_ARGUMENT", "input: got NULL");
}

TEST(CApiTest, FollowsStridesOfInputsAndOutputs) {
  const ModelHandle model = loaded("dense");
  const Tensor x = array_of(kFixtures + "dense/arrays.npz", "x");
  const std::int64_t rows = x.shape()[0];
  const std::int64_t columns = x.shape()[1];
  const Tensor wanted = Model::load(kFixtures + "dense/model.keras", {.device = Device::cpu()}).predict(x);
  const std::int64_t units = wanted.shape()[1];
  // Fortran order, with the rows in reverse.
  Tensor turned(Shape{columns, rows});
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c)
      turned.span<float>()[static_cast<std::size_t>(c * rows + (rows - 1 - r))] =
          x.span<float>()[static_cast<std::size_t>(r * columns + c)];
  }
  Tensor wide = Tensor::zeros(Shape{rows, 2 * units});
  Described in(turned);
  in.shape = {rows, columns};
  in.strides = {-1, rows};
  in.tensor.shape = in.shape.data();
  in.tensor.strides = in.strides.data();
  in.tensor.data = turned.span<float>().data() + rows - 1;
  Described out(wide);
  out.shape = {rows, units};
  out.strides = {2 * units, 2};
  out.tensor.shape = out.shape.data();
  out.tensor.strides = out.strides.data();
  ok(lamella_model_predict(model.get(), &in.tensor, 1, &out.tensor, 1));
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t u = 0; u < units; ++u) {
      EXPECT_EQ(wide.span<float>()[static_cast<std::size_t>((r * units + u) * 2)],
                wanted.span<float>()[static_cast<std::size_t>(r * units + u)]);
      EXPECT_EQ(wide.span<float>()[static_cast<std::size_t>((r * units + u) * 2 + 1)], 0.0F) << "between the elements";
    }
  }
  in.strides[1] = INT64_MAX / 2;
  refused(lamella_model_predict(model.get(), &in.tensor, 1, &out.tensor, 1), "E_OVERFLOW", "strides reach");
}

TEST(CApiTest, DescribesInputsAndOutputs) {
  const ModelHandle model = loaded("dense");
  lamella_tensor what{sizeof(lamella_tensor), &what, -1, -1, nullptr, nullptr, -1, -1};
  ok(lamella_model_input(model.get(), 0, &what));
  EXPECT_EQ(what.data, nullptr);
  EXPECT_EQ(what.dtype, LAMELLA_FLOAT32);
  ASSERT_EQ(what.ndim, 2);
  EXPECT_EQ(what.shape[0], -1);
  EXPECT_EQ(what.shape[1], 7);
  EXPECT_EQ(what.strides, nullptr);
  EXPECT_EQ(what.device_type, LAMELLA_CPU);
  ok(lamella_model_output(model.get(), 0, &what));
  EXPECT_EQ(what.shape[1], 5);
  refused(lamella_model_input(model.get(), 1, &what), "E_VALUE", "index: got 1, allowed 0..0");
  refused(lamella_model_output(model.get(), -1, &what), "E_VALUE", "index: got -1");
  what.struct_size = 8;
  refused(lamella_model_output(model.get(), 0, &what), "E_ARGUMENT", "struct_size: got 8");
  refused(lamella_model_input(model.get(), 0, nullptr), "E_ARGUMENT", "what: got NULL");
  std::int32_t type = 0;
  std::int32_t index = -1;
  ok(lamella_model_device(model.get(), &type, &index));
  EXPECT_EQ(type, LAMELLA_CPU);
  EXPECT_EQ(index, 0);
}

TEST(CApiTest, ReturnsResultsWhoseShapeDependsOnTheInputs) {
  const ModelHandle model = loaded("none_inner_dim");
  const std::string arrays = kFixtures + "none_inner_dim/arrays.npz";
  Tensor x = array_of(arrays, "x");
  const Tensor wanted = Model::load(kFixtures + "none_inner_dim/model.keras", {.device = Device::cpu()}).predict(x);
  const Described in(x);
  lamella_tensor y{};
  y.struct_size = sizeof y;
  ok(lamella_model_output(model.get(), 0, &y));
  ASSERT_NE(std::find(y.shape + 1, y.shape + y.ndim, -1), y.shape + y.ndim);
  lamella_results* results = nullptr;
  ok(lamella_model_predict_new(model.get(), &in.tensor, 1, &results));
  ok(lamella_results_get(results, 0, &y));
  EXPECT_EQ(y.dtype, LAMELLA_FLOAT32);
  ASSERT_EQ(Shape(std::span(y.shape, static_cast<std::size_t>(y.ndim))), wanted.shape());
  EXPECT_EQ(std::memcmp(y.data, wanted.data(), wanted.bytes()), 0);
  refused(lamella_results_get(results, 1, &y), "E_VALUE", "index: got 1, allowed 0..0");
  refused(lamella_results_get(results, -1, &y), "E_VALUE", "index: got -1");
  y.struct_size = 8;
  refused(lamella_results_get(results, 0, &y), "E_ARGUMENT", "struct_size: got 8");
  lamella_results_free(results);

  results = nullptr;
  refused(lamella_model_predict_new(model.get(), &in.tensor, 2, &results), "E_ARGUMENT", "has 1 inputs, got 2");
  refused(lamella_model_predict_new(model.get(), &in.tensor, 1, nullptr), "E_ARGUMENT", "results: got NULL");
  lamella_tensor elsewhere = in.tensor;
  elsewhere.device_type = LAMELLA_CUDA;
  refused(lamella_model_predict_new(model.get(), &elsewhere, 1, &results), "E_DEVICE", "does not lie on the CPU");
  EXPECT_EQ(results, nullptr);
}

TEST(CApiTest, ReturnsTextThatTheCallerOwns) {
  const ModelHandle model = loaded("dense");
  char* text = nullptr;
  ok(lamella_model_summary(model.get(), &text));
  EXPECT_THAT(text, HasSubstr("Total params"));
  lamella_string_free(text);
  for (const int json : {0, 1}) {
    ok(lamella_model_explain(model.get(), 8, json, &text));
    EXPECT_EQ(text[0] == '{', json == 1) << text;
    lamella_string_free(text);
  }
  refused(lamella_model_explain(model.get(), -1, 0, &text), "E_VALUE", "batch: got -1");
}

TEST(CApiTest, PreparesBatches) {
  const ModelHandle model = loaded("dense");
  const std::array<std::int64_t, 2> batches{1, 64};
  ok(lamella_model_prepare(model.get(), batches.data(), batches.size()));
  ok(lamella_model_prepare(model.get(), nullptr, 0));
  const std::int64_t none = 0;
  refused(lamella_model_prepare(model.get(), &none, 1), "E_VALUE", "got 0 rows");
}

TEST(CApiTest, SetsEveryOption) {
  lamella_options* options = nullptr;
  ok(lamella_options_create(&options));
  for (const auto& [name, value] : std::vector<std::pair<const char*, const char*>>{{"device", "cpu"},
                                                                                    {"dtype", "float64"},
                                                                                    {"dtype", ""},
                                                                                    {"math", "tf32"},
                                                                                    {"math", "bf16x6"},
                                                                                    {"fusion", "none"},
                                                                                    {"determinism", "run_to_run"},
                                                                                    {"tuning", "cached"},
                                                                                    {"hard_sigmoid", "keras2"},
                                                                                    {"engine", "small"},
                                                                                    {"threads", "1"},
                                                                                    {"max_batch", "128"},
                                                                                    {"cached_programs", "2"},
                                                                                    {"memory_limit", "1000000"},
                                                                                    {"graphs", "false"},
                                                                                    {"profile", "true"},
                                                                                    {"profile", "false"},
                                                                                    {"fusion", "automatic"}})
    ok(lamella_options_set(options, name, value));
  lamella_model* model = nullptr;
  ok(lamella_model_load((kFixtures + "dense/model.keras").c_str(), options, &model));
  char* text = nullptr;
  ok(lamella_model_explain(model, 1, 0, &text));
  EXPECT_THAT(text, HasSubstr("small"));
  lamella_string_free(text);
  lamella_model_free(model);
  refused(lamella_options_set(options, "fusion", "some"), "E_VALUE",
          "fusion: got 'some', allowed automatic, none, epilogue, library");
  refused(lamella_options_set(options, "threads", "4x"), "E_VALUE", "threads: got '4x', allowed a whole number");
  refused(lamella_options_set(options, "speed", "fast"), "E_VALUE", "no option is named 'speed'; known: device, dtype");
  refused(lamella_options_set(options, "dtype", "float8"), "E_DTYPE", "float8");
  ok(lamella_options_set(options, "engine", "warp_drive"));
  refused(lamella_model_load((kFixtures + "dense/model.keras").c_str(), options, &model), "E_VALUE", "warp_drive");
  lamella_options_free(options);
}

TEST(CApiTest, RefusesArraysThatDoNotFit) {
  const ModelHandle model = loaded("dense");
  Tensor x = array_of(kFixtures + "dense/arrays.npz", "x");
  Tensor y(Shape{x.shape()[0], 5});
  const Described in(x);
  const Described out(y);
  const auto predict = [&](lamella_tensor a, lamella_tensor b) { return lamella_model_predict(model.get(), &a, 1, &b, 1); };
  const auto changed = [](lamella_tensor tensor, const auto& change) {
    change(tensor);
    return tensor;
  };
  const std::int64_t wrong[] = {x.shape()[0], 4};
  refused(predict(changed(in.tensor, [](auto& t) { t.struct_size = 0; }), out.tensor), "E_ARGUMENT",
          "input 'input_layer': struct_size: got 0");
  refused(predict(changed(in.tensor, [](auto& t) { t.dtype = 99; }), out.tensor), "E_DTYPE", "dtype: got 99, allowed 0..12");
  refused(predict(changed(in.tensor, [](auto& t) { t.dtype = LAMELLA_INT32; }), out.tensor), "E_DTYPE",
          "got int32, the model has float32");
  refused(predict(changed(in.tensor, [](auto& t) { t.ndim = 17; }), out.tensor), "E_SHAPE", "ndim: got 17, allowed 1..16");
  refused(predict(changed(in.tensor, [](auto& t) { t.shape = nullptr; }), out.tensor), "E_ARGUMENT", "shape: got NULL");
  refused(predict(changed(in.tensor, [](auto& t) { t.data = nullptr; }), out.tensor), "E_ARGUMENT", "data: got NULL");
  refused(predict(changed(in.tensor, [](auto& t) { t.device_type = 7; }), out.tensor), "E_DEVICE", "device_type: got 7");
  refused(predict(changed(in.tensor, [](auto& t) { t.device_type = LAMELLA_CUDA; }), out.tensor), "E_DEVICE",
          "different devices");
  refused(predict(changed(in.tensor, [&](auto& t) { t.shape = wrong; }), out.tensor), "E_SHAPE", "expected shape");
  refused(predict(in.tensor, changed(out.tensor, [&](auto& t) { t.shape = wrong; })), "E_SHAPE", "the result is float32");
  refused(predict(in.tensor, changed(out.tensor, [&](auto& t) { t.data = x.data(); })), "E_ARGUMENT", "share memory");
  refused(lamella_model_enqueue(model.get(), &in.tensor, 1, &out.tensor, 1, nullptr), "E_DEVICE", "which has none");
}

TEST(CApiTest, RefusesNullAndFreesIt) {
  lamella_model* model = nullptr;
  lamella_options* options = nullptr;
  char* text = nullptr;
  std::int32_t number = 0;
  lamella_tensor tensor{sizeof(lamella_tensor), nullptr, 0, 1, nullptr, nullptr, LAMELLA_CPU, 0};
  refused(lamella_options_create(nullptr), "E_ARGUMENT", "options: got NULL");
  refused(lamella_options_set(nullptr, "device", "cpu"), "E_ARGUMENT", "options: got NULL");
  refused(lamella_model_load(nullptr, nullptr, &model), "E_ARGUMENT", "path: got NULL");
  refused(lamella_model_load("x", nullptr, nullptr), "E_ARGUMENT", "model: got NULL");
  refused(lamella_model_load_bytes(nullptr, 0, nullptr, &model), "E_ARGUMENT", "bytes: got NULL");
  refused(lamella_model_with_activation(nullptr, "a", "b", &model), "E_ARGUMENT", "model: got NULL");
  refused(lamella_model_load_with_shape(nullptr, nullptr, 0, nullptr, &model), "E_ARGUMENT", "path: got NULL");
  refused(lamella_model_with_activation_parameters(nullptr, "a", "b", nullptr, nullptr, 0, &model), "E_ARGUMENT",
          "model: got NULL");
  refused(lamella_model_output_of(nullptr, "a", &model), "E_ARGUMENT", "model: got NULL");
  refused(lamella_model_memory_bytes(nullptr, nullptr, nullptr), "E_ARGUMENT", "model: got NULL");
  refused(lamella_model_stats(nullptr, nullptr), "E_ARGUMENT", "model: got NULL");
  refused(lamella_model_with_weights(nullptr, "a", &model), "E_ARGUMENT", "model: got NULL");
  refused(lamella_model_update_from_file(nullptr, "a"), "E_ARGUMENT", "model: got NULL");
  refused(lamella_model_save(nullptr, "a.keras"), "E_ARGUMENT", "model: got NULL");
  refused(lamella_model_device(nullptr, &number, &number), "E_ARGUMENT", "model: got NULL");
  refused(lamella_model_input(nullptr, 0, &tensor), "E_ARGUMENT", "model: got NULL");
  refused(lamella_model_output(nullptr, 0, &tensor), "E_ARGUMENT", "model: got NULL");
  refused(lamella_model_predict(nullptr, &tensor, 1, &tensor, 1), "E_ARGUMENT", "model: got NULL");
  refused(lamella_model_enqueue(nullptr, &tensor, 1, &tensor, 1, nullptr), "E_ARGUMENT", "model: got NULL");
  lamella_results* results = nullptr;
  refused(lamella_model_predict_new(nullptr, &tensor, 1, &results), "E_ARGUMENT", "model: got NULL");
  refused(lamella_results_get(nullptr, 0, &tensor), "E_ARGUMENT", "results: got NULL");
  lamella_results_free(results);
  refused(lamella_model_prepare(nullptr, nullptr, 0), "E_ARGUMENT", "model: got NULL");
  refused(lamella_model_summary(nullptr, &text), "E_ARGUMENT", "model: got NULL");
  refused(lamella_model_explain(nullptr, 1, 0, &text), "E_ARGUMENT", "model: got NULL");
  EXPECT_EQ(lamella_model_input_count(nullptr), 0);
  EXPECT_EQ(lamella_model_output_count(nullptr), 0);
  EXPECT_EQ(lamella_model_input_name(nullptr, 0), nullptr);
  EXPECT_EQ(lamella_model_output_name(nullptr, 0), nullptr);
  EXPECT_EQ(lamella_model_count_params(nullptr), 0);
  EXPECT_STREQ(lamella_error_code(nullptr), "");
  EXPECT_STREQ(lamella_error_message(nullptr), "");
  lamella_error_free(nullptr);
  lamella_options_free(options);
  lamella_model_free(model);
  lamella_string_free(text);
}

}  // namespace
}  // namespace lamella
