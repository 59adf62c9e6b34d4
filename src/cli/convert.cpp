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
  add_model(*app, state->model, kModelOrText);
  app->add_option("-o,--output", state->output, "NAME.keras, or NAME.weights.h5 for the weights alone")
      ->type_name("FILE")
      ->required()
      ->check(model_file());
  add_weights(*app, state->weights);
  app->footer("Of a Keras 2 model only the weights can be written: Keras 3 cannot read its config.");
  return {app, [state] {
            Options options;
            options.device = Device::cpu();
            load_model(state->model, state->weights, options).save(state->output);
            return kOk;
          }};
}

}  // namespace lamella::cli
