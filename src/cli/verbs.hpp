// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lamella/model.hpp>

/// The verbs of the command. Each adds its options to the parser and returns what to run when it was named; that returns the exit
/// code.
namespace lamella::cli {

enum ExitCode : int {
  kOk = 0,
  kDiffers = 1,  ///< verify found a difference
  kUsage = 2,    ///< the command line is wrong
  kFile = 3,     ///< a file cannot be read or written
  kInput = 4,    ///< data or options do not fit the model
  kDevice = 5,   ///< the device is absent or refused
  kFailure = 6,  ///< memory ran out, or lamella broke its own rules
};

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
Registered add_info(CLI::App& root);
Registered add_bench(CLI::App& root);

/// The command with these verbs. Says on stderr, in one line, what went wrong; returns the exit code.
int run_command(int argc, const char* const* argv, std::span<const AddVerb> verbs) noexcept;

/// Writes text as it may reach a terminal: control bytes, and what turns text around, as \xNN; line ends stay. Whatever the
/// command prints goes through here: names come from files.
void print(std::FILE* to, std::string_view text);

/// A finite number, 0 or more.
[[nodiscard]] CLI::Validator tolerance();

/// Options that choose where and how a model runs.
struct RunOptions {
  std::string device = "auto";
  std::string dtype;
  std::string engine;
  int threads = 0;
  void add_to(CLI::App& app);
  [[nodiscard]] Options options() const;
};

/// A model, with other weights where `weights` is not empty; a file of JSON has none of its own. Throws as Model::load does.
[[nodiscard]] Model load_model(const std::string& path, const std::string& weights, const Options& options);
/// The same of a model that is called on these inputs: one of a Sequential that was never called says no shape, and takes theirs.
[[nodiscard]] Model load_model_for(const std::vector<std::string>& inputs, const std::string& path, const std::string& weights,
                                   const Options& options);
/// "name=file" or "file", to (name, file) with an empty name.
[[nodiscard]] std::pair<std::string, std::string> named_file(const std::string& argument, const std::vector<std::string>& names);
/// The files for `names` in their order. Throws ArgumentError when one is missing, unknown or given twice.
[[nodiscard]] std::vector<std::string> files_for(const std::vector<std::string>& arguments, const std::vector<std::string>& names,
                                                 const char* option);
/// The array of an npy file, the only one of an npz archive, or the one of that name. `option` begins messages.
[[nodiscard]] Tensor load_array(const std::string& file, const std::string& name, const char* option);
/// Arrays in the order of `names`, of an npy or npz file for each, or of one npz that has them all.
[[nodiscard]] std::vector<Tensor> load_arrays(const std::vector<std::string>& arguments, const std::vector<std::string>& names,
                                              const char* option);
/// Where --output puts arrays of these names: an npy or npz file for each ("-" is standard output), or one npz for all.
class OutputFiles {
 public:
  /// Throws ArgumentError as files_for() does, and for a file that promises another format.
  OutputFiles(const std::vector<std::string>& arguments, std::vector<std::string> names);
  void save(const std::vector<Tensor>& arrays) const;

 private:
  std::vector<std::string> names_;
  std::vector<std::string> files_;
};
/// Runs in parts, with a progress bar on a terminal when it takes long.
[[nodiscard]] std::vector<Tensor> predict_all(const Model& model, const std::vector<Tensor>& inputs, std::int64_t batch_size);

}  // namespace lamella::cli
