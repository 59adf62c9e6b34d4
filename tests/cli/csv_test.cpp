// SPDX-License-Identifier: Apache-2.0
// CSV, pipes, and files that are read a few rows at a time.
#include <fcntl.h>

#include <cmath>
#include <fstream>
#include <lamella/npy.hpp>
#include <limits>

#include "cli/command_support.hpp"
#include "cli/csv.hpp"

namespace lamella::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class CsvTest : public CommandTest {
 protected:
  [[nodiscard]] std::string written(const std::string& text, const std::string& name = "x.csv") const {
    std::ofstream(file(name), std::ios::binary) << text;
    return file(name);
  }
  [[nodiscard]] std::string content(const std::string& name) const {
    std::ifstream stream(file(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  /// The rows of one input of `width` numbers.
  static Tensor rows_of(const std::string& path, std::int64_t width, DType dtype = DType::float32,
                        Header header = Header::automatic) {
    const std::vector<ArraySpec> specs{{"x", {width}, dtype}};
    return std::move(open_inputs({path}, specs, "--input", header).next(1000, 1)[0]);
  }
  static std::string refusal(const std::string& path, std::int64_t width, DType dtype = DType::float32,
                             Header header = Header::automatic) {
    try {
      static_cast<void>(rows_of(path, width, dtype, header));
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing";
  }
  /// The command with a file as its standard input.
  static Result piped(const std::string& input, const std::vector<std::string>& words) {
    const int kept = ::dup(STDIN_FILENO);
    const int from = ::open(input.c_str(), O_RDONLY);
    ::dup2(from, STDIN_FILENO);
    Result result = command(words);
    ::dup2(kept, STDIN_FILENO);
    ::close(kept);
    ::close(from);
    return result;
  }
  /// The rows of a fixture's input, as CSV.
  static std::string csv_of(const Tensor& x, const std::string& line_end = "\n") {
    std::string text;
    for (std::int64_t row = 0; row < x.shape()[0]; ++row) {
      append_csv_row(text, x, row, ',');
      text += line_end;
    }
    return text;
  }
};

TEST_F(CsvTest, ReadsWhatSpreadsheetsAndProgramsWrite) {
  const std::vector<float> wanted{1.5F, -2, 3e-3F, 4, 5, 6};
  for (const char* text :
       {"1.5,-2,3e-3\n4,5,6\n", "1.5,-2,3e-3\r\n4,5,6", "a,b,c\n1.5,-2,3e-3\n4,5,6\n\n\n", "1.5\t-2\t3e-3\n4\t5\t6\n",
        "1.5;-2;3e-3\n4;5;6\n", "\"a\",\"b,\"\"x\",\"c\nd\"\n\"1.5\",-2,3e-3\n4,\"5\",6",
        "\xEF\xBB\xBF"
        "a,b,c\n1.5, -2 ,+3e-3\n 4,5.0,0.6e1"}) {
    const Tensor x = rows_of(written(text), 3);
    ASSERT_EQ(x.shape(), (Shape{2, 3})) << text;
    EXPECT_TRUE(std::equal(wanted.begin(), wanted.end(), x.span<float>().begin())) << text;
  }
  EXPECT_EQ(rows_of(written("a,b\n"), 2).shape(), (Shape{0, 2}));
  EXPECT_EQ(rows_of(written("1,2\n3,4\n", "x.tsv.csv"), 2, DType::float32, Header::yes).shape(), (Shape{1, 2}));
  EXPECT_EQ(rows_of(written("0,1\n3,4\n"), 2, DType::float32, Header::no).shape(), (Shape{2, 2}));
}

TEST_F(CsvTest, NumbersKeepTheirBits) {
  const Tensor x = rows_of(written("nan,inf,-inf,1e-46,-0.0,3.4028235e38,0.1\n"), 7);
  const auto v = x.span<float>();
  EXPECT_TRUE(std::isnan(v[0]) && v[1] == INFINITY && v[2] == -INFINITY && v[3] == 0 && std::signbit(v[4]));
  EXPECT_EQ(v[5], std::numeric_limits<float>::max());
  EXPECT_EQ(v[6], 0.1F);
  EXPECT_EQ(rows_of(written("9007199254740993,-9223372036854775808\n"), 2, DType::int64).span<std::int64_t>()[0],
            9007199254740993);
  EXPECT_EQ(rows_of(written("18446744073709551615\n"), 1, DType::uint64).span<std::uint64_t>()[0], ~std::uint64_t{0});
  EXPECT_EQ(rows_of(written("true,0,False,1\n"), 4, DType::boolean, Header::no).dtype(), DType::boolean);
  EXPECT_EQ(rows_of(written("0.1\n"), 1, DType::float64).span<double>()[0], 0.1);
}

TEST_F(CsvTest, ErrorsNameLineAndColumn) {
  const std::vector<std::pair<std::string, std::string>> wrong{
      {"", "is empty"},
      {"1,2,3\n1,2\n", "line 2, column 3: is missing; every line needs 3 fields, as the first one has"},
      {"1,2,3\n1,2,3,4\n", "line 2, column 4: is one field too many; every line needs 3 fields"},
      {"a,b,c\n1,2,3\n1,x,3\n", "line 3, column 2 ('b'): got 'x', allowed a number"},
      {"1,2,3\n1,,3\n", "line 2, column 2: is empty; write"},
      {"1,x,3\n", "line 1, column 2: got 'x' in a line that has numbers too: names or numbers?; --header"},
      {"0,1,2\n4,5,6\n", "counts, 0 to 2: names or numbers?; --header yes or --header no"},
      {"1,2,3\n\n1,2,3\n", "line 2, column 1: the line is empty, but not the last"},
      {"1,2,\"3\n", "line 1, column 3: its closing quote is missing"},
      {"1,2,\"3\"4\n", "column 3: text follows the closing quote"},
      {"1,2,3\"4\n", "column 3: a quote inside of a field"},
      {"1,2,3\r1,2,3\r", "a carriage return without a line feed"},
      {std::string("1,2,3\n1,\0,3\n", 12), "line 2, column 2: a NUL byte"},
      {"1,2,3\n1;2;3\n", "line 2, column 2: is missing"},
      {"1,2,3\n1,0x10,3\n", "got '0x10', allowed a number"},
      {"1,2,3\n1,1e999,3\n", "got '1e999', which float32 cannot hold"},
      {"1,2,3\n1,+-1,3\n", "got '+-1'"},
      {"1;2;3\n1,5;2;3\n", "line 2, column 1: got '1,5', allowed a number with a decimal point"},
      {"a,b,c\n\"1\n2\",2,3\n", "line 2, column 1 ('a'): got '1\\x0A2'"},
      {"\xFF\xFE"
       "1,2",
       "UTF-16"},
      {"a,b\n1,2\n", "has 2 columns; 'x' is (None, 3), 3 numbers per row"},
      {",a,b,c\n0,1,2,3\n", "index=False"},
  };
  for (const auto& [text, says] : wrong) {
    EXPECT_THAT(refusal(written(text), 3), HasSubstr(says)) << ::testing::PrintToString(text);
  }
  EXPECT_THAT(refusal(written("a\n1.5\n"), 1, DType::int32),
              HasSubstr("got '1.5', allowed an integer, -2147483648 to 2147483647"));
  EXPECT_THAT(refusal(written("a\n256\n"), 1, DType::uint8), HasSubstr("allowed an integer, 0 to 255"));
  EXPECT_THAT(refusal(written("a\n-1\n"), 1, DType::uint64), HasSubstr("allowed an integer, 0 to 18446744073709551615"));
  EXPECT_THAT(refusal(written("a\n2\n"), 1, DType::boolean), HasSubstr("0 to 1, true or false"));
  expect_refused({"predict", fixture("dense/model.keras"), "-i", written("a,b,c,d,e,f,g\n1,2,3,4,5,6,x\n"), "-o", file("y.csv")},
                 kFile, "x.csv: line 2, column 7 ('g')");
  EXPECT_FALSE(std::filesystem::exists(file("y.csv")));
}

TEST_F(CsvTest, HugeFieldsAndManyColumnsAreReadOrRefused) {
  std::string wide = "1";
  for (int i = 1; i < 100'000; ++i) wide += ",1";
  EXPECT_EQ(rows_of(written(wide + "\n" + wide), 100'000).shape(), (Shape{2, 100'000}));
  EXPECT_THAT(refusal(written(std::string(3'000'000, '1') + "\n"), 1), HasSubstr("float32 cannot hold"));
  EXPECT_THAT(refusal(written("a\n" + std::string(3'000'000, 'x')), 1),
              AllOf(HasSubstr("line 2"), HasSubstr("allowed a number")));
  EXPECT_LT(refusal(written("a\n" + std::string(3'000'000, 'x')), 1).size(), 400U);
  EXPECT_THAT(refusal(written(std::string(300'001, '"')), 1), HasSubstr("x.csv"));
}

TEST_F(CsvTest, PredictsTheSameFromAndToEveryFormat) {
  const std::string model = fixture("dense/model.keras");
  const Tensor x = fixture_array("dense", "x");
  const std::string wanted = extracted("dense", "y");
  const std::string npy = extracted("dense", "x");
  const std::string csv = written(csv_of(x, "\r\n"));
  for (const std::string& input : {npy, csv}) {
    for (const char* output : {"y.npy", "y.npz", "y.csv", "y.tsv"}) {
      for (const char* batch : {"1", "3", "100000"}) {
        const Result done = command({"predict", model, "-i", input, "-o", file(output), "--batch-size", batch});
        ASSERT_EQ(done.code, kOk) << done.err;
        EXPECT_THAT(done.err, AllOf(StartsWith(std::to_string(x.shape()[0]) + " rows in "), HasSubstr(" rows a second")));
        EXPECT_EQ(command({"verify", model, "-i", input, "--expected", file(output)}).code, kOk) << output;
      }
    }
  }
  ASSERT_EQ(command({"predict", model, "-i", npy, "-o", file("exact.csv"), "-q"}).code, kOk);
  ASSERT_EQ(command({"predict", model, "-i", npy, "-o", file("exact.npy"), "-q"}).code, kOk);
  const Tensor exact = load_npy(file("exact.npy"));
  const std::vector<ArraySpec> specs{{"y", {exact.shape()[1]}, DType::float32}};
  const Tensor back = std::move(open_inputs({file("exact.csv")}, specs, "-", Header::automatic).next(1000, 1)[0]);
  EXPECT_TRUE(
      std::equal(back.span<float>().begin(), back.span<float>().end(), exact.span<float>().begin(), exact.span<float>().end()))
      << "digits were lost";
}

TEST_F(CsvTest, PipesCarryNpyAndCsv) {
  const std::string model = fixture("dense/model.keras");
  const Tensor x = fixture_array("dense", "x");
  const std::string npy = extracted("dense", "x");
  const std::string csv = written("a,b,c,d,e,f,g\n" + csv_of(x));
  ASSERT_EQ(command({"predict", model, "-i", npy, "-o", file("y.npy"), "-q"}).code, kOk);
  ASSERT_EQ(command({"predict", model, "-i", csv, "-o", file("y.csv"), "-q"}).code, kOk);
  EXPECT_EQ(piped(npy, {"predict", model, "-i", "-", "-o", "-", "-q"}).out, content("y.npy"));
  const Result through = piped(csv, {"predict", model, "-i", "-", "-o", "-", "-q", "--batch-size", "2"});
  EXPECT_EQ(through.out, content("y.csv")) << through.err;
  EXPECT_THAT(through.out, HasSubstr("_0,")) << "the header is lost";
  EXPECT_EQ(piped(csv, {"predict", model, "-i", "-", "-o", "-", "-q", "--output-format", "npy"}).out, content("y.npy"));
  save_npz(file("x.npz"), {{"x", x}});
  EXPECT_EQ(piped(file("x.npz"), {"predict", model, "-i", "-", "-o", "-"}).code, kFile);
  EXPECT_EQ(piped("/dev/null", {"predict", model, "-i", "-", "-o", "-"}).code, kFile);
}

TEST_F(CsvTest, PipesThatAreTooShortOrTooLongAreRefused) {
  save_npy(file("x.npy"), Tensor::zeros({40'000, 3}));
  const std::string whole = content("x.npy");
  const auto rows_through = [&](const std::string& bytes) {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    const pid_t writer = ::fork();
    if (writer == 0) {
      ::close(ends[0]);
      const char* at = bytes.data();
      for (std::size_t left = bytes.size(); left > 0;) {
        const ssize_t n = ::write(ends[1], at, left);
        if (n <= 0) ::_exit(1);
        at += n;
        left -= static_cast<std::size_t>(n);
      }
      ::_exit(0);
    }
    ::close(ends[1]);
    std::string said;
    std::int64_t rows = 0;
    try {
      const std::vector<ArraySpec> specs{{"x", {3}, DType::float32}};
      Inputs inputs = open_inputs({"/dev/fd/" + std::to_string(ends[0])}, specs, "--input", Header::automatic);
      for (std::int64_t got = 1; got > 0; rows += got) got = inputs.next(999, 1)[0].shape()[0];
    } catch (const LoadError& error) {
      said = error.what();
    }
    ::close(ends[0]);
    return said.empty() ? std::to_string(rows) : said;
  };
  EXPECT_EQ(rows_through(whole), "40000");
  EXPECT_THAT(rows_through(whole.substr(0, whole.size() - 1)), HasSubstr("the data ends too early"));
  EXPECT_THAT(rows_through(whole + "x"), HasSubstr("there are more"));
  EXPECT_THAT(rows_through(whole.substr(0, 60)), HasSubstr("npy header"));
}

TEST_F(CsvTest, OneFileHoldsTheColumnsOfAllInputsAndOutputs) {
  const std::string model = fixture("graph/model.keras");
  const Tensor a = fixture_array("graph", "x_a");
  const Tensor b = fixture_array("graph", "x_b");
  std::string text = "unused";
  for (const auto& name : column_names("b", b.shape()[1])) text += "," + name;
  for (const auto& name : column_names("a", a.shape()[1])) text += "," + name;
  for (std::int64_t row = 0; row < a.shape()[0]; ++row) {
    text += "\nsome text,";
    append_csv_row(text, b, row, ',');
    text += ",";
    append_csv_row(text, a, row, ',');
  }
  const std::string csv = written(text);
  ASSERT_EQ(command({"predict", model, "-i", csv, "-o", file("y.csv"), "--batch-size", "2"}).code, kOk);
  const Result same = command({"verify", model, "-i", "a=" + extracted("graph", "x_a"), "-i", "b=" + extracted("graph", "x_b"),
                               "--expected", file("y.csv")});
  EXPECT_EQ(same.code, kOk) << same.out << same.err;
  expect_refused({"predict", model, "-i", written("c,d\n1,2\n"), "-o", file("z.csv")}, kInput, "has no columns for 'a'", "'a_0'");
  expect_refused({"predict", model, "-i", "a=-", "-i", "b=-", "-o", file("z.npz")}, kInput, "more than once");
}

TEST_F(CsvTest, InputsOfDifferentLengthsAreRefused) {
  const std::string model = fixture("graph/model.keras");
  const Tensor a = fixture_array("graph", "x_a");
  save_npy(file("long.npy"), Tensor::zeros({a.shape()[0] + 1, a.shape()[1]}));
  const std::string b = extracted("graph", "x_b");
  expect_refused({"predict", model, "-i", "a=" + file("long.npy"), "-i", "b=" + b, "-o", file("z.npz")}, kInput,
                 "rows and another");
  const std::string csv = written(csv_of(fixture_array("graph", "x_b")) + csv_of(fixture_array("graph", "x_b")));
  expect_refused(
      {"predict", model, "-i", "a=" + extracted("graph", "x_a"), "-i", "b=" + csv, "-o", file("z.npz"), "--header", "no"}, kInput,
      "has fewer rows");
}

TEST_F(CsvTest, FilesInFortranOrderAndOtherByteOrdersAreReadInParts) {
  const Tensor x = fixture_array("dense", "x");
  const std::int64_t rows = x.shape()[0];
  const std::int64_t width = x.shape()[1];
  std::string text =
      "{'descr': '>f4', 'fortran_order': True, 'shape': (" + std::to_string(rows) + ", " + std::to_string(width) + "), }\n";
  std::string bytes = std::string("\x93NUMPY\x01\0", 8) + static_cast<char>(text.size()) + '\0' + text;
  for (std::int64_t column = 0; column < width; ++column) {
    for (std::int64_t row = 0; row < rows; ++row) {
      const auto* const value = reinterpret_cast<const char*>(&x.span<float>()[static_cast<std::size_t>(row * width + column)]);
      for (int i = 3; i >= 0; --i) bytes += value[i];
    }
  }
  const std::string path = written(bytes, "fortran.npy");
  for (const char* batch : {"1", "2", "1000"}) {
    ASSERT_EQ(
        command({"predict", fixture("dense/model.keras"), "-i", path, "-o", file("y.npy"), "-q", "--batch-size", batch}).code,
        kOk);
    EXPECT_EQ(command({"verify", fixture("dense/model.keras"), "-i", path, "--expected", extracted("dense", "y")}).code, kOk)
        << batch;
  }
}

}  // namespace
}  // namespace lamella::cli
