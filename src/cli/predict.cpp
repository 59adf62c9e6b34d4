// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "cli/verbs.hpp"

namespace lamella::cli {
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
  CLI::App* app = root.add_subcommand("predict", "Run a model on npy or npz files");
  app->add_option("MODEL", state->model, ".keras or .h5 file, or the text of to_json() with --weights")->required();
  app->add_option("--weights", state->weights, "a file of weights for the model: .weights.h5, .weights.json, or a whole model");
  app->add_option("--input", state->inputs, "X.npy; for several inputs NAME=X.npy each, or one X.npz")->required();
  app->add_option("--output", state->outputs, "Y.npy, - for standard output; for several outputs NAME=Y.npy each, or one Y.npz")
      ->required();
  app->add_option("--batch-size", state->batch_size, "rows computed at a time")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  state->run.add_to(*app);
  return {app, [state] {
            const Model model = load_model_for(state->inputs, state->model, state->weights, state->run.options());
            const OutputFiles files(state->outputs, model.output_names());
            files.save(predict_all(model, load_arrays(state->inputs, model.input_names(), "--input"), state->batch_size));
            return kOk;
          }};
}

}  // namespace lamella::cli
