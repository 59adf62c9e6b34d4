// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lamella/model.hpp>

#include "cli/rows.hpp"
#include "cli/run.hpp"

/// What the verbs of the command share.
namespace lamella::cli {

enum ExitCode : int {
  kOk = 0,
  kDiffers = 1,  ///< verify found a difference
  kUsage = 2,    ///< the command line is wrong
  kFile = 3,     ///< a file cannot be read or written
  kInput = 4,    ///< the data do not fit the model, or it cannot do what the options ask for
  kDevice = 5,   ///< the device is absent or refused
  kFailure = 6,  ///< memory ran out, or lamella broke its own rules
};

/// Writes text safe for a terminal: control bytes, and marks that reverse text, as \xNN; line ends stay. All output of the
/// command uses this, because names come from files.
void print(std::FILE* to, std::string_view text);

/// As a JSON string, with quotes.
[[nodiscard]] std::string json_text(const std::string& text);

/// Options that choose where and how a model runs.
struct RunOptions {
  std::string device = "auto";
  std::string dtype;
  std::string engine;
  std::string math;
  std::string fusion;
  std::string determinism;
  std::string tuning = "cached";
  int threads = 0;
  /// `may_tune`: whether to add --tuning.
  void add_to(CLI::App& app, bool may_tune = true);
  /// Throws UsageError, DeviceError.
  [[nodiscard]] Options options() const;
};

inline constexpr int kMostThreads = 1024;  ///< that Options::threads allows
/// The number of threads that a model uses with --threads `given`; 0: not given.
[[nodiscard]] int thread_count(int given);

/// Throws UsageError if an environment variable with the default of an option has a value that the option does not take.
void check_environment();

/// The positional MODEL.
void add_model(CLI::App& app, std::string& model, const char* what = ".keras or .h5 file");
/// What MODEL may be for a verb with --weights.
inline constexpr const char* kModelOrText = ".keras or .h5 file, or the text of to_json() with --weights";
/// --weights.
void add_weights(CLI::App& app, std::string& weights);
/// An option that takes NAME=FILE, and may be repeated.
CLI::Option* add_files(CLI::App& app, const char* name, std::vector<std::string>& files, const char* what);
/// --header.
void add_header(CLI::App& app, std::string& header);
[[nodiscard]] Header header_of(const std::string& word);

/// Loads a model, with other weights if `weights` is not empty, as a JSON file requires. Throws as Model::load does.
[[nodiscard]] Model load_model(const std::string& path, const std::string& weights, const Options& options);
/// The same for a model that will be called on these inputs: a Sequential saved before it was called has no input shape, and
/// takes theirs.
[[nodiscard]] Model load_model_for(const std::vector<std::string>& inputs, const std::string& path, const std::string& weights,
                                   const Options& options, Header header);

/// The outcome of predict_rows().
struct Done {
  std::int64_t rows = 0;
  double seconds = 0;  ///< reading and writing included
};
/// Reads inputs, predicts and writes outputs, some rows at a time, with a progress bar on a terminal if it takes long and `bar`
/// is true. Predicts at least once, even without rows. `batch_size`: 0 for 4096 rows, or fewer if rows are wide.
Done predict_rows(const Model& model, Inputs& inputs, std::int64_t batch_size, bool bar,
                  const std::function<void(const std::vector<Tensor>&)>& put);

}  // namespace lamella::cli
