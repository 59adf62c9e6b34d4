// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "model/impl.hpp"
#include "ops/quantized_dense.hpp"

namespace lamella::model {
namespace {

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : " + ") + core::escaped(part);
  return text;
}

std::string op_of(const ProgramStep& step) {
  const auto text = [](const auto& dense) {
    return core::concat("dense ", dense.inputs, " -> ", dense.units, dense.activation.kind == ActivationKind::Linear ? "" : " ",
                        dense.activation.kind == ActivationKind::Linear ? "" : to_string(dense.activation.kind));
  };
  if (const auto* dense = std::get_if<ops::DenseDesc>(&step.desc)) return text(*dense);
  if (const auto* dense = std::get_if<ops::QuantizedDenseDesc>(&step.desc))
    return core::concat(text(*dense), ", ", describe(*dense));
  return op_name(step.desc);
}

std::string amount(double value) {
  const char* units[] = {"", "k", "M", "G", "T"};
  std::size_t unit = 0;
  for (; value >= 1000 && unit + 1 < std::size(units); ++unit) value /= 1000;
  char text[32];
  static_cast<void>(std::snprintf(text, sizeof text, unit == 0 ? "%.0f%s" : "%.3g %s", value, units[unit]));
  return text;
}

/// Text is put together by hand: a JSON container of nlohmann's cannot be destroyed without memory.
std::string json_text(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::string explain_text(const Explained& explained, const std::string& why_this_device) {
  const Program& program = *explained.program;
  std::string text =
      core::concat("Program for ", explained.batch, " rows on ", to_string(explained.device), ": ", program.steps.size(),
                   " steps, ", amount(static_cast<double>(program.arena_bytes)), "B of buffers and workspace\n");
  if (const Chunks& chunks = explained.chunks; chunks.count > 1) {
    text += core::concat("in ", chunks.count, " chunks of ", chunks.rows, " rows, ", chunks.at_once,
                         " at a time, each with buffers of its own\n");
  }
  if (const std::string captured = program.captured.get(); !captured.empty()) text += core::concat(captured, "\n");
  if (!explained.tuning.empty()) text += core::concat("Measurements are not kept: ", explained.tuning, "\n");
  if (!why_this_device.empty()) text += core::concat("CUDA is not used: ", why_this_device, "\n");
  const StepTimes::Least times = program.times.get();
  int number = 0;
  for (const ProgramStep& step : program.steps) {
    const ops::Desc whole = at_batch(explained.graph->steps[static_cast<std::size_t>(number)].desc, explained.batch);
    text += core::concat("  ", ++number, ". ", op_of(step), "  [", joined(step.layers), "]\n     engine ", step.choice.engine);
    if (!step.choice.measured.empty()) text += core::concat(" (", step.choice.measured, ")");
    if (!step.choice.fused.empty()) text += core::concat(", fused: ", step.choice.fused);
    text += core::concat(", ", amount(static_cast<double>(bytes_of(whole))), "B, ", amount(static_cast<double>(flops_of(whole))),
                         "FLOP");
    if (const std::size_t workspace = step.choice.plan->workspace_bytes(); workspace != 0) {
      text += core::concat(", workspace ", amount(static_cast<double>(workspace)), "B");
    }
    if (times.runs != 0) {
      text += core::concat(", ", times.nanoseconds[static_cast<std::size_t>(number) - 1], " ns at best for ",
                           explained.chunks.rows, " rows");
    }
    text += "\n";
    for (const ops::Refusal& refusal : step.choice.refused)
      text += core::concat("     not ", refusal.engine, ": ", refusal.why, "\n");
  }
  return text;
}

std::string explain_json(const Explained& explained) {
  const Program& program = *explained.program;
  const StepTimes::Least times = program.times.get();
  std::string steps;
  for (std::size_t i = 0; i < program.steps.size(); ++i) {
    const ProgramStep& step = program.steps[i];
    const ops::Desc whole = at_batch(explained.graph->steps[i].desc, explained.batch);
    std::string layers;
    for (const std::string& layer : step.layers) layers += core::concat(layers.empty() ? "" : ", ", json_text(layer));
    std::string refused;
    for (const ops::Refusal& refusal : step.choice.refused) {
      refused += core::concat(refused.empty() ? "" : ", ", R"({"engine": )", json_text(refusal.engine), R"(, "why": )",
                              json_text(refusal.why), "}");
    }
    steps += core::concat(i == 0 ? "" : ",\n    ", R"({"op": )", json_text(op_of(step)), R"(, "layers": [)", layers,
                          R"(], "engine": )", json_text(step.choice.engine), R"(, "measured": )", json_text(step.choice.measured),
                          R"(, "fused": )", json_text(step.choice.fused), R"(, "refused": [)", refused, R"(], "bytes": )",
                          bytes_of(whole), R"(, "flops": )", flops_of(whole), R"(, "workspace": )",
                          step.choice.plan->workspace_bytes(),
                          times.runs == 0 ? "" : core::concat(R"(, "nanoseconds": )", times.nanoseconds[i]), "}");
  }
  std::string text = core::concat("{\n  \"device\": ", json_text(to_string(explained.device)),
                                  ",\n  \"batch\": ", explained.batch, ",\n  \"steps\": [\n    ", steps, "\n  ]");
  if (const Chunks& chunks = explained.chunks; chunks.count > 1) {
    text += core::concat(",\n  \"chunks\": {\"count\": ", chunks.count, ", \"rows\": ", chunks.rows,
                         ", \"at_once\": ", chunks.at_once, "}");
  }
  if (times.runs != 0) text += core::concat(",\n  \"runs\": ", times.runs, ",\n  \"rows_a_run\": ", explained.chunks.rows);
  if (const std::string captured = program.captured.get(); !captured.empty())
    text += core::concat(",\n  \"graph\": ", json_text(captured));
  if (!explained.tuning.empty()) text += core::concat(",\n  \"tuning\": ", json_text(explained.tuning));
  return text + "\n}";
}

}  // namespace lamella::model
