// SPDX-License-Identifier: Apache-2.0
// summary, explain, info: what a model is, how it will run, where it can run.
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/verbs.hpp"

namespace lamella::cli {

Registered add_summary(CLI::App& root) {
  auto model = std::make_shared<std::string>();
  CLI::App* app = root.add_subcommand("summary", "Print the table of layers that Keras prints");
  app->add_option("MODEL", *model, ".keras or .h5 file")->required();
  return {app, [model] {
            Options options;
            options.device = Device::cpu();
            print(stdout, Model::load(*model, options).summary());
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
  CLI::App* app = root.add_subcommand("explain", "Print what will run: steps, engines, what is fused, who refused and why");
  app->add_option("MODEL", state->model, ".keras or .h5 file")->required();
  app->add_option("--batch", state->explain.batch, "rows")->capture_default_str()->check(CLI::NonNegativeNumber);
  app->add_flag("--json", state->explain.json, "as JSON");
  state->run.add_to(*app);
  return {app, [state] {
            const Model model = Model::load(state->model, state->run.options());
            print(stdout, model.explain(state->explain) + (state->explain.json ? "\n" : ""));
            return kOk;
          }};
}

/// As JSON has text.
std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

Registered add_info(CLI::App& root) {
  auto json = std::make_shared<bool>(false);
  CLI::App* app = root.add_subcommand("info", "Print the version, the devices, and why CUDA is not usable when it is not");
  app->add_flag("--json", *json, "as JSON");
  return {app, [json] {
            const std::vector<Device> devices = available_devices();
            const std::string why = why_no_cuda();
            if (*json) {
              std::string listed;
              std::string described;
              for (const Device device : devices) {
                const std::string name = quoted(to_string(device));
                const char* const before = listed.empty() ? "" : ", ";
                listed += before + name;
                described += before + name + ": " + quoted(describe(device));
              }
              std::printf("{\"version\": \"%s\", \"devices\": [%s], \"descriptions\": {%s}, \"why_no_cuda\": %s}\n",
                          LAMELLA_VERSION, listed.c_str(), described.c_str(), quoted(why).c_str());
              return kOk;
            }
            std::printf("lamella %s\ndevices:", LAMELLA_VERSION);
            for (const Device device : devices) std::printf(" %s", to_string(device).c_str());
            std::printf("\n");
            for (const Device device : devices) print(stdout, to_string(device) + ": " + describe(device) + "\n");
            if (!why.empty()) print(stdout, "CUDA: " + why + "\n");
            return kOk;
          }};
}

}  // namespace lamella::cli
