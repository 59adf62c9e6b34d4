// SPDX-License-Identifier: Apache-2.0
// Compares every Keras file under tests/fixtures with Keras' own outputs.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <lamella/model.hpp>
#include <lamella/npy.hpp>
#include <nlohmann/json.hpp>

#include "device/test_device.hpp"

namespace lamella {
namespace {

using Json = nlohmann::json;

struct Fixture {
  std::string group;
  Json entry;
};

Json read_json(const std::string& path) {
  std::ifstream file(path);
  return Json::parse(file);
}

std::vector<Fixture> fixtures() {
  std::vector<Fixture> result;
  for (const char* group : {"keras3",
                            "keras3-more",
                            "keras3-lookups",
                            "keras3-early",
                            "keras2",
                            "keras2-more",
                            "keras2-lookups",
                            "keras212",
                            "features/keras3",
                            "features/keras3-tensorflow",
                            "features/keras2",
                            "calls/keras3",
                            "calls/keras3-early",
                            "calls/keras2",
                            "calls/keras212",
                            "calls/keras214",
                            "layouts/keras3",
                            "layouts/keras2",
                            "layouts/keras212",
                            "layouts/keras214",
                            "operations/keras3",
                            "operations/keras3-early",
                            "operations/keras2",
                            "operations/keras212",
                            "masks/keras3",
                            "masks/keras3-early",
                            "masks/keras3-tensorflow",
                            "masks/3.12.4",
                            "masks/3.13.2",
                            "masks/keras2"}) {
    for (const Json& entry : read_json(std::string(LAMELLA_FIXTURES) + "/" + group + "/index.json"))
      result.push_back({group, entry});
  }
  for (const std::string version : {"3.12.4", "3.13.2", "3.14.1", "3.15.1"}) {
    const std::string group = "quantized/" + version;
    for (const char* list : {"index.json", "keras_cannot_reload.json"}) {
      for (const Json& entry : read_json(std::string(LAMELLA_FIXTURES) + "/" + group + "/" + list))
        result.push_back({group, entry});
    }
  }
  return result;
}

std::string test_name(const ::testing::TestParamInfo<Fixture>& info) {
  std::string name = info.param.group + "_" + info.param.entry.at("case").get<std::string>();
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return name;
}

/// float32: 1e-5 |y| + 2e-6 max(1, largest |y| of the row). Narrow types: Keras rounds after every operation, lamella once per
/// layer.
double allowed(double wanted, double row_largest, const std::string& dtype) {
  const double scale = std::max(1.0, row_largest);
  if (dtype.find("bfloat16") != std::string::npos) return 0x1p-6 * scale;
  if (dtype.find("float16") != std::string::npos) return 0x1p-9 * scale;
  return 1e-5 * std::fabs(wanted) + 2e-6 * scale;
}

/// `x`, if given, holds the extreme arguments of an element-wise function, for which Keras' own float32 loses what cancels in x.
void expect_as_keras(const Tensor& found_in, const Tensor& wanted_in, const std::string& dtype,
                     const std::vector<double>& x = {}) {
  ASSERT_EQ(to_string(found_in.shape()), to_string(wanted_in.shape()));
  if (!is_floating(wanted_in.dtype())) {
    // JAX has no 64-bit integers by default: int64 values that fit come as int32.
    const DType kept = found_in.dtype() == DType::int64 ? DType::int64 : wanted_in.dtype();
    ASSERT_EQ(to_string(found_in.dtype()), to_string(kept));
    const Tensor wanted = wanted_in.to(kept);
    EXPECT_EQ(std::memcmp(found_in.data(), std::as_const(wanted).data(), wanted.bytes()), 0) << "integers differ";
    return;
  }
  const Tensor found = found_in.to(DType::float64);
  const Tensor wanted = wanted_in.to(DType::float64);
  const auto f = found.span<double>();
  const auto w = wanted.span<double>();
  const std::int64_t rows = wanted.shape().rank() == 0 ? 1 : wanted.shape()[0];
  const std::size_t row = rows == 0 ? 1 : w.size() / static_cast<std::size_t>(rows);
  for (std::size_t begin = 0; begin < w.size(); begin += row) {
    double largest = 0;
    for (std::size_t i = begin; i < begin + row; ++i) {
      if (std::isfinite(w[i])) largest = std::max(largest, std::fabs(w[i]));
    }
    for (std::size_t i = begin; i < begin + row; ++i) {
      if (f[i] == w[i] || (std::isnan(f[i]) && std::isnan(w[i]))) continue;
      const double argument = x.size() == w.size() && std::isfinite(x[i]) ? std::fabs(x[i]) : 0;
      if (argument > 1e38 && !std::isnan(f[i]) && !std::isnan(w[i])) continue;  // intermediate results of Keras overflow
      const bool finite = std::isfinite(f[i]) && std::isfinite(w[i]);
      ASSERT_TRUE(finite) << "element " << i << ": got " << f[i] << ", Keras has " << w[i];
      ASSERT_LE(std::fabs(f[i] - w[i]), allowed(w[i], std::max(argument, x.empty() ? largest : std::fabs(w[i])), dtype))
          << "element " << i << ": got " << f[i] << ", Keras has " << w[i];
    }
  }
}

/// Keras' sparsemax subtracts 1 from a sum of the row in float32; past 2^24 the 1 is lost, and the result is rounding noise.
void forget_rows_lost_to_rounding(const Tensor& x, const Tensor& found, Tensor& expected) {
  const std::int64_t row = x.shape().back();
  for (std::int64_t begin = 0; begin < x.shape().elements(); begin += row) {
    const auto values = x.span<float>().subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(row));
    if (std::none_of(values.begin(), values.end(), [](float v) { return std::fabs(v) > 0x1p24F; })) continue;
    for (std::int64_t i = begin; i < begin + row; ++i)
      expected.span<float>()[static_cast<std::size_t>(i)] = found.span<float>()[static_cast<std::size_t>(i)];
  }
}

class EachFixture : public ::testing::TestWithParam<Fixture> {};

TEST_P(EachFixture, GivesKerasResults) {
  const std::string folder = std::string(LAMELLA_FIXTURES) + "/" + GetParam().group + "/";
  const Json& entry = GetParam().entry;
  Options options;
  options.device = test::device();
  Model model = Model::load(folder + entry.at("file").get<std::string>(), options);
  if (entry.contains("weights_file") && entry.at("weights_file").is_string())
    model = model.with_weights(folder + entry.at("weights_file").get<std::string>());
  std::vector<Tensor> inputs;
  std::map<std::string, TensorView> views;
  std::map<std::string, Tensor> arrays = load_npz(folder + entry.at("arrays").get<std::string>());
  for (const auto& item : entry.at("inputs").items()) inputs.push_back(std::move(arrays.at(item.value().get<std::string>())));
  std::size_t next = 0;
  for (const auto& item : entry.at("inputs").items()) {
    const std::string name = entry.at("inputs").size() == 1 ? model.input_names().at(0) : item.key();
    views.emplace(name, inputs[next++]);
  }
  const std::vector<Tensor> outputs = model.predict(views);
  const Json& wanted = entry.at("outputs");
  ASSERT_EQ(outputs.size(), wanted.size());
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    SCOPED_TRACE("output " + std::to_string(i) + " " + model.output_names()[i]);
    Tensor& expected = arrays.at(wanted[i].get<std::string>());
    if (entry.at("case") == "softmax_extremes" && model.output_names()[i] == "a_sparsemax") {
      forget_rows_lost_to_rounding(inputs[0], outputs[i], expected);
    }
    std::vector<double> arguments;
    if (entry.at("case").get<std::string>().find("special_values") != std::string::npos) {
      const Tensor x = inputs[0].to(DType::float64);
      arguments.assign(x.span<double>().begin(), x.span<double>().end());
    }
    if (entry.at("case").get<std::string>().starts_with("int8_exact")) {
      const Tensor found = outputs[i].to(DType::float32);
      ASSERT_EQ(to_string(found.shape()), to_string(expected.shape()));
      ASSERT_TRUE(std::equal(found.span<float>().begin(), found.span<float>().end(), expected.span<float>().begin()));
    }
    expect_as_keras(outputs[i], expected, entry.value("dtype", std::string("float32")), arguments);
  }
}

