// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <exception>
#include <new>

#include "cli/verbs.hpp"

namespace {

using namespace lamella;

int report(const char* what, int code) {
  std::fprintf(stderr, "lamella: %s\n", what);
  return code;
}

int run(int argc, char** argv) {
  CLI::App app{"Runs Keras' Dense and Activation models."};
  app.footer(
      "Exit codes: 0 done, 1 verify or bench found a difference, 2 wrong command line, 3 a file cannot be read or written,\n"
      "4 data or options do not fit the model, 5 the device is absent or refused, 6 out of memory or an internal error.");
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string(LAMELLA_VERSION));
  const cli::Registered verbs[] = {cli::add_predict(app), cli::add_summary(app), cli::add_explain(app), cli::add_verify(app), cli::add_info(app),
                                   cli::add_bench(app)};
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    return report(error.what(), cli::kUsage);
  }
  for (const cli::Registered& verb : verbs) {
    if (verb.app->parsed()) return verb.run();
  }
  return cli::kUsage;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const LoadError& error) {
    return report(error.what(), cli::kFile);
  } catch (const DeviceError& error) {
    return report(error.what(), cli::kDevice);
  } catch (const ArgumentError& error) {
    return report(error.what(), cli::kInput);
  } catch (const Error& error) {
    return report(error.what(), error.code() == ErrorCode::io ? cli::kFile : cli::kFailure);
  } catch (const std::bad_alloc&) {
    return report("out of memory", cli::kFailure);
  } catch (const std::exception& error) {
    return report(error.what(), cli::kFailure);
  }
}
