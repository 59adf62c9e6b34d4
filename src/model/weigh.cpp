// SPDX-License-Identifier: Apache-2.0
// Measures whether a chain of layers is faster in one step than one by one.
#include <utility>

#include "model/program.hpp"

namespace lamella::model {
namespace {

/// The steps of a chain alone: from its input to its last result. Forms that plans make of its constants are lost with it.
Graph part_of(const Graph& graph, const Chain& chain) {
  Graph part;
  part.values = graph.values;
  for (const std::size_t i : chain.steps) {
    Step& step = part.steps.emplace_back(graph.steps[i]);
    step.constants = step.constants->copy();
  }
  part.inputs = {part.steps.front().srcs.at(0)};
  part.outputs = {part.steps.back().dst};
  return part;
}

/// All steps of a program as one plan; the buffers are in its workspace.
class PlanOfProgram final : public ops::Plan {
 public:
  PlanOfProgram(std::shared_ptr<const Graph> graph, std::shared_ptr<const Program> program)
      : graph_(std::move(graph)), program_(std::move(program)) {}

  void execute(const ops::Args& args) const override {
    auto* const arena = static_cast<std::byte*>(args.workspace);
    const auto at = [&](int index) -> const void* {
      const Slot& slot = program_->slots[static_cast<std::size_t>(index)];
      if (slot.kind == Slot::Kind::arena) return arena + slot.at;
      return slot.kind == Slot::Kind::output ? args.dst : args.srcs[slot.at];
    };
    for (std::size_t i = 0; i < program_->steps.size(); ++i) {
      const ProgramStep& step = program_->steps[i];
      std::vector<const void*> srcs;
      for (const int src : step.srcs) srcs.push_back(at(src));
      const Slot& to = program_->slots[static_cast<std::size_t>(step.dst)];
      void* const dst = to.kind == Slot::Kind::output ? args.dst : static_cast<void*>(arena + to.at);
      step.choice.plan->execute({srcs, dst, arena + program_->workspace_at, args.stream,
                                 static_cast<const States&>(*args.state).all[i].get(), step.overlaps});
    }
  }
  [[nodiscard]] std::size_t workspace_bytes() const noexcept override { return std::max(program_->arena_bytes, kAlignment); }
  [[nodiscard]] std::unique_ptr<ops::PlanState> make_state() const override {
    auto states = std::make_unique<States>();
    for (const ProgramStep& step : program_->steps) states->all.push_back(step.choice.plan->make_state());
    return states;
  }

 private:
  struct States final : ops::PlanState {
    std::vector<std::unique_ptr<ops::PlanState>> all;
  };
  std::shared_ptr<const Graph> graph_;
  std::shared_ptr<const Program> program_;
};

}  // namespace

StackGain measured_gain(const Graph& graph, std::int64_t rows, ops::OpSet& ops, const ops::PlanContext& context) {
  return [&graph, rows, &ops, context](Chain& chain) -> std::optional<double> {
    const auto desc = std::get<ops::StackDesc>(at_batch(chain.desc, rows));
    const auto constants = std::make_shared<const ops::Constants>(chain.constants_of(graph));
    chain.weighed = ops.weigh(desc, constants, context, [&] {
      auto part = std::make_shared<const Graph>(part_of(graph, chain));
      auto program = compile(*part, rows, ops, context, {});
      return std::make_unique<PlanOfProgram>(std::move(part), std::move(program));
    });
    if (!chain.weighed) return std::nullopt;
    if (chain.weighed->measured.empty()) chain.weighed.reset();
    return chain.weighed ? chain.weighed->gain_us : 0;
  };
}

}  // namespace lamella::model
