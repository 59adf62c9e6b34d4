// SPDX-License-Identifier: Apache-2.0
#include <lamella/npy.hpp>
#include <memory>

#include "cli/verbs.hpp"

namespace lamella::cli {

Registered add_predict(CLI::App& root) {
  struct State {
    std::string model;
    std::vector<std::string> inputs;
    std::vector<std::string> outputs;
    std::int64_t batch_size = 4096;
    RunOptions run;
  };
  auto state = std::make_shared<State>();
  CLI::App* app = root.add_subcommand("predict", "Run a model on npy files");
  app->add_option("MODEL", state->model, ".keras or .h5 file")->required();
  app->add_option("--input", state->inputs, "X.npy, or NAME=X.npy once for every input")->required();
  app->add_option("--output", state->outputs, "Y.npy, or NAME=Y.npy once for every output")->required();
  app->add_option("--batch-size", state->batch_size, "rows computed at a time")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  state->run.add_to(*app);
  return {app, [state] {
            const Model model = Model::load(state->model, state->run.options());
            const std::vector<std::string> files = files_for(state->outputs, model.output_names(), "--output");
            const std::vector<Tensor> outputs = predict_all(model, load_inputs(model, state->inputs), state->batch_size);
            for (std::size_t i = 0; i < files.size(); ++i) save_npy(files[i], outputs[i]);
            return kOk;
          }};
}

}  // namespace lamella::cli
