// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "core/counted.hpp"
#include "model/impl.hpp"
#include "ops/quantized_dense.hpp"

namespace lamella::model {
namespace {

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : " + ") + core::escaped(part);
  return text;
}

std::string value_name(int of_stack) { return of_stack == 0 ? "input" : core::format("result {}", of_stack); }

std::string op_of(const ProgramStep& step) {
  const auto text = [](const auto& dense) {
    return core::format("dense {} -> {}{}{}", dense.inputs, dense.units,
                        dense.activation.kind == ActivationKind::Linear ? "" : " ",
                        dense.activation.kind == ActivationKind::Linear ? "" : to_string(dense.activation.kind));
  };
  if (const auto* dense = std::get_if<ops::DenseDesc>(&step.desc)) return text(*dense);
  if (const auto* stack = std::get_if<ops::StackDesc>(&step.desc)) {
    std::string chain = core::format("dense {}", stack->layers.front().inputs);
    for (const auto& layer : stack->layers) {
      if (layer.is_dense) chain += core::format(" -> {}", layer.units);
      if (layer.joins()) chain += core::format(" -> [{}, {}]", value_name(layer.joined[0]), value_name(layer.joined[1]));
      if (layer.activation.kind != ActivationKind::Linear) chain += core::format(" {}", to_string(layer.activation.kind));
      if (layer.added != ops::StackDesc::kNothing) chain += core::format(" + {}", value_name(layer.added));
    }
    return chain + (stack->softmax ? " softmax" : "");
  }
  if (const auto* dense = std::get_if<ops::QuantizedDenseDesc>(&step.desc))
    return core::format("{}, {}", text(*dense), describe(*dense));
  return op_name(step.desc);
}

