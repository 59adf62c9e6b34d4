// SPDX-License-Identifier: Apache-2.0
#include "model/session.hpp"

#include <algorithm>
#include <iterator>

namespace lamella::model {
namespace {

constexpr std::size_t kGraphs = 8;  ///< of one program in one session: callers cycle through few buffers
constexpr std::size_t kSeen = 8;    ///< runs within which pointers have to come again to be captured
constexpr int kFailures = 8;        ///< captures that others disturbed, before no more is tried

std::shared_ptr<void> allocate(const SessionOptions& options, std::size_t bytes) {
  if (options.device.is_cpu()) return core::allocate_host(bytes);
  auto charge = core::charge(options.budget, bytes, "buffers");
  return core::charged(core::cuda_backend().allocate(options.device.index(), bytes), std::move(charge));
}

}  // namespace

Session::~Session() {
  stream_.reset();  // waits: until then plans, weights and buffers are in use
}

void Session::reserve_arena(std::size_t bytes) {
  if (bytes <= arena_bytes_) return;
  auto larger = allocate(options_, bytes);  // before anything is let go: a failure leaves the session as it was
  if (stream_) stream_->synchronize();      // work under way uses the old arena
  for (Bound& bound : bound_) {
    bound.captured.clear();
    bound.seen.clear();
  }
  arena_ = std::move(larger);
  arena_bytes_ = bytes;
}

Session::Bound& Session::bind(const std::shared_ptr<const Program>& program) {
  const auto known = std::find_if(bound_.begin(), bound_.end(), [&](const Bound& b) { return b.program == program; });
  if (known != bound_.end()) {
    bound_.splice(bound_.begin(), bound_, known);
    return bound_.front();
  }
  reserve_arena(program->arena_bytes);
  if (options_.device.is_cuda() && !stream_) stream_ = core::cuda_backend().create_stream(options_.device.index());
  Bound bound;
  bound.program = program;
  std::size_t sources = 0;
  for (const ProgramStep& step : program->steps) {
    bound.states.push_back(step.choice.plan->make_state());
    sources += step.srcs.size();
  }
  bound.srcs.resize(sources);
  bound.args.resize(program->steps.size());
  std::size_t at = 0;
  for (std::size_t i = 0; i < program->steps.size(); ++i) {
    bound.args[i].srcs = std::span(bound.srcs).subspan(at, program->steps[i].srcs.size());
    bound.args[i].state = bound.states[i].get();
    bound.args[i].stream = stream_.get();
    at += program->steps[i].srcs.size();
  }
  for (std::size_t i = 0; options_.profile && i < program->steps.size(); ++i) {
    std::string& range = bound.ranges.emplace_back();
    for (const std::string& layer : program->steps[i].layers) range += (range.empty() ? "" : " + ") + layer;
  }
  bound_.push_front(std::move(bound));
  if (bound_.size() > options_.max_programs) {
    if (stream_) stream_->synchronize();  // work under way uses the plans that go
    bound_.pop_back();
  }
  return bound_.front();
}

void Session::point(Bound& bound, std::span<const void* const> inputs, std::span<void* const> outputs) {
  const Program& program = *bound.program;
  auto* const arena = static_cast<std::byte*>(arena_.get());
  std::size_t source = 0;
  for (std::size_t i = 0; i < program.steps.size(); ++i) {
    const ProgramStep& step = program.steps[i];
    for (const int slot_index : step.srcs) {
      const Slot& slot = program.slots[static_cast<std::size_t>(slot_index)];
      bound.srcs[source++] = slot.kind == Slot::Kind::input    ? inputs[slot.at]
                             : slot.kind == Slot::Kind::output ? outputs[slot.at]
                                                               : static_cast<const void*>(arena + slot.at);
    }
    const Slot& slot = program.slots[static_cast<std::size_t>(step.dst)];
    bound.args[i].dst = slot.kind == Slot::Kind::output ? outputs[slot.at] : static_cast<void*>(arena + slot.at);
    bound.args[i].workspace = arena == nullptr ? nullptr : static_cast<void*>(arena + program.workspace_at);
  }
}

void Session::Bound::execute() const {
  for (std::size_t i = 0; i < args.size(); ++i) {
    const ops::Plan& plan = *program->steps[i].choice.plan;
    if (ranges.empty()) {
      plan.execute(args[i]);
      continue;
    }
    args[i].stream->begin_range(ranges[i].c_str());
    plan.execute(args[i]);
    args[i].stream->end_range();
  }
}

void Session::run(const std::shared_ptr<const Program>& program, std::span<const void* const> inputs,
                  std::span<void* const> outputs, void* native) {
  Bound& bound = bind(program);
  if (stream_) {
    enqueue(bound, inputs, outputs, native);
    return;
  }
  point(bound, inputs, outputs);
  bound.execute();
}

void Session::enqueue(Bound& bound, std::span<const void* const> inputs, std::span<void* const> outputs, void* native) {
  core::Graph* const graph = graph_for(bound, inputs, outputs);
  stream_->follow(native);
  if (graph != nullptr) {
    stream_->launch(*graph);
    return;
  }
  point(bound, inputs, outputs);
  stream_->enqueue([&bound] { bound.execute(); });
  if (!options_.graphs || options_.profile || bound.cannot_capture || bound.args.empty()) return;
  if (bound.seen.size() < kSeen)
    bound.seen.push_front(pointers_);
  else
    bound.seen.splice(bound.seen.begin(), bound.seen, std::prev(bound.seen.end()));  // its memory goes on
  bound.seen.front() = pointers_;
}

core::Graph* Session::graph_for(Bound& bound, std::span<const void* const> inputs, std::span<void* const> outputs) {
  if (!options_.graphs || options_.profile || bound.cannot_capture || bound.args.empty()) return nullptr;
  pointers_.assign(inputs.begin(), inputs.end());
  pointers_.insert(pointers_.end(), outputs.begin(), outputs.end());
  const auto known =
      std::find_if(bound.captured.begin(), bound.captured.end(), [&](const Captured& c) { return c.pointers == pointers_; });
  if (known != bound.captured.end()) {
    bound.captured.splice(bound.captured.begin(), bound.captured, known);
    return bound.captured.front().graph.get();
  }
  // A capture pays when the pointers come again; and the first run readies the libraries.
  const auto before = std::find(bound.seen.begin(), bound.seen.end(), pointers_);
  if (before == bound.seen.end()) return nullptr;
  auto graph = capture(bound, inputs, outputs);
  if (!graph) return nullptr;
  bound.seen.erase(before);
  if (bound.captured.size() == kGraphs) {
    stream_->synchronize();
    bound.captured.pop_back();
  }
  bound.captured.push_front({pointers_, std::move(graph)});
  return bound.captured.front().graph.get();
}

/// Null when there is a reason to run step by step, this time or for ever.
std::unique_ptr<core::Graph> Session::capture(Bound& bound, std::span<const void* const> inputs, std::span<void* const> outputs) {
  stream_->follow(nullptr);
  point(bound, inputs, outputs);
  core::NotCaptured not_captured;
  auto graph = stream_->capture([&bound] { bound.execute(); }, not_captured);
  bound.failures = graph ? 0 : bound.failures + 1;
  bound.cannot_capture = !graph && (!not_captured.disturbed || bound.failures == kFailures);
  bound.program->captured.set(graph ? "captured as a CUDA graph"
                                    : core::concat("not captured as a CUDA graph: ", not_captured.why,
                                                   bound.cannot_capture ? "" : "; it will be tried again"));
  return graph;
}

void Session::rehearse(const std::shared_ptr<const Program>& program, std::size_t input_bytes, std::size_t output_bytes) {
  rehearsal_.assign({allocate(options_, input_bytes), allocate(options_, output_bytes)});  // until the work is known to be done
  const void* const src = rehearsal_[0].get();
  void* const dst = rehearsal_[1].get();
  run(program, std::span(&src, 1), std::span(&dst, 1));
  synchronize();
  rehearsal_.clear();
}

void Session::synchronize() {
  if (stream_) stream_->synchronize();
}

}  // namespace lamella::model
