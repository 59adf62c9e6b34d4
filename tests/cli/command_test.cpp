// SPDX-License-Identifier: Apache-2.0
// The command, run inside the test's process: exit codes, output, files written.
#include <cmath>
#include <filesystem>
#include <fstream>
#include <lamella/npy.hpp>
#include <nlohmann/json.hpp>

#include "cli/command_support.hpp"

namespace lamella::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

TEST_F(CommandTest, PredictGivesAModelThatWasNeverCalledTheShapeOfItsInput) {
  const std::string folder = std::string(LAMELLA_FIXTURES) + "/features/unbuilt/unbuilt_image/";
  const auto arrays = load_npz(folder + "arrays.npz");
  save_npy(file("x.npy"), arrays.at("x"));
  save_npz(file("x.npz"), {{"any", arrays.at("x")}});
  save_npy(file("y.npy"), arrays.at("y"));
  for (const std::string& input : {file("x.npy"), "rescaling_1_input=" + file("x.npy"), file("x.npz")}) {
    const Result result = command({"verify", folder + "model.keras", "--input", input, "--expected", file("y.npy")});
    EXPECT_EQ(result.code, kOk) << result.err;
  }
  expect_refused({"summary", folder + "model.keras"}, kFile, "lamella predict");
}

TEST_F(CommandTest, PredictWritesTheSameForEveryBatchSize) {
  const std::string model = fixture("graph/model.keras");
  const std::vector<std::string> words{"predict",
                                       model,
                                       "--input",
                                       "a=" + extracted("graph", "x_a"),
                                       "--input",
                                       "b=" + extracted("graph", "x_b"),
                                       "--output",
                                       "inner=" + file("inner.npy"),
                                       "--quiet",
                                       "--output",
                                       "out=" + file("whole.npy")};
  const Result whole = command(words);
  EXPECT_EQ(whole.code, kOk) << whole.err;
  EXPECT_THAT(whole.out + whole.err, IsEmpty());
  const Tensor y = load_npy(file("whole.npy"));
  for (const char* size : {"1", "2", "3", "1000000"}) {
    auto parts = words;
    parts.back() = "out=" + file("parts.npy");
    parts.insert(parts.end(), {"--batch-size", size});
    ASSERT_EQ(command(parts).code, kOk);
    const Tensor found = load_npy(file("parts.npy"));
    ASSERT_EQ(found.shape(), y.shape());
    EXPECT_TRUE(std::equal(found.span<float>().begin(), found.span<float>().end(), y.span<float>().begin())) << size;
  }
  const Result same =
      command({"verify", model, "--input", "b=" + extracted("graph", "x_b"), "--input", "a=" + extracted("graph", "x_a"),
               "--expected", "out=" + extracted("graph", "y_0"), "--expected", "inner=" + extracted("graph", "y_1")});
  EXPECT_EQ(same.code, kOk) << same.out << same.err;
}

TEST_F(CommandTest, PredictAsksForEachInputByName) {
  const std::string model = fixture("graph/model.keras");
  const std::string a = "a=" + extracted("graph", "x_a");
  const std::string b = "b=" + extracted("graph", "x_b");
  const auto refused = [&](std::vector<std::string> words, const auto&... says) {
    words.insert(words.begin(), {"predict", model});
    words.insert(words.end(), {"--output", "out=" + file("y.npy"), "--output", "inner=" + file("z.npy")});
    expect_refused(words, kInput, says...);
  };
  refused({"--input", a}, "--input", "'b'");
  refused({"--input", a, "--input", a, "--input", b}, "--input", "same number of rows");
  refused({"--input", extracted("graph", "x_a")}, "the model has several", "a, b");
  refused({"--input", "a=" + extracted("graph", "x_b"), "--input", b}, "input 'a'", "[E_SHAPE]");
  EXPECT_FALSE(std::filesystem::exists(file("y.npy")));
}

