// SPDX-License-Identifier: Apache-2.0
// summary, explain, layers: a model's structure, how it will run, and which layers are supported.
#include <cstdio>
#include <memory>

#include <lamella/architecture.hpp>

#include "cli/verbs.hpp"
#include "cli/words.hpp"
#include "core/format.hpp"

namespace lamella::cli {
namespace {

/// A list of words, wrapped at 80 columns.
std::string paragraph(const std::vector<std::string>& words, const std::string& indent) {
  constexpr std::size_t kColumns = 80;
  std::string text;
  std::string line = indent;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string word = words[i] + (i + 1 < words.size() ? "," : "");
    if (line.size() > indent.size() && line.size() + 1 + word.size() > kColumns) {
      text += line + "\n";
      line = indent;
    }
    line += (line.size() > indent.size() ? " " : "") + word;
  }
  return text + line + "\n";
}

/// What --input and --output call the arrays.
std::string arrays_line(const char* what, const std::vector<ArraySpec>& specs) {
  std::vector<std::string> words;
  words.reserve(specs.size());
  for (const ArraySpec& spec : specs)
    words.push_back(core::format("{} {} {}", spec.name, batch_shape_text(spec.sample), to_string(spec.dtype)));
  return core::format(" {}:\n{}", what, paragraph(words, "   "));
}

std::string json_list(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + json_text(word);
  return "[" + text + "]";
}

}  // namespace

Registered add_summary(CLI::App& root) {
  auto model = std::make_shared<std::string>();
  CLI::App* app =
      root.add_subcommand("summary", "Print the table of layers that Keras prints, and the names of inputs and outputs");
  add_model(*app, *model);
  return {app, [model] {
            Options options;
            options.device = Device::cpu();
            const Model loaded = Model::load(*model, options);
            print(stdout,
                  loaded.summary() + arrays_line("Inputs", inputs_of(loaded)) + arrays_line("Outputs", outputs_of(loaded)));
            return kOk;
          }};
}

Registered add_explain(CLI::App& root) {
  struct State {
    std::string model;
    ExplainOptions explain;
    RunOptions run;
  };
  auto state = std::make_shared<State>();
  CLI::App* app =
      root.add_subcommand("explain", "Print what will run: steps, engines, what is fused, which engines refused and why");
  add_model(*app, state->model);
  app->add_option("--batch", state->explain.batch, "rows of a call")->capture_default_str()->type_name("N")->check(integer(0));
  app->add_flag("--json", state->explain.json, "print JSON");
  state->run.add_to(*app);
  return {app, [state] {
            const Model model = Model::load(state->model, state->run.options());
            print(stdout, model.explain(state->explain) + (state->explain.json ? "\n" : ""));
            return kOk;
          }};
}

Registered add_layers(CLI::App& root) {
  auto json = std::make_shared<bool>(false);
  CLI::App* app = root.add_subcommand("layers", "Print the supported layers and activations");
  app->add_flag("--json", *json, "print JSON");
  return {app, [json] {
            const std::vector<std::string> layers = supported_layers();
            std::vector<std::string> activations;
            for (const std::string_view name : activation_names()) activations.emplace_back(name);
            if (*json) {
              print(stdout,
                    core::format("{{\"layers\": {},\n \"activations\": {}}}\n", json_list(layers), json_list(activations)));
              return kOk;
            }
            print(stdout, "Layers, and models inside of models (Sequential, Functional):\n" + paragraph(layers, "  ") +
                              "\nActivations:\n" + paragraph(activations, "  ") +
                              "\nOperations between layers (x * 2, keras.ops.exp(x), slices), and the limits of\neach: "
                              "docs/layers.md. Everything else is refused, with an error that names it.\n");
            return kOk;
          }};
}

}  // namespace lamella::cli
