// SPDX-License-Identifier: Apache-2.0
// Files written by Model::save() are read again; in python/tests/test_save.py Keras reads them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <lamella/lamella.hpp>
#include <map>
#include <numeric>
#include <set>

#include "core/random.hpp"
#include "effort.hpp"
#include "keras/hdf5/hdf5.hpp"
#include "keras/hdf5/writer.hpp"
#include "keras/zip/archive.hpp"

namespace lamella {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

const std::string kFixtures = std::string(LAMELLA_FIXTURES) + "/";

class Save : public ::testing::Test {
 protected:
  Save() { fs::create_directories(folder_); }
  ~Save() override { fs::remove_all(folder_); }
  [[nodiscard]] std::string at(const std::string& name) const { return (folder_ / name).string(); }

 private:
  fs::path folder_ = fs::temp_directory_path() / ("lamella_save_" + std::to_string(::getpid()));
};

Model load(const std::string& path) { return Model::load(path, {.device = Device::cpu(), .threads = 1}); }

/// Random numbers in each input's dtype; open extents are 2.
std::vector<Tensor> some_inputs(const Model& model) {
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < model.input_names().size(); ++i) {
    std::vector<std::int64_t> extents{3};
    for (const std::int64_t extent : model.input_shape(static_cast<int>(i))) extents.push_back(extent < 0 ? 2 : extent);
    Tensor x{Shape(extents)};
    for (std::size_t k = 0; k < x.span<float>().size(); ++k)
      x.span<float>()[k] = is_floating(model.input_dtype(static_cast<int>(i))) ? static_cast<float>(2 * core::uniform(i, k) - 1)
                                                                               : static_cast<float>(k % 2);
    inputs.push_back(x.to(model.input_dtype(static_cast<int>(i))));
  }
  return inputs;
}

void expect_same_answers(const Model& found, const Model& wanted) {
  const std::vector<Tensor> x = some_inputs(wanted);
  const std::vector<TensorView> views(x.begin(), x.end());
  const std::vector<Tensor> a = found.predict(views);
  const std::vector<Tensor> b = wanted.predict(views);
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i].bytes(), b[i].bytes());
    ASSERT_EQ(a[i].dtype(), b[i].dtype());
    EXPECT_EQ(std::memcmp(a[i].data(), b[i].data(), b[i].bytes()), 0) << "output " << i;
  }
}

std::string refusal(const Model& model, const std::string& path) {
  try {
    model.save(path);
  } catch (const ArgumentError& error) {
    return error.what();
  }
  return "";
}

TEST_F(Save, WritesEveryReadableFixtureOrSaysWhyNot) {
  int saved = 0;
  int refused = 0;
  test::Thinning thinning;
  for (const auto& entry : fs::recursive_directory_iterator(kFixtures)) {
    const std::string path = entry.path().string();
    if (!entry.is_regular_file() || !path.ends_with(".keras") || path.find("/refused/") != std::string::npos) continue;
    if (thinning.leaves_out()) continue;
    SCOPED_TRACE(path);
    std::optional<Model> model;
    try {
      model = load(path);
    } catch (const LoadError&) {
      continue;  // refused for other reasons
    }
    const std::string why = refusal(*model, at("saved.keras"));
    if (!why.empty()) {
      EXPECT_THAT(why, ::testing::AnyOf(HasSubstr("not Keras 3's"), HasSubstr("legacy .h5 file"),
                                        HasSubstr("activation with weights of its own"), HasSubstr("has no weight")));
      ++refused;
      continue;
    }
    ++saved;
    const Model again = load(at("saved.keras"));
    const auto table = [](const Model& one) { return one.summary().substr(0, one.summary().find(" Total params")); };
    EXPECT_EQ(table(again), table(*model));  // bfloat16 comes back as float32: the same numbers in more bytes
    expect_same_answers(again, *model);
    if (const std::string of_weights = refusal(*model, at("saved.weights.h5")); !of_weights.empty()) {
      EXPECT_THAT(of_weights, HasSubstr("learnt its vocabulary in adapt(), which a weights file cannot store"));
      continue;
    }
    expect_same_answers(model->with_weights(at("saved.weights.h5")), *model);
  }
  if (test::kOneCaseOf == 1) {
    EXPECT_GT(saved, 300);
    EXPECT_GT(refused, 0);
  }
}

/// The vocabulary files of an archive, by name.
std::map<std::string, std::string> assets_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string content(std::istreambuf_iterator<char>(file), {});
  const keras::Archive archive({nullptr, std::as_bytes(std::span(content))}, keras::Where(path));
  std::map<std::string, std::string> assets;
  for (const std::string& name : archive.names()) {
    if (!name.ends_with("vocabulary.txt")) continue;
    const keras::OwnedBytes text = archive.member(name);
    assets[name] = {reinterpret_cast<const char*>(text.bytes.data()), text.bytes.size()};
  }
  return assets;
}