TEST_F(CommandTest, AMisspeltNameIsNoFile) {
  const std::string model = fixture("graph/model.keras");
  const std::string a = "a=" + extracted("graph", "x_a");
  expect_refused({"predict", model, "-i", a, "-i", "bb=" + extracted("graph", "x_b"), "-o", file("y.npz")}, kInput,
                 "--input: got 'bb=", "the model has no 'bb', only a, b");
  const std::string dense = fixture("dense/model.keras");
  const std::string x = extracted("dense", "x");
  expect_refused({"predict", model, "-i", a, "-i", "b=" + extracted("graph", "x_b"), "-o", "innner=y.npy"}, kInput,
                 "did you mean 'inner'?");
  const std::string name = "no_such=" + std::to_string(::getpid()) + ".npy";
  expect_refused({"predict", dense, "-i", x, "-o", name}, kInput, "--output: got '" + name, "a file of this name is './" + name);
  EXPECT_FALSE(std::filesystem::exists(name));
  EXPECT_EQ(command({"predict", dense, "-i", x, "-o", file("lr=0.1.npy")}).code, kOk);
  EXPECT_TRUE(std::filesystem::exists(file("lr=0.1.npy")));
}

TEST_F(CommandTest, PredictObeysItsOptions) {
  const auto predict = [&](std::vector<std::string> options) {
    std::vector<std::string> words{"predict",    fixture("dense/model.keras"), "--input", extracted("dense", "x"), "--output",
                                   file("y.npy")};
    words.insert(words.end(), options.begin(), options.end());
    return command(words);
  };
  EXPECT_EQ(predict({"--dtype", "bfloat16", "--threads", "2", "--engine", "reference", "--device", "cpu"}).code, kOk);
  EXPECT_EQ(load_npy(file("y.npy")).shape(), fixture_array("dense", "y").shape());
  EXPECT_EQ(predict({"--fusion", "none", "--math", "tf32", "--determinism", "batch_invariant", "--device", "cpu"}).code, kOk);
  EXPECT_EQ(predict({"--engine", "no_such"}).code, kUsage);
  EXPECT_EQ(predict({"--dtype", "int12"}).code, kUsage);
  EXPECT_EQ(predict({"--device", "tpu"}).code, kUsage);
  EXPECT_EQ(predict({"--device", "cuda:77"}).code, kDevice);
  EXPECT_EQ(predict({"--batch-size", "0"}).code, kUsage);
}

TEST_F(CommandTest, VerifyReportsTheDifferenceAndWhatIsAllowed) {
  Tensor thousands(fixture_array("dense", "y").shape());
  for (float& value : thousands.span<float>()) value = 1000;
  save_npy(file("other.npy"), thousands);
  const auto verified = [&](const std::string& rtol) {
    std::vector<std::string> words = verify_dense(file("other.npy"));
    words.insert(words.end(), {"--rtol", rtol, "--atol", "0"});
    return command(words).out;
  };
  EXPECT_THAT(verified("0.125"), AllOf(HasSubstr("expected 1000, difference "), HasSubstr(", allowed 125\n")));
  EXPECT_THAT(verified("0"), HasSubstr(", allowed 0\n"));
}

TEST_F(CommandTest, VerifyReportsTheWorstDifference) {
  const Tensor y = fixture_array("dense", "y");
  const auto changed = [&](std::size_t at, float value) {
    Tensor other = Tensor::copy_of(y);
    other.span<float>()[at] = value;
    save_npy(file("other.npy"), other);
    return command(verify_dense(file("other.npy")));
  };
  const Result same = command(verify_dense(extracted("dense", "y")));
  EXPECT_EQ(same.code, kOk);
  EXPECT_THAT(same.out, HasSubstr("values agree"));
  const std::size_t last = y.span<float>().size() - 1;
  const auto row = std::to_string(y.shape()[0] - 1);
  for (const float wrong : {y.span<float>()[last] + 0.5F, std::nanf(""), INFINITY}) {
    const Result result = changed(last, wrong);
    EXPECT_EQ(result.code, kDiffers);
    EXPECT_THAT(result.out, AllOf(HasSubstr("worst at"), HasSubstr(row + ", ")));
    EXPECT_THAT(result.err, IsEmpty());
  }
  EXPECT_THAT(changed(last, std::nanf("")).out, Not(HasSubstr("difference")));
  Tensor two = Tensor::copy_of(y);
  two.span<float>()[0] += 0.25F;
  two.span<float>()[last] += 0.5F;
  save_npy(file("other.npy"), two);
  EXPECT_THAT(command(verify_dense(file("other.npy"))).out, HasSubstr("worst at [" + row + ", "));
  two.span<float>()[0] += 2.0F;
  save_npy(file("other.npy"), two);
  EXPECT_THAT(command(verify_dense(file("other.npy"))).out, HasSubstr("worst at [0, 0]"));
  auto loose = verify_dense(file("other.npy"));
  static_cast<void>(changed(last, y.span<float>()[last] + 0.5F));
  loose.insert(loose.end(), {"--atol", "1"});
  EXPECT_EQ(command(loose).code, kOk);
  save_npy(file("other.npy"), Tensor::zeros({1, 1}));
  const Result shape = command(verify_dense(file("other.npy")));
  EXPECT_EQ(shape.code, kDiffers);
  EXPECT_THAT(shape.out, HasSubstr("expected (1, 1)"));
}

