// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <exception>
#include <memory>
#include <new>
#include <sstream>
#include <string_view>

#include "cli/verbs.hpp"
#include "cli/words.hpp"
#include "core/format.hpp"

namespace lamella::cli {
namespace {

int report(const char* what, int code) noexcept {
  try {
    print(stderr, core::format("lamella: {}\n", what));
  } catch (const std::bad_alloc&) {  // then print it unescaped
    static_cast<void>(std::fputs("lamella: ", stderr));
    for (const char* at = what; *at != '\0'; ++at) static_cast<void>(std::fputc(*at >= ' ' && *at < 0x7F ? *at : '?', stderr));
    static_cast<void>(std::fputc('\n', stderr));
  }
  return code;
}

/// Breaks lines between words: no more than 80 columns, descriptions in their column.
std::string wrapped(const std::string& text, std::size_t descriptions) {
  constexpr std::size_t kColumns = 80;
  std::istringstream lines(text);
  std::string result;
  for (std::string line; std::getline(lines, line);) {
    const bool described = line.starts_with("  ") && line.size() > descriptions && line[descriptions - 1] == ' ';
    const std::size_t indent = described ? descriptions : std::min(line.find_first_not_of(' '), line.size());
    for (std::size_t at = 0; line.size() > kColumns && (at = line.rfind(' ', kColumns)) != std::string::npos && at > indent;) {
      result += line.substr(0, at) + "\n";
      line = std::string(indent, ' ') + line.substr(at + 1);
    }
    result += line + "\n";
  }
  return result;
}

/// CLI11's help, except that options come after the verb, that an option takes one value each time it is given, and that lines
/// fit a terminal.
class Help : public CLI::Formatter {
 public:
  [[nodiscard]] std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override {
    return wrapped(CLI::Formatter::make_help(app, std::move(name), mode), get_column_width());
  }
  [[nodiscard]] std::string make_usage(const CLI::App* app, std::string name) const override {
    const bool is_verb = app->get_parent() != nullptr;
    return is_verb ? CLI::Formatter::make_usage(app, std::move(name)) : "Usage: lamella VERB [OPTIONS] [FILES]\n";
  }
  [[nodiscard]] std::string make_option_opts(const CLI::Option* option) const override {
    constexpr std::string_view kSeveral = " ...";
    std::string text = CLI::Formatter::make_option_opts(option);
    const std::size_t at = option->get_positional() ? std::string::npos : text.find(kSeveral);
    return at == std::string::npos ? text : text.erase(at, kSeveral.size());
  }
};

constexpr const char* kFooter =
    "lamella help VERB lists what it takes. Options and files come in any order.\n\n"
    "Exit codes:\n"
    "  0  done\n"
    "  1  verify or bench found a difference\n"
    "  2  the command line is wrong\n"
    "  3  a file cannot be read or written\n"
    "  4  data do not fit the model, or it cannot do what an option asks\n"
    "  5  the device is absent or refused\n"
    "  6  out of memory, or an internal error\n\n"
    "Environment:\n"
    "  LAMELLA_DEVICE         the default of --device\n"
    "  LAMELLA_THREADS        the default of --threads\n"
    "  LAMELLA_TUNING_FILE    the file in which lamella tune keeps its measurements\n"
    "  LAMELLA_MAX_CPU_ISA    generic, avx2 or avx512: the most that may be used\n"
    "  LAMELLA_CUDA_PLUGIN    the CUDA plugin to load instead of the library's own\n"
    "  LAMELLA_CUDA_ALLOCATOR pool, or exact: device memory without CUDA's pools";

std::vector<std::string> verb_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) names.push_back(verb->get_name());
  return names;
}

/// Handles a command line without a known verb: help, version, or an unknown verb. -1: it has a verb.
int answer_without_verb(CLI::App& app, int argc, const char* const* argv) {
  const std::string first = argc < 2 ? "help" : argv[1];
  const std::vector<std::string> verbs = verb_names(app);
  if (std::find(verbs.begin(), verbs.end(), first) != verbs.end()) return -1;
  if (first == "version") {
    print(stdout, std::string(LAMELLA_VERSION) + "\n");
    return kOk;
  }
  if (first == "help") {
    const std::string about = argc < 3 ? "" : argv[2];
    if (!about.empty() && std::find(verbs.begin(), verbs.end(), about) == verbs.end())
      throw UsageError(
          core::format("no verb is named '{}'; the verbs are {}{}", about, listed(verbs), did_you_mean(about, verbs)));
    print(stdout, about.empty() ? app.help() : app.get_subcommand(about)->help("lamella"));
    return kOk;
  }
  for (const char* option : {"-h", "--help", "-v", "--version"}) {
    if (first == option) return -1;
  }
  if (first.starts_with('-')) {
    const std::string word = first.substr(std::min(first.size(), first.find_first_not_of('-')));
    const std::string near = did_you_mean(word, verbs);
    throw UsageError(core::format("a verb comes first, not '{}'; the verbs are {}{}", first, listed(verbs),
                                  near.empty() ? did_you_mean(first, {"--help", "--version"}) : near));
  }
  throw UsageError(core::format("no verb is named '{}'; the verbs are {}{}", first, listed(verbs), did_you_mean(first, verbs)));
}

