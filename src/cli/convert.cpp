// SPDX-License-Identifier: Apache-2.0
// convert: writes a model, or its weights, as Keras 3 files.
#include <memory>

#include "cli/verbs.hpp"
#include "core/format.hpp"

namespace lamella::cli {
namespace {

/// A name that Model::save takes.
CLI::Validator model_file() {
  const auto check = [](const std::string& text) -> std::string {
    if (text.ends_with(".keras") || text.ends_with(".weights.h5")) return {};
    return core::format("got '{}', allowed NAME.keras, NAME.weights.h5", text);
  };
  return {check, ""};
}

}  // namespace

Registered add_convert(CLI::App& root) {
  struct State {
    std::string model;
    std::string weights;
    std::string output;
  };
  auto state = std::make_shared<State>();
  CLI::App* app = root.add_subcommand("convert", "Write a model, or its weights, as Keras 3 does");
  add_model(*app, state->model, ".keras or .h5 file, or the text of to_json() with --weights");
  app->add_option("-o,--output", state->output, "NAME.keras, or NAME.weights.h5 for the weights alone")
      ->type_name("FILE")
      ->required()
      ->check(model_file());
  app->add_option("--weights", state->weights,
                  "a file of weights for the model: .weights.h5, .weights.json, .npz, .safetensors, or a whole model")
      ->type_name("FILE");
  app->footer("A model of Keras 2 gives its weights only: Keras 3 reads other configs.");
  return {app, [state] {
            Options options;
            options.device = Device::cpu();
            load_model(state->model, state->weights, options).save(state->output);
            return kOk;
          }};
}

}  // namespace lamella::cli