TEST_F(CommandTest, NaNIsRightWhereNaNIsExpected) {
  Tensor x = fixture_array("dense", "x");
  for (float& value : x.span<float>()) value = std::nanf("");
  save_npy(file("x.npy"), x);
  std::vector<std::string> words{"predict", fixture("dense/model.keras"), "--input", file("x.npy"), "--output", file("y.npy")};
  ASSERT_EQ(command(words).code, kOk);
  words = {"verify", fixture("dense/model.keras"), "--input", file("x.npy"), "--expected", file("y.npy")};
  EXPECT_EQ(command(words).code, kOk);
  Tensor y = load_npy(file("y.npy"));
  ASSERT_TRUE(std::isnan(y.span<float>()[0]));
  y.span<float>()[0] = 1;
  save_npy(file("y.npy"), y);
  EXPECT_EQ(command(words).code, kDiffers);
}

TEST_F(CommandTest, InputsWithoutRowsOrWithoutRank) {
  save_npy(file("none.npy"), Tensor::zeros({0, 7}));
  save_npy(file("scalar.npy"), Tensor::zeros({}));
  ASSERT_EQ(fixture_array("dense", "x").shape()[1], 7);
  const auto predict = [&](const char* input) {
    return command(
        {"predict", fixture("dense/model.keras"), "--input", file(input), "--output", file("y.npy"), "--batch-size", "2"});
  };
  EXPECT_EQ(predict("none.npy").code, kOk);
  EXPECT_EQ(load_npy(file("y.npy")).shape()[0], 0);
  EXPECT_EQ(predict("scalar.npy").code, kInput);
}

TEST_F(CommandTest, MissingAndInvalidFilesAreRefused) {
  std::ofstream(file("text.npy")) << "text";
  expect_refused({"summary", file("none.keras")}, kFile, "none.keras", "[E_IO]");
  expect_refused({"summary", file("text.npy")}, kFile, "text.npy");
  expect_refused(verify_dense(file("text.npy")), kFile, "text.npy");
  expect_refused(
      {"predict", fixture("dense/model.keras"), "--input", extracted("dense", "x"), "--output", file("no/such/folder/y.npy")},
      kFile, "no/such/folder/y.npy");
}

TEST_F(CommandTest, UnknownVerbsAndOptionsAreRefused) {
  expect_refused({"compile"}, kUsage, "'compile'", "predict, verify");
  expect_refused({"summary"}, kUsage, "MODEL");
  expect_refused({"predict", fixture("dense/model.keras"), "--input", "x.npy"}, kUsage, "--output");
  expect_refused({"summary", fixture("dense/model.keras"), "--wrong"}, kUsage, "--wrong");
}

TEST_F(CommandTest, DescribesItselfTheModelAndThePlan) {
  EXPECT_EQ(command({"--version"}).out, std::string(LAMELLA_VERSION) + "\n");
  const Result help = command({"--help"});
  EXPECT_EQ(help.code, kOk);
  EXPECT_THAT(help.out, AllOf(HasSubstr("Exit codes"), HasSubstr("verify")));
  EXPECT_THAT(command({"summary", fixture("dense/model.keras")}).out, HasSubstr("Total params"));
  EXPECT_THAT(command({"summary", fixture("graph/model.keras")}).out,
              AllOf(HasSubstr("\n Inputs:\n   a (None, 4) float32, b (None, 3) float32\n"),
                    HasSubstr("Outputs:\n   out (None, 2) float32, inner")));
  EXPECT_THAT(command({"explain", fixture("dense/model.keras"), "--batch", "7"}).out, HasSubstr("Program for 7 rows on "));
  EXPECT_THAT(command({"explain", fixture("dense/model.keras"), "--batch", "1"}).out, HasSubstr("Program for 1 row on "));
  const Result plan = command({"explain", fixture("dense/model.keras"), "--json", "--batch", "7"});
  EXPECT_EQ(nlohmann::json::parse(plan.out).at("batch"), 7);
  EXPECT_THAT(command({"info"}).out, AllOf(HasSubstr("lamella "), HasSubstr("cpu")));
  const auto info = nlohmann::json::parse(command({"info", "--json"}).out);
  EXPECT_EQ(info.at("version"), LAMELLA_VERSION);
  EXPECT_EQ(info.at("devices").at(0), "cpu");
  EXPECT_EQ(info.at("descriptions").at("cpu"), describe(Device::cpu()));
  EXPECT_TRUE(info.at("why_no_cuda").is_string());
}

