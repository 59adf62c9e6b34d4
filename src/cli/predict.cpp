// SPDX-License-Identifier: Apache-2.0
#include <lamella/npy.hpp>
#include <memory>

#include "cli/verbs.hpp"

namespace lamella::cli {
namespace {

/// Where an output goes: "-" is standard output. Throws ArgumentError (unsupported) for a name that promises what is not written.
std::string destination(const std::string& file) {
  for (const std::string_view ending : {".csv", ".tsv", ".npz"}) {
    if (!file.ends_with(ending)) continue;
    throw ArgumentError(ErrorCode::unsupported,
                        "--output: got '" + file + "', which is to be no npy file; npy is what can be written");
  }
  return file == "-" ? "/dev/fd/1" : file;
}

}  // namespace

Registered add_predict(CLI::App& root) {
  struct State {
    std::string model;
    std::string weights;
    std::vector<std::string> inputs;
    std::vector<std::string> outputs;
    std::int64_t batch_size = 4096;
    RunOptions run;
  };
  auto state = std::make_shared<State>();
  CLI::App* app = root.add_subcommand("predict", "Run a model on npy files");
  app->add_option("MODEL", state->model, ".keras or .h5 file, or the text of to_json() with --weights")->required();
  app->add_option("--weights", state->weights, "a file of weights for the model: .weights.h5, .weights.json, or a whole model");
  app->add_option("--input", state->inputs, "X.npy, or NAME=X.npy once for every input")->required();
  app->add_option("--output", state->outputs, "Y.npy, or NAME=Y.npy once for every output; - is standard output")->required();
  app->add_option("--batch-size", state->batch_size, "rows computed at a time")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  state->run.add_to(*app);
  return {app, [state] {
            const Model model = load_model_for(state->inputs, state->model, state->weights, state->run.options());
            std::vector<std::string> files = files_for(state->outputs, model.output_names(), "--output");
            for (std::string& file : files) file = destination(file);
            const std::vector<Tensor> outputs = predict_all(model, load_inputs(model, state->inputs), state->batch_size);
            for (std::size_t i = 0; i < files.size(); ++i) save_npy(files[i], outputs[i]);
            return kOk;
          }};
}

}  // namespace lamella::cli
