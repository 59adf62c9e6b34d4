// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <exception>
#include <new>
#include <string_view>

#include "cli/verbs.hpp"

namespace lamella::cli {
namespace {

int report(const char* what, int code) noexcept {
  try {
    print(stderr, std::string("lamella: ") + what + "\n");
  } catch (const std::bad_alloc&) {  // then without its marks
    static_cast<void>(std::fputs("lamella: ", stderr));
    for (const char* at = what; *at != '\0'; ++at) static_cast<void>(std::fputc(*at >= ' ' && *at < 0x7F ? *at : '?', stderr));
    static_cast<void>(std::fputc('\n', stderr));
  }
  return code;
}

int parse_and_run(int argc, const char* const* argv, std::span<const AddVerb> verbs) {
  CLI::App app{"Runs Keras' Dense and Activation models."};
  app.footer(
      "Exit codes: 0 done, 1 verify or bench found a difference, 2 wrong command line, 3 a file cannot be read or written,\n"
      "4 data or options do not fit the model, 5 the device is absent or refused, 6 out of memory or an internal error.");
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string(LAMELLA_VERSION));
  std::vector<Registered> registered;
  for (const AddVerb add : verbs) registered.push_back(add(app));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    return report(error.what(), kUsage);
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
  } catch (const LoadError& error) {
    return report(error.what(), kFile);
  } catch (const DeviceError& error) {
    return report(error.what(), kDevice);
  } catch (const ArgumentError& error) {
    return report(error.what(), kInput);
  } catch (const Error& error) {
    return report(error.what(), error.code() == ErrorCode::io ? kFile : kFailure);
  } catch (const std::bad_alloc& error) {  // the library's own say how much was asked for
    return report(std::string_view(error.what()).ends_with(']') ? error.what() : "out of memory", kFailure);
  } catch (const std::exception& error) {
    return report(error.what(), kFailure);
  }
}

}  // namespace lamella::cli