std::string amount(double value) {
  const char* units[] = {"", "k", "M", "G", "T"};
  std::size_t unit = 0;
  for (; value >= 999.5 && unit + 1 < std::size(units); ++unit) value /= 1000;
  char text[32];
  static_cast<void>(std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.3g %s", value, units[unit]));
  return text;
}

/// Builds the text by hand, because destroying nlohmann's JSON containers allocates.
std::string json_text(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

std::string predicted(double us, const Chunks& chunks) {
  return core::format("{:.3g} us{}, predicted", us, chunks.count > 1 ? " a chunk" : "");
}

std::string why_not(const ops::Refusal& refusal, const Chunks& chunks) {
  return refusal.predicted_us ? predicted(*refusal.predicted_us, chunks) : refusal.why;
}

}  // namespace

std::string steps_text(const Program& program) {
  std::vector<std::pair<std::string, int>> counts;  // in the order of the steps
  for (const ProgramStep& step : program.steps) {
    std::string text = core::format("{} by {}", op_name(step.desc), step.choice.engine);
    const auto known = std::find_if(counts.begin(), counts.end(), [&](const auto& one) { return one.first == text; });
    if (known != counts.end())
      ++known->second;
    else
      counts.emplace_back(std::move(text), 1);
  }
  std::string result;
  for (const auto& [text, count] : counts) result += core::format("{}{} {}", result.empty() ? "" : ", ", count, text);
  return result.empty() ? "nothing to compute" : result;
}

std::string explain_text(const Explained& explained, const std::string& why_this_device) {
  const Program& program = *explained.program;
  std::string text =
      core::format("Program for {} on {}: {}, {}B of buffers and workspace\n", core::counted(explained.batch, "row"),
                   to_string(explained.device), core::counted(static_cast<std::int64_t>(program.steps.size()), "step"),
                   amount(static_cast<double>(program.arena_bytes)));
  if (const Chunks& chunks = explained.chunks; chunks.count > 1) {
    text += core::format("in {} chunks of {}, {} at a time, each with its own buffers\n", chunks.count,
                         core::counted(chunks.rows, "row"), chunks.at_once);
  }
  if (const std::string captured = program.captured.get(); !captured.empty()) text += core::format("{}\n", captured);
  if (!explained.tuning.empty()) text += core::format("Measurements are not saved: {}\n", explained.tuning);
  if (!why_this_device.empty()) text += core::format("No other device can be used: {}\n", why_this_device);
  const StepTimes::Least times = program.times.get();
  int number = 0;
  for (const ProgramStep& step : program.steps) {
    const ops::Desc whole = at_batch(program.graph->steps[static_cast<std::size_t>(number)].desc, explained.batch);
    text += core::format("  {}. {}  [{}]\n     engine {}", ++number, op_of(step), joined(step.layers), step.choice.engine);
    if (!step.choice.measured.empty()) {
      text += core::format(" ({})", step.choice.measured);
    } else if (step.choice.predicted_us) {
      text += core::format(" ({})", predicted(*step.choice.predicted_us, explained.chunks));
    }
    if (!step.choice.fused.empty()) text += core::format(", fused: {}", step.choice.fused);
    if (step.overlaps) text += ", overlaps the step before";
    text +=
        core::format(", {}B, {}FLOP", amount(static_cast<double>(bytes_of(whole))), amount(static_cast<double>(flops_of(whole))));
    if (const std::size_t workspace = step.choice.plan->workspace_bytes(); workspace != 0) {
      text += core::format(", workspace {}B", amount(static_cast<double>(workspace)));
    }
    if (times.runs != 0) {
      text += core::format(", {} ns at best for {}", times.nanoseconds[static_cast<std::size_t>(number) - 1],
                           core::counted(explained.chunks.rows, "row"));
    }
    text += "\n";
    if (!step.one_by_one.empty()) text += core::format("     one by one: {}\n", step.one_by_one);
    for (const ops::Refusal& refusal : step.choice.refused)
      text += core::format("     not {}: {}\n", refusal.engine, why_not(refusal, explained.chunks));
  }
  return text;
}

std::string explain_json(const Explained& explained) {
  const Program& program = *explained.program;
  const StepTimes::Least times = program.times.get();
  std::string steps;
  for (std::size_t i = 0; i < program.steps.size(); ++i) {
    const ProgramStep& step = program.steps[i];
    const ops::Desc whole = at_batch(program.graph->steps[i].desc, explained.batch);
    std::string layers;
    for (const std::string& layer : step.layers) layers += core::format("{}{}", layers.empty() ? "" : ", ", json_text(layer));
    std::string refused;
    for (const ops::Refusal& refusal : step.choice.refused) {
      refused += core::format(R"({}{{"engine": {}, "why": {}}})", refused.empty() ? "" : ", ", json_text(refusal.engine),
                              json_text(why_not(refusal, explained.chunks)));
    }
    steps += core::format(
        R"({}{{"op": {}, "layers": [{}], "engine": {}, "predicted": {}, "measured": {}, "by_rule": {}, "fused": {}, "overlaps": {}, "refused": [{}], "bytes": {}, "flops": {}, "workspace": {}{}{}}})",
        i == 0 ? "" : ",\n    ", json_text(op_of(step)), layers, json_text(step.choice.engine),
        step.choice.predicted_us ? core::format("{:.6g}", *step.choice.predicted_us) : "null", json_text(step.choice.measured),
        json_text(step.choice.by_rule), json_text(step.choice.fused), step.overlaps, refused, bytes_of(whole), flops_of(whole),
        step.choice.plan->workspace_bytes(),
        step.one_by_one.empty() ? "" : core::format(R"(, "one_by_one": {})", json_text(step.one_by_one)),
        times.runs == 0 ? "" : core::format(R"(, "nanoseconds": {})", times.nanoseconds[i]));
  }
  std::string text = core::format("{{\n  \"device\": {},\n  \"batch\": {},\n  \"steps\": [\n    {}\n  ]",
                                  json_text(to_string(explained.device)), explained.batch, steps);
  if (const Chunks& chunks = explained.chunks; chunks.count > 1) {
    text += core::format(",\n  \"chunks\": {{\"count\": {}, \"rows\": {}, \"at_once\": {}}}", chunks.count, chunks.rows,
                         chunks.at_once);
  }
  if (times.runs != 0) text += core::format(",\n  \"runs\": {},\n  \"rows_a_run\": {}", times.runs, explained.chunks.rows);
  if (const std::string captured = program.captured.get(); !captured.empty())
    text += core::format(",\n  \"graph\": {}", json_text(captured));
  if (!explained.tuning.empty()) text += core::format(",\n  \"tuning\": {}", json_text(explained.tuning));
  return text + "\n}";
}

}  // namespace lamella::model
