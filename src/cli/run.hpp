// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>

namespace CLI {
class App;
}

/// The verbs of the command. Each adds its options to the parser and returns the function to run, which returns the exit
/// code.
namespace lamella::cli {

using Verb = std::function<int()>;
struct Registered {
  CLI::App* app;
  Verb run;
};

using AddVerb = Registered (*)(CLI::App& root);

Registered add_predict(CLI::App& root);
Registered add_verify(CLI::App& root);
Registered add_summary(CLI::App& root);
Registered add_explain(CLI::App& root);
Registered add_profile(CLI::App& root);
Registered add_tune(CLI::App& root);
Registered add_convert(CLI::App& root);
Registered add_layers(CLI::App& root);
Registered add_info(CLI::App& root);
Registered add_bench(CLI::App& root);
/// Covers the verbs that were added before it, and itself.
Registered add_completion(CLI::App& root);

/// Runs the command with these verbs. Reports errors on stderr, in one line; returns the exit code.
int run_command(int argc, const char* const* argv, std::span<const AddVerb> verbs) noexcept;

}  // namespace lamella::cli
