// SPDX-License-Identifier: Apache-2.0
// Several files for the same input.
#include <fstream>
#include <lamella/npy.hpp>

#include "cli/command_support.hpp"
#include "cli/csv.hpp"

namespace lamella::cli {
namespace {

using ::testing::HasSubstr;

class FilesTest : public CommandTest {
 protected:
  /// Rows [begin, end) of an array.
  static Tensor rows(const Tensor& x, std::int64_t begin, std::int64_t end) {
    const auto row = static_cast<std::size_t>(x.shape().elements(1, x.shape().rank()));
    return Tensor::copy_of(
        TensorView(x.span<float>().data() + static_cast<std::size_t>(begin) * row, x.shape().with(0, end - begin)));
  }
  /// The array in files of 1 row, no rows, and the rest.
  [[nodiscard]] std::vector<std::string> parts_of(const std::string& name, const Tensor& x) const {
    const std::int64_t all = x.shape()[0];
    const std::vector<std::pair<std::int64_t, std::int64_t>> cuts{{0, 1}, {1, 1}, {1, all}};
    std::vector<std::string> files;
    for (const auto& [begin, end] : cuts) {
      files.push_back(file(name + std::to_string(files.size()) + ".npy"));
      save_npy(files.back(), rows(x, begin, end));
    }
    return files;
  }
  [[nodiscard]] std::string csv_of(const std::string& name, const Tensor& x, const std::string& header) const {
    std::string text = header;
    for (std::int64_t row = 0; row < x.shape()[0]; ++row) {
      append_csv_row(text, x, row, ',');
      text += '\n';
    }
    std::ofstream(file(name), std::ios::binary) << text;
    return file(name);
  }
  static bool same(const Tensor& a, const Tensor& b) {
    return a.shape() == b.shape() && std::equal(a.span<float>().begin(), a.span<float>().end(), b.span<float>().begin());
  }
};

TEST_F(FilesTest, AreReadOneAfterAnotherWhateverTheBatchSize) {
  const std::string model = fixture("dense/model.keras");
  const Tensor x = fixture_array("dense", "x");
  const std::vector<std::string> parts = parts_of("part", x);
  ASSERT_EQ(command({"predict", model, "-i", extracted("dense", "x"), "-o", file("whole.npy")}).code, kOk);
  const Tensor whole = load_npy(file("whole.npy"));
  for (const char* size : {"1", "2", "3", "1000"}) {
    const Result result =
        command({"predict", model, "-i", parts[0], "-i", parts[1], "-i", parts[2], "-o", file("y.npy"), "--batch-size", size});
    ASSERT_EQ(result.code, kOk) << result.err;
    EXPECT_THAT(result.err, HasSubstr(std::to_string(x.shape()[0]) + " rows"));
    EXPECT_TRUE(same(load_npy(file("y.npy")), whole)) << size;
  }
  ASSERT_EQ(command({"predict", model, "-i", parts[2], "-i", parts[0], "-o", file("y.npy")}).code, kOk);
  const std::int64_t all = x.shape()[0];
  EXPECT_TRUE(same(rows(load_npy(file("y.npy")), all - 1, all), rows(whole, 0, 1))) << "not in the order in which they are given";
  EXPECT_EQ(command({"verify", model, "-i", parts[0], "-i", parts[2], "--expected", extracted("dense", "y")}).code, kOk);
  // Of CSV, and of CSV and npy: what is written is text, as the first file is.
  const std::string text = csv_of("head.csv", rows(x, 0, 1), "");
  ASSERT_EQ(
      command({"predict", model, "-i", text, "-i", parts[1], "-i", csv_of("tail.csv", rows(x, 1, all), ""), "-o", file("y.npy")})
          .code,
      kOk);
  EXPECT_TRUE(same(load_npy(file("y.npy")), whole));
  EXPECT_THAT(command({"predict", model, "-i", text, "-i", parts[2], "-o", "-"}).out, HasSubstr("\n"));
}

TEST_F(FilesTest, HoldTheRowsOfOneInputOrOfAll) {
  const std::string model = fixture("graph/model.keras");
  const Tensor a = fixture_array("graph", "x_a");
  const Tensor b = fixture_array("graph", "x_b");
  const std::int64_t all = a.shape()[0];
  const std::vector<std::string> parts = parts_of("a", a);
  const std::vector<std::string> expected{"--expected", "out=" + extracted("graph", "y_0"), "--expected",
                                          "inner=" + extracted("graph", "y_1")};
  const auto verified = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {"verify", model});
    words.insert(words.end(), expected.begin(), expected.end());
    return command(words);
  };
  EXPECT_EQ(verified({"-i", "a=" + parts[0], "-i", "b=" + extracted("graph", "x_b"), "-i", "a=" + parts[2]}).code, kOk);
  save_npz(file("head.npz"), {{"a", rows(a, 0, 1)}, {"b", rows(b, 0, 1)}});
  save_npz(file("tail.npz"), {{"a", rows(a, 1, all)}, {"b", rows(b, 1, all)}});
  const Result whole = verified({"-i", file("head.npz"), "-i", file("tail.npz")});
  EXPECT_EQ(whole.code, kOk) << whole.err;
  save_npz(file("uneven.npz"), {{"a", rows(a, 1, all)}, {"b", rows(b, 0, all)}});
  EXPECT_THAT(verified({"-i", file("head.npz"), "-i", file("uneven.npz")}).err, HasSubstr("same number of rows"));
}

TEST_F(FilesTest, ThatDifferAreRefused) {
  const std::string model = fixture("dense/model.keras");
  const Tensor x = fixture_array("dense", "x");
  save_npy(file("float64.npy"), x.to(DType::float64));
  save_npy(file("wide.npy"), Tensor::zeros({2, x.shape()[1] + 1}));
  save_npy(file("number.npy"), Tensor::zeros({}));
  const auto refused = [&](const std::string& name, const auto&... says) {
    expect_refused({"predict", model, "-i", extracted("dense", "x"), "-i", file(name), "-o", file("y.npy")}, kInput, "--input",
                   name, says...);
  };
  refused("float64.npy", "float64", "fixture_dense_x.npy' is", "float32", "same shape and dtype");
  refused("wide.npy", std::to_string(x.shape()[1] + 1), "same shape and dtype");
  refused("number.npy", "without rows");
  EXPECT_FALSE(std::filesystem::exists(file("y.npy")));
  std::ofstream(file("x.txt")) << "1 2 3\n";
  expect_refused({"predict", model, "-i", file("x.txt"), "-o", file("y.npy")}, kFile, "x.txt", "ends in .csv or .tsv");
  expect_refused({"predict", model, "-i", extracted("dense", "x"), "-o", file("y.txt")}, kUsage, "'.txt'", "--output-format");
  EXPECT_EQ(command({"predict", model, "-i", extracted("dense", "x"), "-o", file("y.txt"), "--output-format", "csv"}).code, kOk);
  expect_refused({"predict", model, "-i", "-", "-i", "-", "-o", file("y.npy")}, kInput, "'-' is given more than once");
  expect_refused({"predict", model, "-i", file("wide.npy"), "-o", file("y.npy"), "-o", file("z.npy")}, kInput, "is given twice");
  expect_refused({"predict", model, "-o", file("y.npy"), "-i", file("a.npy"), file("b.npy")}, kUsage, "b.npy", "-i A -i B");
}

}  // namespace
}  // namespace lamella::cli