/// Whether the command line has an option that the verb does not have.
bool has_unknown_option(const CLI::App& app) {
  const std::vector<std::string> rest = app.remaining(true);
  return std::any_of(rest.begin(), rest.end(), [](const std::string& word) { return word.size() > 1 && word.starts_with("-"); });
}

/// Describes what the parser did not expect.
std::string what_is_too_much(const CLI::App& app) {
  const std::vector<CLI::App*> named = app.get_subcommands();
  const CLI::App& verb = named.empty() ? app : *named.front();
  const std::vector<std::string> rest = app.remaining(true);
  const auto option = std::find_if(rest.begin(), rest.end(), [](const std::string& word) { return word.starts_with("-"); });
  if (option == rest.end()) {
    const char* const more = verb.get_option_no_throw("--input") == nullptr ? "" : "; an option takes one file: -i A -i B";
    return core::format("{}: '{}' is one argument too many{}", verb.get_name(), rest.empty() ? "" : rest.front(), more);
  }
  std::vector<std::string> known;
  for (const CLI::Option* each : verb.get_options()) {
    for (const std::string& name : each->get_lnames()) known.push_back("--" + name);
    for (const std::string& name : each->get_snames()) known.push_back("-" + name);
  }
  const std::string name = option->substr(0, option->find('='));
  return core::format("{}: no option is named '{}'{}", verb.get_name(), name, did_you_mean(name, known));
}

int parse_and_run(int argc, const char* const* argv, std::span<const AddVerb> verbs) {
  CLI::App app{"Runs Keras models of Dense and Activation layers.", "lamella"};
  app.formatter(std::make_shared<Help>());
  app.require_subcommand(1);
  app.set_version_flag("-v,--version", std::string(LAMELLA_VERSION));
  std::vector<Registered> registered;
  for (const AddVerb add : verbs) registered.push_back(add(app));
  for (const Registered& verb : registered) verb.app->group("Verbs");
  app.footer(kFooter);  // after the verbs, which would take it over
  if (const int code = answer_without_verb(app, argc, argv); code >= 0) return code;
  check_environment();  // from version 2.4, CLI11 ignores a value there that the option's check refuses
  try {
    app.parse(argc, argv);
  } catch (const CLI::ExtrasError&) {
    return report(what_is_too_much(app).c_str(), kUsage);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    const std::vector<CLI::App*> named = app.get_subcommands();
    if (named.empty()) return report(error.what(), kUsage);
    const std::string verb = named.front()->get_name();
    const bool lacks = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
    if (lacks && has_unknown_option(app))
      return report(what_is_too_much(app).c_str(), kUsage);  // perhaps what is lacking, misspelt
    const std::string more = lacks ? core::format("; lamella help {} says what it takes", verb) : "";
    return report(core::format("{}: {}{}", verb, error.what(), more).c_str(), kUsage);
  }
  for (const Registered& verb : registered) {
    if (!verb.app->parsed()) continue;
    const int code = verb.run();
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) throw Error(ErrorCode::io, "cannot write to standard output");
    return code;
  }
  return kUsage;
}

}  // namespace

int run_command(int argc, const char* const* argv, std::span<const AddVerb> verbs) noexcept {
  try {
    return parse_and_run(argc, argv, verbs);
  } catch (const UsageError& error) {
    return report(error.what(), kUsage);
  } catch (const LoadError& error) {
    return report(error.what(), kFile);
  } catch (const DeviceError& error) {
    return report(error.what(), kDevice);
  } catch (const ArgumentError& error) {
    return report(error.what(), kInput);
  } catch (const Error& error) {
    return report(error.what(), error.code() == ErrorCode::io ? kFile : kFailure);
  } catch (const std::bad_alloc& error) {  // the library's own messages say how much was requested
    return report(std::string_view(error.what()).ends_with(']') ? error.what() : "out of memory", kFailure);
  } catch (const std::exception& error) {
    return report(error.what(), kFailure);
  }
}

}  // namespace lamella::cli