/// Whether the text has bytes that a terminal would act on, or that would be invisible.
bool hides_something(const std::string& text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte < 0x20 && byte != '\n') || byte == 0x7F) return true;
    const auto second = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 'x');
    const auto third = static_cast<unsigned char>(i + 2 < text.size() ? text[i + 2] : 'x');
    if (byte == 0xC2 && second < 0xA0) return true;                                                       // C1
    if (byte == 0xE2 && second == 0x80 && (third == 0x8B || third >= 0xAA) && third < 0xAF) return true;  // U+200B, U+202A..
    if (byte == 0xE2 && second == 0x81 && third >= 0xA6 && third <= 0xA9) return true;                    // U+2066..
    if (byte == 0xF3 && second == 0xA0) return true;                                                      // tags
    if (byte >= 0x80 && byte < 0xC0 && (i == 0 || static_cast<unsigned char>(text[i - 1]) < 0x80)) return true;  // not UTF-8
  }
  return false;
}

const std::string kNasty = "a\x1b[31m\x07\r\nb\x7f\xc2\x9b\x32J\xe2\x80\xae\xe2\x81\xa6\xe2\x80\x8b\xf3\xa0\x81\x81z";

/// A model whose names are kNasty, in a folder of that name.
std::string nasty_model(const std::filesystem::path& folder) {
  const std::filesystem::path to = folder / (kNasty + ".keras");
  std::filesystem::copy(std::string(LAMELLA_FIXTURES) + "/keras3/folder/model", to);
  auto json = nlohmann::json::parse(std::ifstream(to / "config.json"));
  json["config"]["name"] = kNasty;
  int number = 0;
  for (auto& layer : json["config"]["layers"]) layer["config"]["name"] = kNasty + std::to_string(number++);
  std::ofstream(to / "config.json") << json;
  return to.string();
}

TEST_F(CommandTest, NeverPrintsControlBytesWhateverNamesHold) {
  ASSERT_TRUE(hides_something(kNasty));
  const std::string model = nasty_model(folder());
  const std::string x = extracted("folder", "x");
  const std::string y = extracted("folder", "y");
  save_npy(file("wide.npy"), Tensor::zeros({2, 99}));
  save_npy(file("other.npy"), Tensor::zeros(load_npy(y).shape()));
  const std::vector<std::vector<std::string>> commands{
      {"summary", model},
      {"explain", model},
      {"explain", model, "--json"},
      {"explain", model, "--engine", kNasty},
      {"explain", model, "--device", kNasty},
      {"explain", model, "--dtype", kNasty},
      {"explain", model, "--threads", kNasty},
      {"explain", model, "--threads", "99999"},
      {"explain", model, "--batch", kNasty},
      {"verify", model, "--input", x, "--expected", y},
      {"verify", model, "--input", x, "--expected", file("other.npy")},
      {"verify", model, "--input", x, "--expected", file("wide.npy")},
      {"verify", model, "--input", x, "--expected", kNasty},
      {"verify", model, "--input", file("wide.npy"), "--expected", y},
      {"verify", model, "--input", x, "--expected", y, "--rtol", kNasty},
      {"predict", model, "--input", x, "--output", file("y.npy")},
      {"predict", model, "--input", x, "--output", file("no/" + kNasty)},
      {"predict", model, "--input", x, "--output", file(kNasty + ".csv")},
      {"predict", model, "--input", kNasty, "--output", file("y.npy")},
      {"predict", model, "--input", x, "--input", x, "--output", file("y.npy")},
      {"predict", model, "--input", x, "--input", file("wide.npy"), "--output", file("y.npy")},
      {"predict", model, "--input", x, "--output", file("y.npy"), "--output", file("z.npy")},
      {"predict", model, "--input", x, "--output", file("y.npy"), "--output", kNasty + "=" + file("y.npy")},
      {"predict", fixture("graph/model.keras"), "--input", kNasty, "--output", kNasty},
      {"summary", file(kNasty)},
      {"summary", model, kNasty},
      {kNasty},
      {"summary", model, "--" + kNasty},
      {"profile", model, "--seconds", "0.01", "--device", "cpu"},
      {"info"},
      {"info", "--json"},
  };
  int succeeded = 0;
  for (const auto& words : commands) {
    const Result result = command(words);
    EXPECT_FALSE(hides_something(result.out)) << words[0] << " prints " << ::testing::PrintToString(result.out);
    EXPECT_FALSE(hides_something(result.err)) << words[0] << " prints " << ::testing::PrintToString(result.err);
    succeeded += result.code == kOk ? 1 : 0;
  }
  EXPECT_EQ(succeeded, 10);
  const auto plan = nlohmann::json::parse(command({"explain", model, "--json"}).out);
  EXPECT_EQ(plan.at("steps").at(0).at("layers").at(0), kNasty + "1") << "the JSON has a different name";
}

