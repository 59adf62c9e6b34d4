// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <memory>

#include "cli/verbs.hpp"
#include "cli/words.hpp"

namespace lamella::cli {
namespace {

struct PredictState {
  std::string model;
  std::string weights;
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
  std::string format = "auto";
  std::string header = "auto";
  std::int64_t batch_size = 0;
  bool quiet = false;
  RunOptions run;
};

int run_predict(const PredictState& state) {
  const auto begin = std::chrono::steady_clock::now();
  const Header header = header_of(state.header);
  const Model model = load_model_for(state.inputs, state.model, state.weights, state.run.options(), header);
  Inputs inputs = open_inputs(state.inputs, inputs_of(model), "--input", header);
  const OutputForm form{state.format, inputs.is_csv, !inputs.is_csv || inputs.has_header, inputs.rows()};
  const auto sinks = open_outputs(state.outputs, outputs_of(model), form);
  Done done = predict_rows(model, inputs, state.batch_size, !state.quiet, [&](const std::vector<Tensor>& outputs) {
    for (const auto& sink : sinks) sink->put(outputs);
  });
  for (const auto& sink : sinks) sink->finish();
  if (state.quiet) return kOk;
  done.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  // Formats numbers only and allocates nothing: the files are complete, and nothing may fail any more.
  const double rate = static_cast<double>(done.rows) / done.seconds;
  static_cast<void>(std::fprintf(stderr, "%lld row%s in %.3g s, %.*f rows a second, loading and files included\n",
                                 static_cast<long long>(done.rows), done.rows == 1 ? "" : "s", done.seconds, rate < 10 ? 2 : 0,
                                 rate));
  return kOk;
}

}  // namespace

Registered add_predict(CLI::App& root) {
  auto state = std::make_shared<PredictState>();
  CLI::App* app = root.add_subcommand("predict", "Run a model on npy, npz or CSV files");
  add_model(*app, state->model, kModelOrText);
  add_files(
      *app, "-i,--input", state->inputs,
      "X.npy, X.csv, - for standard input; for several inputs NAME=FILE each, or one npz or CSV with all of them. Give it again "
      "for more rows")
      ->required();
  add_files(*app, "-o,--output", state->outputs,
            "Y.npy, Y.csv, - for standard output; for several outputs NAME=FILE each, or one npz or CSV for all of them")
      ->required();
  add_weights(*app, state->weights);
  take_word(*app->add_option("--output-format", state->format,
                             "auto: by the file's extension, npy if it has none; standard output is CSV if the input is")
                 ->capture_default_str(),
            {"auto", "npy", "npz", "csv", "tsv"});
  add_header(*app, state->header);
  app->add_option("--batch-size", state->batch_size, "rows in memory at a time; default: 4096, fewer if rows are wide")
      ->type_name("N")
      ->check(integer(1));
  app->add_flag("-q,--quiet", state->quiet, "do not report rows and seconds on standard error");
  state->run.add_to(*app);
  app->footer(
      "Rows are processed in batches, so a file may be larger than memory. (npz, npy\n"
      "in Fortran order, and npy written from CSV are held whole.)\n\n"
      "  lamella predict model.keras -i x.npy -o y.npy\n"
      "  lamella predict model.keras -i - -o - <x.csv >y.csv\n"
      "  lamella predict model.keras -i part1.npy -i part2.npy -o y.npy\n"
      "  lamella predict model.keras -i a=a.npy -i b=b.npy -o y.npz");
  return {app, [state] { return run_predict(*state); }};
}

}  // namespace lamella::cli