TEST_F(Save, WritesLearntVocabulariesAsKerasDoes) {
  int files = 0;
  for (const auto& entry : fs::directory_iterator(kFixtures + "features/keras3-tensorflow")) {
    const std::string path = (entry.path() / "model.keras").string();
    if (!fs::exists(path)) continue;
    const std::map<std::string, std::string> wanted = assets_of(path);
    if (wanted.empty()) continue;
    SCOPED_TRACE(path);
    load(path).save(at("saved.keras"));
    EXPECT_EQ(assets_of(at("saved.keras")), wanted);
    ++files;
  }
  EXPECT_GE(files, 5);
}

TEST_F(Save, HoldsChangedActivations) {
  Model model = load(kFixtures + "keras3/dense/model.keras");
  const std::string before = model.get_layer("dense").config;
  model.set_activation("dense", "tanh");
  model.save(at("named.keras"));
  expect_same_answers(load(at("named.keras")), model);
  model.set_activation("dense", ActivationSpec::leaky_relu(0.05));
  model.save(at("leaky.keras"));
  expect_same_answers(load(at("leaky.keras")), model);
  EXPECT_NE(load(at("leaky.keras")).get_layer("dense").config, before);
}

TEST_F(Save, HoldsModelsBuiltInCpp) {
  Sequential net({Dense(7, {.activation = "relu"}), BatchNormalization(), Dropout(0.5), Dense(3, {.activation = "softmax"})});
  net.build({5}, {.seed = 11});
  const Model model = net.compile({.device = Device::cpu(), .threads = 1});
  model.save(at("built.keras"));
  expect_same_answers(load(at("built.keras")), model);
}

TEST_F(Save, RefusesModelsThatKerasWouldReadDifferently) {
  const Model model = load(kFixtures + "keras3/dense/model.keras");
  EXPECT_THAT(refusal(model, at("model.h5")), HasSubstr("allowed NAME.keras, NAME.weights.h5 [E_VALUE]"));
  EXPECT_THAT(refusal(model.output_of("dense"), at("part.keras")), HasSubstr("parts of models"));
  model.output_of("dense").save(at("part.weights.h5"));
  Sequential net({Dense(2, {.activation = "hard_sigmoid"})});
  net.build({5}, {.seed = 11});
  const Model keras2 = net.compile({.device = Device::cpu(), .hard_sigmoid = HardSigmoid::keras2});
  EXPECT_THAT(refusal(keras2, at("keras2.keras")), HasSubstr("hard_sigmoid is Keras 2's"));
  EXPECT_FALSE(fs::exists(at("keras2.keras")));
}

TEST_F(Save, LeavesTheOldFileIfItFails) {
  const Model model = load(kFixtures + "keras3/dense/model.keras");
  EXPECT_THROW(model.save(at("no/such/folder.keras")), Error);
  std::ofstream(at("old.keras")) << "old";
  EXPECT_THAT(refusal(model.output_of("dense"), at("old.keras")), HasSubstr("parts of models"));
  std::string text;
  std::ifstream(at("old.keras")) >> text;
  EXPECT_EQ(text, "old");
}

/// The reader reads everything that the writer can write.
TEST(H5Writer, WritesWhatTheReaderReads) {
  keras::H5Writer writer;
  std::vector<std::byte> elements(8 * 300);
  for (std::size_t i = 0; i < elements.size(); ++i) elements[i] = static_cast<std::byte>(i * 7);
  std::vector<std::pair<std::string, DType>> written;
  for (const DType dtype : {DType::float16, DType::float32, DType::float64, DType::int8, DType::uint8, DType::int16,
                            DType::uint16, DType::int32, DType::uint32, DType::int64, DType::uint64}) {
    const std::string name(to_string(dtype));
    writer.dataset("types/" + name, "0", Shape{3, 5}, dtype, std::span(elements).first(15 * size_of(dtype)));
    written.emplace_back("types/" + name + "/0", dtype);
  }
  writer.group("empty/inside");
  writer.dataset("", "none", Shape{0, 4}, DType::float32, {});
  writer.dataset("", "scalar", Shape{}, DType::float32, std::span(elements).first(4));
  for (int i = 0; i < 300; ++i)
    writer.dataset("many", std::to_string(i), Shape{i % 3}, DType::uint8,
                   std::span(elements).first(static_cast<std::size_t>(i % 3)));
  std::vector<std::byte> bytes;
  for (const auto part : writer.parts()) bytes.insert(bytes.end(), part.begin(), part.end());
  const keras::H5File file({nullptr, bytes}, keras::Where("(test)"));
  for (const auto& [path, dtype] : written) {
    const keras::H5Dataset read = file.dataset(path);
    EXPECT_EQ(read.dtype, dtype) << path;
    EXPECT_EQ(to_string(read.shape), "(3, 5)");
    EXPECT_EQ(std::memcmp(read.bytes.bytes.data(), elements.data(), 15 * size_of(dtype)), 0) << path;
  }
  EXPECT_TRUE(file.has_group("empty/inside"));
  EXPECT_EQ(to_string(file.dataset("none").shape), "(0, 4)");
  EXPECT_EQ(file.dataset("scalar").shape.rank(), 0);
  EXPECT_EQ(file.children("many").size(), 300U);
  EXPECT_EQ(file.dataset("many/299").bytes.bytes.size(), 2U);
}

}  // namespace
}  // namespace lamella
