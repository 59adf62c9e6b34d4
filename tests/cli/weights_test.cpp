// SPDX-License-Identifier: Apache-2.0
// --weights: the weights of another file for predict and verify. weights_file_test has every kind of such a file.
#include <fstream>

#include "cli/command_support.hpp"

namespace lamella::cli {
namespace {

using ::testing::HasSubstr;

/// The fixture "dense" is one layer, Dense(5) of 7 inputs, called "dense".
class CommandWeightsTest : public CommandTest {
 protected:
  static Tensor filled(const Shape& shape, float value) {
    Tensor array(shape);
    for (float& element : array.span<float>()) element = value;
    return array;
  }
  /// An .npz with a kernel of ones and a bias of twos.
  [[nodiscard]] std::string ones_and_twos() const {
    save_npz(file("w.npz"), {{"dense/kernel", filled({7, 5}, 1)}, {"dense/bias", filled({5}, 2)}});
    return file("w.npz");
  }
  /// What predict and verify say to these weights.
  template <typename... Words>
  void expect_both_refuse(const std::string& weights, int code, const Words&... words) const {
    const std::string model = fixture("dense/model.keras");
    const std::string x = extracted("dense", "x");
    expect_refused({"predict", model, "--weights", weights, "-i", x, "-o", file("y.npy")}, code, words...);
    EXPECT_FALSE(std::filesystem::exists(file("y.npy")));
    expect_refused({"verify", model, "--weights", weights, "-i", x, "--expected", extracted("dense", "y")}, code, words...);
  }
};

TEST_F(CommandWeightsTest, OfAnNpzReplaceThoseOfTheModel) {
  const std::string model = fixture("dense/model.keras");
  Tensor x = filled({2, 7}, 1);
  x.span<float>()[7] = 4;
  save_npy(file("x.npy"), x);
  const Result done = command({"predict", model, "--weights", ones_and_twos(), "-i", file("x.npy"), "-o", file("y.npy")});
  ASSERT_EQ(done.code, kOk) << done.err;
  const Tensor y = load_npy(file("y.npy"));
  ASSERT_EQ(y.shape(), Shape({2, 5}));
  for (std::size_t i = 0; i < 10; ++i) EXPECT_EQ(y.span<float>()[i], i < 5 ? 9 : 12);  // the sum of a row, and 2
  EXPECT_EQ(command({"verify", model, "--weights", ones_and_twos(), "-i", file("x.npy"), "--expected", file("y.npy")}).code, kOk);
  EXPECT_EQ(command({"verify", model, "-i", file("x.npy"), "--expected", file("y.npy")}).code, kDiffers);
}

TEST_F(CommandWeightsTest, ThatAreNotInTheFileStay) {
  const std::string model = fixture("dense/model.keras");
  const std::vector<std::string> verify = verify_dense(extracted("dense", "y"));
  const auto verified = [&](const std::map<std::string, TensorView>& arrays) {
    save_npz(file("some.npz"), arrays);
    std::vector<std::string> words = verify;
    words.insert(words.end(), {"--weights", file("some.npz")});
    return command(words).code;
  };
  const Model loaded = Model::load(model);
  EXPECT_EQ(verified({{"dense/kernel", loaded.weights()[0]}}), kOk);
  EXPECT_EQ(verified({{"dense/bias", loaded.weights()[1]}}), kOk);
  EXPECT_EQ(verified({{"dense/bias", filled({5}, 100)}}), kDiffers);
}

TEST_F(CommandWeightsTest, ThatDoNotFitAreRefusedByName) {
  save_npz(file("wide.npz"), {{"dense/kernel", filled({7, 6}, 1)}});
  expect_both_refuse(file("wide.npz"), kFile, "wide.npz", "'dense/kernel'", "got shape (7, 6), allowed (7, 5)");
  save_npz(file("names.npz"), {{"dense_1/kernel", filled({7, 5}, 1)}});
  expect_both_refuse(file("names.npz"), kFile, "names.npz", "'dense_1/kernel'", "'dense/kernel'");
}

TEST_F(CommandWeightsTest, OfAWrongFileAreRefused) {
  expect_both_refuse(file("absent.npz"), kFile, "absent.npz", "cannot be opened");
  std::ofstream(file("text.npz")) << "no archive\n";
  expect_both_refuse(file("text.npz"), kFile, "text.npz");
  expect_both_refuse(extracted("dense", "x"), kFile, "fixture_dense_x.npy");
  const std::string whole = ones_and_twos();
  std::filesystem::copy_file(whole, file("cut.npz"));
  std::filesystem::resize_file(file("cut.npz"), std::filesystem::file_size(whole) / 2);
  expect_both_refuse(file("cut.npz"), kFile, "cut.npz");
}

TEST_F(CommandWeightsTest, BelongToTheTextOfToJson) {
  const std::string json = file("model.json");
  std::ofstream(json) << R"({"class_name": "Sequential", "config": {"name": "s", "layers": [{"class_name": "InputLayer",)"
                      << R"( "config": {"batch_shape": [null, 7], "name": "x"}},)"
                      << R"( {"class_name": "Dense", "config": {"units": 5, "name": "dense"}}]}})";
  const auto verify = [&](const std::string& weights) {
    return std::vector<std::string>{
        "verify", json, "--weights", weights, "-i", extracted("dense", "x"), "--expected", extracted("dense", "y")};
  };
  EXPECT_EQ(command(verify(fixture("dense/model.keras"))).code, kOk);
  expect_refused(verify(ones_and_twos()), kFile, "w.npz", "may hold some of the weights only");
}

}  // namespace
}  // namespace lamella::cli
