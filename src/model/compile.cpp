// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iterator>
#include <map>
#include <tuple>

#include "model/program.hpp"

namespace lamella::model {
namespace {

/// More than any machine has, so that plans may add sizes of arrays, and multiply them by small numbers, without overflow.
constexpr std::int64_t kMostBytes = std::int64_t{1} << 56U;

/// Hands out ranges of one arena: the first gap that is large enough, lowest address first.
class Arena {
 public:
  std::size_t take(std::size_t bytes) {
    auto gap = std::find_if(gaps_.begin(), gaps_.end(), [&](const auto& g) { return g.second - g.first >= bytes; });
    std::size_t at = size_;
    std::size_t end = size_;
    if (gap == gaps_.end() && !gaps_.empty() && gaps_.rbegin()->second == size_) gap = std::prev(gaps_.end());
    if (gap != gaps_.end()) {
      std::tie(at, end) = *gap;
      gaps_.erase(gap);
    }
    LAMELLA_EXPECTS(at <= kMostBytes, overflow, "[predict] the buffers do not fit into memory");
    if (at + bytes < end) gaps_.emplace(at + bytes, end);
    size_ = std::max(size_, at + bytes);
    used_.emplace(at, at + bytes);
    return at;
  }
  void give_back(std::size_t at) {
    const auto range = used_.find(at);
    if (range == used_.end()) return;
    std::size_t end = range->second;
    used_.erase(range);
    const auto after = gaps_.lower_bound(at);
    if (after != gaps_.begin()) {
      if (const auto before = std::prev(after); before->second == at) {
        at = before->first;
        gaps_.erase(before);
      }
    }
    if (after != gaps_.end() && after->first == end) {
      end = after->second;
      gaps_.erase(after);
    }
    gaps_.emplace(at, end);
  }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  std::map<std::size_t, std::size_t> gaps_;  // begin -> end; no two touch
  std::map<std::size_t, std::size_t> used_;  // the same; empty ranges are never taken
  std::size_t size_ = 0;
};

/// Whether dst may share memory with src: element i of the result depends only on element i of the source.
bool in_place(const ops::Desc& desc) {
  return std::holds_alternative<ops::ActivationDesc>(desc) || std::holds_alternative<ops::AffineDesc>(desc) ||
         std::holds_alternative<ops::PReluDesc>(desc) || std::holds_alternative<ops::QuantizeDequantizeDesc>(desc);
}

/// Assigns slots by liveness: a buffer lives from the step that writes it to the last step that reads it.
void assign(const Graph& graph, std::int64_t batch, Program& program) {
  const std::size_t steps = graph.steps.size();
  std::map<int, std::size_t> last_use;  // root -> step
  for (std::size_t i = 0; i < steps; ++i) {
    for (const int src : graph.steps[i].srcs) last_use[graph.root(src)] = i;
  }
  std::map<int, int> slot_of;  // root -> slot
  const auto add = [&](int root, Slot::Kind kind, std::size_t at, std::size_t bytes) {
    slot_of[root] = static_cast<int>(program.slots.size());
    program.slots.push_back({kind, at, bytes});
  };
  const auto bytes_of_value = [&](int value) {
    const Value& v = graph.values[static_cast<std::size_t>(value)];
    const auto total = core::checked_mul(v.sample.elements(), batch);
    LAMELLA_EXPECTS(total && *total <= kMostBytes / static_cast<std::int64_t>(size_of(v.dtype)), overflow,
                    "[predict] {} rows of {} do not fit into memory", batch, to_string(v.sample));
    return static_cast<std::size_t>(*total) * size_of(v.dtype);
  };
  for (std::size_t i = 0; i < graph.inputs.size(); ++i)
    add(graph.root(graph.inputs[i]), Slot::Kind::input, i, bytes_of_value(graph.inputs[i]));
  for (std::size_t i = 0; i < graph.outputs.size(); ++i)
    add(graph.root(graph.outputs[i]), Slot::Kind::output, i, bytes_of_value(graph.outputs[i]));

  Arena arena;
  for (std::size_t i = 0; i < steps; ++i) {
    const Step& step = graph.steps[i];
    const int root = graph.root(step.dst);
    const int src_root = graph.root(step.srcs.at(0));
    if (!slot_of.contains(root)) {
      const Slot from = program.slots[static_cast<std::size_t>(slot_of.at(src_root))];
      if (in_place(step.desc) && last_use.at(src_root) == i && from.kind == Slot::Kind::arena) {
        add(root, Slot::Kind::arena, from.at, from.bytes);
        last_use.erase(src_root);  // the memory continues under its new root
      } else {
        const std::size_t bytes = std::max(aligned(bytes_of_value(step.dst)), kAlignment);
        add(root, Slot::Kind::arena, arena.take(bytes), bytes);
      }
    }
    ProgramStep& into = program.steps[i];
    for (const int src : step.srcs) into.srcs.push_back(slot_of.at(graph.root(src)));
    into.dst = slot_of.at(root);
    for (const int src : step.srcs) {
      const auto it = last_use.find(graph.root(src));
      if (it == last_use.end() || it->second != i) continue;
      const Slot& slot = program.slots[static_cast<std::size_t>(slot_of.at(it->first))];
      if (slot.kind == Slot::Kind::arena) arena.give_back(slot.at);
      last_use.erase(it);
    }
    // A result without readers is dead at once.
    if (program.slots[static_cast<std::size_t>(into.dst)].kind == Slot::Kind::arena && !last_use.contains(root)) {
      arena.give_back(program.slots[static_cast<std::size_t>(into.dst)].at);
    }
  }
  program.workspace_at = arena.size();
}

/// For explain().
void note(const ops::Weighed& weighed, ProgramStep& step) {
  if (weighed.engine.empty()) {
    step.one_by_one = weighed.measured;
    return;
  }
  step.choice.measured = weighed.measured;
  step.choice.by_rule = weighed.by_rule;
  step.choice.refused = weighed.others;
}

}  // namespace

std::shared_ptr<const Program> compile(const Graph& graph, std::int64_t batch, ops::OpSet& ops, const ops::PlanContext& context,
                                       const std::string& forced_engine) {
  auto program = std::make_shared<Program>();
  program->graph = &graph;
  program->batch = batch;
  program->threads = context.threads;
  program->steps.resize(graph.steps.size());
  assign(graph, batch, *program);  // first, so that nothing impossible is planned
  std::size_t workspace = 0;
  for (std::size_t i = 0; i < graph.steps.size(); ++i) {
    const Step& step = graph.steps[i];
    ProgramStep& into = program->steps[i];
    into.desc = at_batch(step.desc, batch);
    into.layers = step.layers;
    ops::PlanContext here = context;
    here.overlaps = i > 0 && program->steps[i - 1].choice.plan->overlaps();
    const ops::Weighed* const weighed = step.weighed ? &*step.weighed : nullptr;
    into.choice = ops.plan(into.desc, step.constants, here,
                           weighed != nullptr && !weighed->engine.empty() ? weighed->engine : forced_engine);
    if (weighed != nullptr) note(*weighed, into);
    into.overlaps = here.overlaps && into.choice.plan->overlaps();
    workspace = std::max(workspace, into.choice.plan->workspace_bytes());
  }
  program->arena_bytes = program->workspace_at + workspace;
  return program;
}

}  // namespace lamella::model