TEST_F(CommandTest, WritesOutputsInPlaceOrNotAtAll) {
  const auto predict = [&](const std::string& output) {
    return std::vector<std::string>{
        "predict", fixture("dense/model.keras"), "--input", extracted("dense", "x"), "--output", output, "--quiet"};
  };
  ASSERT_EQ(command(predict(file("y.npy"))).code, kOk);
  std::ifstream stream(file("y.npy"), std::ios::binary);
  const std::string wanted{std::istreambuf_iterator<char>(stream), {}};
  for (const char* name : {"-", "/dev/fd/1"}) EXPECT_EQ(command(predict(name)).out, wanted) << name;
  EXPECT_EQ(command(predict("/dev/fd/2")).err, wanted);
}

TEST_F(CommandTest, OneArchiveHoldsAllInputsOrOutputs) {
  const std::string model = fixture("graph/model.keras");
  const Tensor a = fixture_array("graph", "x_a");
  const Tensor b = fixture_array("graph", "x_b");
  save_npz(file("x.npz"), {{"a", a}, {"b", b}, {"unused", Tensor::zeros({1})}});
  save_npz(file("y.npz"), {{"out", fixture_array("graph", "y_0")}, {"inner", fixture_array("graph", "y_1")}});
  ASSERT_EQ(command({"predict", model, "--input", file("x.npz"), "--output", file("found.npz")}).code, kOk);
  EXPECT_THAT(load_npz(file("found.npz")), ::testing::UnorderedElementsAre(::testing::Key("out"), ::testing::Key("inner")));
  EXPECT_EQ(command({"verify", model, "--input", file("x.npz"), "--expected", file("found.npz")}).code, kOk);
  EXPECT_EQ(command({"verify", model, "--input", file("x.npz"), "--expected", file("y.npz")}).code, kOk);
  // An option for each input: an archive of several arrays gives the array of that name.
  const std::vector<std::string> mixed{"predict",  model,
                                       "--input",  "a=" + file("x.npz"),
                                       "--input",  "b=" + extracted("graph", "x_b"),
                                       "--output", "out=" + file("out.npz"),
                                       "--output", "inner=" + file("inner.npy")};
  ASSERT_EQ(command(mixed).code, kOk);
  EXPECT_EQ(command({"verify", model, "--input", file("x.npz"), "--expected", "out=" + file("out.npz"), "--expected",
                     "inner=" + file("inner.npy")})
                .code,
            kOk);
  save_npz(file("short.npz"), {{"a", a}});
  expect_refused({"predict", model, "--input", file("short.npz"), "--output", file("z.npz")}, kInput, "--input", "no array 'b'",
                 "it has a");
  expect_refused({"predict", model, "--input", file("x.npz"), "--output", file("no/z.npz")}, kFile, "no/z.npz");
  EXPECT_FALSE(std::filesystem::exists(file("z.npz")));
}

TEST_F(CommandTest, VerifyTakesFiniteTolerancesOnly) {
  for (const char* option : {"--rtol", "--atol"}) {
    for (const char* value : {"nan", "-nan", "inf", "-1", "1e999", "x", "", "0.1x"}) {
      auto words = verify_dense(extracted("dense", "y"));
      words.insert(words.end(), {option, value});
      expect_refused(words, kUsage, option);
    }
  }
}

}  // namespace
}  // namespace lamella::cli
