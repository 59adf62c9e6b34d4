// SPDX-License-Identifier: Apache-2.0
// The command line: order, spelling and values of options; help, completions and the man page, which are generated from the
// parser's options.
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "cli/command_support.hpp"
#include "cli/tree.hpp"
#include "cli/words.hpp"
#include "core/isa.hpp"

namespace lamella::cli {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST_F(CommandTest, TakesFilesAndOptionsInAnyOrder) {
  const std::string model = fixture("dense/model.keras");
  const std::string x = extracted("dense", "x");
  const std::vector<std::vector<std::string>> orders{{"predict", model, "--input", x, "--output", file("y.npy")},
                                                     {"predict", "--input", x, model, "--output", file("y.npy")},
                                                     {"predict", "--output", file("y.npy"), "--input", x, model},
                                                     {"predict", "-o", file("y.npy"), model, "-i", x},
                                                     {"predict", "-q", "-i", x, "-o", file("y.npy"), model},
                                                     {"predict", "--input=" + x, model, "--output=" + file("y.npy")}};
  for (const auto& words : orders) {
    std::filesystem::remove(file("y.npy"));
    const Result result = command(words);
    EXPECT_EQ(result.code, kOk) << result.err;
    EXPECT_TRUE(std::filesystem::exists(file("y.npy")));
  }
  expect_refused({"predict", model, model, "-i", x, "-o", file("y.npy")}, kUsage, "too many");
}

TEST_F(CommandTest, HelpIsWhatABareCommandPrints) {
  const Result bare = command({});
  EXPECT_EQ(bare.code, kOk);
  for (const std::vector<std::string>& words : {std::vector<std::string>{"help"}, {"--help"}, {"-h"}}) {
    const Result help = command(words);
    EXPECT_EQ(help.code, kOk);
    EXPECT_EQ(help.out, bare.out) << words[0];
  }
  EXPECT_THAT(bare.out, Not(AnyOf(HasSubstr("SUBCOMMAND"), HasSubstr("Subcommand"))));
  EXPECT_THAT(bare.out, AllOf(HasSubstr("predict"), HasSubstr("Exit codes"), HasSubstr("LAMELLA_THREADS")));
  EXPECT_THAT(bare.out, HasSubstr("Usage: lamella VERB [OPTIONS]"));
  const Result predict = command({"help", "predict"});
  EXPECT_EQ(predict.out, command({"predict", "--help"}).out);
  EXPECT_THAT(predict.out,
              AllOf(HasSubstr("Usage: lamella predict [OPTIONS] MODEL\n"), HasSubstr("-i,--input [NAME=]FILE REQUIRED\n")));
  for (const char* word : {"--version", "-v", "version"}) EXPECT_EQ(command({word}).out, std::string(LAMELLA_VERSION) + "\n");
}

TEST_F(CommandTest, SuggestsTheNearestName) {
  expect_refused({"predct"}, kUsage, "'predct'", "did you mean 'predict'?");
  expect_refused({"--predict"}, kUsage, "a verb comes first", "did you mean 'predict'?");
  expect_refused({"--"}, kUsage, "a verb comes first");
  expect_refused({"--verison"}, kUsage, "did you mean '--version'?");
  expect_refused({"predict", fixture("dense/model.keras")}, kUsage, "--input is required", "lamella help predict");
  expect_refused({"help", "sumary"}, kUsage, "did you mean 'summary'?");
  expect_refused({"zzzzzzzzz"}, kUsage, "the verbs are predict, verify");
  const std::string model = fixture("dense/model.keras");
  expect_refused({"explain", model, "--bacth", "3"}, kUsage, "explain", "'--bacth'", "'--batch'");
  // That --input is lacking is the consequence.
  expect_refused({"predict", model, "--inptu", "x.npy", "-o", "y.npy"}, kUsage, "no option is named '--inptu'", "'--input'?");
  expect_refused({"predict", model, "x.npy", "-o", "y.npy"}, kUsage, "--input is required");
  expect_refused({"explain", model, "--fusion", "epilog"}, kUsage, "--fusion", "automatic, none, epilogue, library",
                 "'epilogue'?");
  EXPECT_EQ(nearest("x", {"predict"}), "");
  EXPECT_EQ(nearest(std::string(100'000, 'p'), {"predict"}), "");
}

TEST_F(CommandTest, InvalidOptionValuesAreUsageErrors) {
  const std::string model = fixture("dense/model.keras");
  const std::vector<std::pair<std::vector<std::string>, std::string>> wrong{
      {{"--batch", "-1"}, "allowed an integer, 0 or more"},
      {{"--batch", "1e3"}, "allowed an integer, 0 or more"},
      {{"--batch", "99999999999999999999"}, "allowed an integer, 0 or more"},
      {{"--batch", ""}, "allowed an integer, 0 or more"},
      {{"--threads", "1025"}, "0 to 1024"},
      {{"--device", "tpu"}, "auto, cpu, cuda, cuda:N"},
      {{"--dtype", "int8"}, "float32, bfloat16, float16, float64"},
      {{"--math", "fast"}, "exact, tf32, bf16x6"},
      {{"--determinism", "always"}, "run_to_run, batch_invariant"},
      {{"--engine", "referense"}, "did you mean 'reference'?"}};
  for (const auto& [option, allowed] : wrong) {
    std::vector<std::string> words{"explain", model};
    words.insert(words.end(), option.begin(), option.end());
    expect_refused(words, kUsage, option[0], "got '" + option[1] + "'", allowed);
  }
  expect_refused({"profile", model, "--seconds", "0"}, kUsage, "--seconds", "more than 0");
  expect_refused({"profile", model, "--seconds", "inf"}, kUsage, "a finite number");
}

TEST_F(CommandTest, InvalidEnvironmentVariablesAreUsageErrors) {
  const std::vector<std::vector<std::string>> wrong{{"LAMELLA_DEVICE", "gpu", "auto, cpu, cuda, cuda:N"},
                                                    {"LAMELLA_THREADS", "abc", "an integer, 1 to 1024"},
                                                    {"LAMELLA_THREADS", "4abc", "an integer, 1 to 1024"},
                                                    {"LAMELLA_THREADS", "1025", "an integer, 1 to 1024"},
                                                    {"LAMELLA_MAX_CPU_ISA", "sse", "generic, avx2, avx512"}};
  for (const auto& one : wrong) {
    const char* const name = one[0].c_str();
    const char* const found = std::getenv(name);
    const std::string before = found == nullptr ? "" : found;
    ::setenv(name, one[1].c_str(), 1);
    expect_refused({"explain", fixture("dense/model.keras")}, kUsage, one[0], "got '" + one[1] + "', allowed " + one[2]);
    expect_refused({"info"}, kUsage, one[0]);
    ::setenv(name, "", 1);
    EXPECT_EQ(command({"explain", fixture("dense/model.keras"), "--device", "cpu"}).code, kOk) << "empty is not given";
    before.empty() ? ::unsetenv(name) : ::setenv(name, before.c_str(), 1);
  }
}

TEST_F(CommandTest, ValuesOfOptionsAreTheLibrarysNames) {
  EXPECT_EQ(words_of_enum<Fusion>(), (std::vector<std::string>{"automatic", "none", "epilogue", "library"}));
  EXPECT_EQ(value_of<Determinism>("batch_invariant"), Determinism::batch_invariant);
  EXPECT_EQ(value_of<Math>("tf32"), Math::tf32);
}

TEST_F(CommandTest, HelpNamesEveryOptionAndFits) {
  for (const AddVerb add : kVerbs) {
    CLI::App app;
    const std::string verb = add(app).app->get_name();
    const std::string help = command({verb, "--help"}).out;
    for (const OptionDoc& option : doc_of(*app.get_subcommand(verb)).options) {
      EXPECT_FALSE(option.what.empty()) << verb;
      for (const std::string& name : option.names) EXPECT_THAT(help, HasSubstr(name)) << verb;
      for (const std::string& word : option.words) EXPECT_THAT(help, HasSubstr(word)) << verb;
    }
    EXPECT_THAT(help, Not(HasSubstr("\t")));
    std::istringstream lines(help + command({"--help"}).out);
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80U) << verb << ": " << line;
  }
}

TEST_F(CommandTest, CompletionsAndTheManPageNameEveryOption) {
  CLI::App app;
  for (const AddVerb add : kVerbs) static_cast<void>(add(app));
  for (const char* page : {"bash", "zsh", "fish", "man", "markdown"}) {
    const Result result = command({"completion", page});
    ASSERT_EQ(result.code, kOk) << result.err;
    std::string text;
    for (const char c : result.out) text += c == '\\' ? "" : std::string(1, c);  // roff escapes hyphens
    for (const VerbDoc& verb : verbs_of(app)) {
      EXPECT_THAT(text, HasSubstr(verb.name)) << page;
      for (const OptionDoc& option : verb.options) {
        for (const std::string& name : option.names) {
          const std::string spelt = std::string(page) != "fish" ? name
                                    : name.starts_with("--")    ? "-l " + name.substr(2)
                                                                : "-s " + name.substr(1);
          EXPECT_THAT(text, HasSubstr(spelt)) << page << ' ' << verb.name;
        }
        for (const std::string& word : option.words) {
          if (std::string(page).starts_with("ma") && option.names.empty()) continue;
          EXPECT_THAT(text, HasSubstr(word)) << page << ' ' << verb.name;
        }
      }
    }
  }
  expect_refused({"completion", "powershell"}, kUsage, "bash, zsh, fish, man, markdown");
}

/// What bash offers as completion after these words.
std::string completed(const std::string& script, const std::vector<std::string>& words) {
  std::string line = "source '" + script + "'; COMP_WORDS=(lamella";
  for (const std::string& word : words) line += " '" + word + "'";
  line += "); COMP_CWORD=" + std::to_string(words.size()) + "; _lamella; echo \"${COMPREPLY[*]}\"";
  std::FILE* const pipe = ::popen(("bash -c \"" +
                                   [&] {
                                     std::string quoted;
                                     for (const char c : line)
                                       quoted += c == '"' || c == '$' ? std::string("\\") + c : std::string(1, c);
                                     return quoted;
                                   }() +
                                   "\"")
                                      .c_str(),
                                  "r");
  std::string out;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) out += static_cast<char>(c);
  ::pclose(pipe);
  return out;
}

TEST_F(CommandTest, BashCompletesVerbsOptionsWordsAndFiles) {
  if (std::system("command -v bash >/dev/null") != 0) GTEST_SKIP() << "no bash";
  const std::string script = file("completion");
  std::ofstream(script) << command({"completion", "bash"}).out;
  EXPECT_EQ(completed(script, {"pre"}), "predict\n");
  EXPECT_EQ(completed(script, {"predict", "--out"}), "--output --output-format\n");
  EXPECT_EQ(completed(script, {"explain", "m.keras", "--fusion", ""}), "automatic none epilogue library\n");
  EXPECT_EQ(completed(script, {"completion", "z"}), "zsh\n");
  EXPECT_THAT(completed(script, {"predict", file("comp")}), HasSubstr("completion"));
}

TEST_F(CommandTest, InfoDescribesMachineAndLibraries) {
  const std::string isa(to_string(core::best_isa()));
  const Result info = command({"info"});
  EXPECT_THAT(info.out,
              AllOf(HasSubstr("processor: "), HasSubstr("usable processors: "), HasSubstr("CPU limit of the control group: "),
                    HasSubstr("instruction set in use: " + isa), HasSubstr("oneDNN ")));
  const auto json = nlohmann::json::parse(command({"info", "--json"}).out);
  EXPECT_GE(json.at("machine").at("usable_processors"), 1);
}

TEST_F(CommandTest, LayersListsWhatTheLoaderAccepts) {
  const Result text = command({"layers"});
  EXPECT_EQ(text.code, kOk);
  const auto json = nlohmann::json::parse(command({"layers", "--json"}).out);
  const std::set<std::string> layers = json.at("layers");
  EXPECT_TRUE(layers.contains("Dense") && layers.contains("TimeDistributed") && !layers.contains("Conv2D"));
  for (const std::string& layer : layers) EXPECT_THAT(text.out, HasSubstr(layer));
  EXPECT_EQ(json.at("activations").size(), activation_names().size());
  std::istringstream lines(text.out);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80U) << line;
}

TEST_F(CommandTest, ProfileShowsTheShareOfEachStep) {
  const std::vector<std::string> words{"profile", fixture("graph/model.keras"), "--device", "cpu", "--seconds", "0.01", "--batch",
                                       "9"};
  const Result text = command(words);
  EXPECT_EQ(text.code, kOk) << text.err;
  EXPECT_THAT(text.out, AllOf(HasSubstr(", 9 rows on cpu"), HasSubstr("us a call"), HasSubstr("share")));
  auto as_json = words;
  as_json.emplace_back("--json");
  const auto json = nlohmann::json::parse(command(as_json).out);
  const auto plan = nlohmann::json::parse(command({"explain", words[1], "--device", "cpu", "--batch", "9", "--json"}).out);
  ASSERT_EQ(json.at("steps").size(), plan.at("steps").size());
  double shares = 0;
  for (std::size_t i = 0; i < plan.at("steps").size(); ++i) {
    EXPECT_EQ(json.at("steps")[i].at("layers"), plan.at("steps")[i].at("layers"));
    EXPECT_EQ(json.at("steps")[i].at("engine"), plan.at("steps")[i].at("engine"));
    EXPECT_GT(json.at("steps")[i].at("share"), 0);
    shares += json.at("steps")[i].at("share").get<double>();
  }
  EXPECT_NEAR(shares, 1, 1e-4);
  EXPECT_GE(json.at("calls"), 5);
  EXPECT_FALSE(plan.contains("runs")) << "timed without being profiled";
  expect_refused({"profile", words[1], "-i", extracted("graph", "x_a")}, kInput, "the model has several");
}

TEST_F(CommandTest, ProfileKnowsTheFloorOfEachStep) {
  const Result text =
      command({"profile", fixture("dense/model.keras"), "--device", "cpu", "--seconds", "0.01", "--floor", "--threads", "1"});
  ASSERT_EQ(text.code, kOk) << text.err;
  EXPECT_THAT(text.out, AllOf(HasSubstr("floor us"), HasSubstr("bound by"), AnyOf(HasSubstr("memory"), HasSubstr("arithmetic"))));
}

}  // namespace
}  // namespace lamella::cli