INSTANTIATE_TEST_SUITE_P(Keras, EachFixture, ::testing::ValuesIn(fixtures()), test_name);

class EachRefused : public ::testing::TestWithParam<Fixture> {};

TEST_P(EachRefused, IsRefusedForTheRightReason) {
  const Json& entry = GetParam().entry;
  try {
    static_cast<void>(Model::load(std::string(LAMELLA_FIXTURES) + "/" + GetParam().group + entry.at("file").get<std::string>(),
                                  {.device = test::device()}));
    FAIL() << "was loaded";
  } catch (const LoadError& error) {
    EXPECT_EQ(std::string(to_string(error.code())), entry.at("code").get<std::string>()) << error.what();
    for (const Json& word : entry.at("must_mention")) {
      EXPECT_NE(std::string(error.what()).find(word.get<std::string>()), std::string::npos)
          << word << " is not in: " << error.what();
    }
  }
}

std::vector<Fixture> refused() {
  std::vector<Fixture> result;
  for (Json entry : read_json(std::string(LAMELLA_FIXTURES) + "/refused/index.json")) {
    if (!entry.contains("case")) entry["case"] = entry.at("file");
    result.push_back({"refused/", entry});
  }
  for (const char* version : {"3.14.1", "3.15.1"}) {
    for (Json entry : read_json(std::string(LAMELLA_FIXTURES) + "/quantized/" + version + "/refused.json")) {
      entry["case"] = "quantized/" + (version + ("/" + entry.at("case").get<std::string>()));
      result.push_back({"", std::move(entry)});
    }
  }
  return result;
}

INSTANTIATE_TEST_SUITE_P(Keras, EachRefused, ::testing::ValuesIn(refused()), test_name);

}  // namespace
}  // namespace lamella
