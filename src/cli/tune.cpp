// SPDX-License-Identifier: Apache-2.0
// tune: measures the fastest engine on this machine for each Dense layer of a model.
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/verbs.hpp"
#include "cli/words.hpp"
#include "core/format.hpp"

namespace lamella::cli {
namespace {

using nlohmann::json;

/// Names a step of a program: "dense 784 -> 64 relu  [hidden]".
std::string heading(const json& step) {
  std::string text = step.at("op").get<std::string>() + "  [";
  for (const json& layer : step.at("layers")) text += (text.ends_with('[') ? "" : " + ") + layer.get<std::string>();
  return text + "]";
}

/// The measured time of the engine, or the words for none.
std::string time_of(const json& step, const std::string& engine) {
  if (step.at("engine") == engine) return step.at("measured").get<std::string>();
  for (const json& refusal : step.at("refused")) {
    if (refusal.at("engine") == engine) return refusal.at("why").get<std::string>();
  }
  return "not measured";
}

void print_steps(const json& measured) {
  std::printf("batch %lld on %s\n", static_cast<long long>(measured.at("batch").get<std::int64_t>()),
              measured.at("device").get<std::string>().c_str());
  for (const json& step : measured.at("steps")) {
    if (step.at("op").get<std::string>().rfind("dense ", 0) != 0) continue;
    const std::string engine = step.at("engine");
    const std::string rule = step.at("by_rule");
    std::string verdict = ": the only choice";
    if (!step.at("measured").get<std::string>().empty()) {
      const std::string by_rule = engine == rule ? ", as by rule" : core::format("; by rule {} {}", rule, time_of(step, rule));
      verdict = core::format(" {}{}", time_of(step, engine), by_rule);
    }
    print(stdout, core::format("  {}\n    {}{}\n", heading(step), engine, verdict));
    if (step.contains("one_by_one"))
      print(stdout, core::format("    one by one: {}\n", step.at("one_by_one").get<std::string>()));
  }
}

struct TuneState {
  std::string model;
  std::vector<std::int64_t> batches = {1, 64, 4096};
  bool json = false;
  RunOptions run;
};

int run_tune(const TuneState& state) {
  Options options = state.run.options();
  options.tuning = Tuning::measure;
  const Model model = Model::load(state.model, options);
  model.prepare(state.batches);
  std::string all;
  std::string trouble;
  for (const std::int64_t batch : state.batches) {
    const std::string text = model.explain({.batch = batch, .json = true});
    const json measured = json::parse(text);
    if (measured.contains("tuning")) trouble = measured.at("tuning").get<std::string>();
    all += (all.empty() ? "" : ",\n") + text;
    if (!state.json) print_steps(measured);
  }
  if (state.json) print(stdout, "[" + all + "]\n");
  if (!trouble.empty()) print(stderr, core::format("lamella: the measurements are not saved: {}\n", trouble));
  return kOk;
}

}  // namespace

Registered add_tune(CLI::App& root) {
  auto state = std::make_shared<TuneState>();
  CLI::App* app = root.add_subcommand("tune", "Measure which engine is the fastest for each Dense layer, for predict to use");
  add_model(*app, state->model);
  app->add_option("--batch", state->batches, "rows per call, such as 1,64,4096")
      ->delimiter(',')
      ->default_str("1,64,4096")
      ->type_name("N")
      ->check(integer(1));
  app->add_flag("--json", state->json, "print JSON: what explain prints for each batch size");
  state->run.add_to(*app, false);
  app->footer("Measurements are stored in LAMELLA_TUNING_FILE, else lamella/tuning.json under\nXDG_CACHE_HOME or ~/.cache.");
  return {app, [state] { return run_tune(*state); }};
}

}  // namespace lamella::cli
