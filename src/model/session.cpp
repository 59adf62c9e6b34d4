// SPDX-License-Identifier: Apache-2.0
#include "model/session.hpp"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include "core/counted.hpp"
#include "core/log.hpp"

namespace lamella::model {
namespace {

constexpr std::size_t kGraphs = 8;  ///< per program and session: callers cycle through few buffers
constexpr std::size_t kSeen = 8;    ///< pointers are captured if they recur within this number of runs
constexpr int kFailures = 8;        ///< disturbed captures before giving up

}  // namespace

Session::Session(SessionOptions options)
    : options_(std::move(options)),
      counted_(counted(options_.tally, &Tally::sessions)),
      stream_(options_.backend.create_stream(options_.device)),
      staging_(options_.backend, options_.device, options_.budget, options_.tally) {
  options_.graphs = options_.graphs && !options_.profile && options_.backend.traits.captures;
}

Session::~Session() {
  stream_.reset();  // waits, because plans, weights and buffers are in use until then
}

std::shared_ptr<void> Session::allocate(std::size_t bytes) const {
  auto charge = options_.backend.traits.is_host ? counted(options_.tally, &Tally::host_bytes, static_cast<std::int64_t>(bytes))
                                                : core::charge(options_.budget, bytes, "buffers");
  return core::charged(options_.backend.allocate(options_.device, bytes), std::move(charge));
}

void Session::reserve_arena(std::size_t bytes) {
  if (bytes <= arena_bytes_) return;
  auto larger = allocate(bytes);  // before anything is released, so that a failure leaves the session unchanged
  stream_->synchronize();         // pending work uses the old arena
  std::size_t dropped = 0;
  for (BoundProgram& bound : bound_) {
    dropped += bound.captured.size();
    bound.captured.clear();
    bound.seen.clear();
  }
  if (dropped != 0)
    core::log(LogLevel::info, "dropping {}, because {} bytes of buffers became {}; later calls capture again",
              core::counted(static_cast<std::int64_t>(dropped), options_.backend.traits.graph_name), arena_bytes_, bytes);
  arena_ = std::move(larger);
  arena_bytes_ = bytes;
}

Session::BoundProgram& Session::bind(const std::shared_ptr<const Program>& program) {
  const auto known = std::find_if(bound_.begin(), bound_.end(), [&](const BoundProgram& b) { return b.program == program; });
  if (known != bound_.end()) {
    bound_.splice(bound_.begin(), bound_, known);
    return bound_.front();
  }
  const Preparing preparing(*options_.tally);
  reserve_arena(program->arena_bytes);
  BoundProgram bound;
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
    bound.args[i].overlaps = program->steps[i].overlaps;
    at += program->steps[i].srcs.size();
  }
  for (std::size_t i = 0; options_.profile && i < program->steps.size(); ++i) {
    std::string& range = bound.ranges.emplace_back();
    for (const std::string& layer : program->steps[i].layers) range += (range.empty() ? "" : " + ") + layer;
  }
  // Merely enqueued work would take no time here.
  if (options_.profile && options_.backend.traits.is_inline) bound.nanoseconds.resize(program->steps.size());
  bound_.push_front(std::move(bound));
  if (bound_.size() > options_.max_programs) {
    stream_->synchronize();  // pending work uses the plans being dropped
    bound_.pop_back();
  }
  return bound_.front();
}

void Session::bind_pointers(BoundProgram& bound, const Arrays& arrays, std::int64_t first) {
  const Program& program = *bound.program;
  auto* const arena = static_cast<std::byte*>(arena_.get());
  std::size_t source = 0;
  for (std::size_t i = 0; i < program.steps.size(); ++i) {
    const ProgramStep& step = program.steps[i];
    for (const int slot_index : step.srcs) {
      const Slot& slot = program.slots[static_cast<std::size_t>(slot_index)];
      bound.srcs[source++] = slot.kind == Slot::Kind::input    ? arrays.inputs[slot.at].at(first)
                             : slot.kind == Slot::Kind::output ? arrays.outputs[slot.at].at(first)
                                                               : static_cast<const void*>(arena + slot.at);
    }
    const Slot& slot = program.slots[static_cast<std::size_t>(step.dst)];
    bound.args[i].dst = slot.kind == Slot::Kind::output ? arrays.outputs[slot.at].at(first) : static_cast<void*>(arena + slot.at);
    bound.args[i].workspace = arena == nullptr ? nullptr : static_cast<void*>(arena + program.workspace_at);
  }
}

void Session::BoundProgram::execute_in_ranges() {
  using Clock = std::chrono::steady_clock;
  const bool timed = !nanoseconds.empty();
  Clock::time_point before = timed ? Clock::now() : Clock::time_point{};
  for (std::size_t i = 0; i < args.size(); ++i) {
    args[i].stream->begin_range(ranges[i].c_str());
    program->steps[i].choice.plan->execute(args[i]);
    args[i].stream->end_range();
    if (!timed) continue;
    const Clock::time_point now = Clock::now();
    nanoseconds[i] = std::chrono::nanoseconds(now - std::exchange(before, now)).count();
  }
  if (timed) program->times.add(nanoseconds);
}

void Session::run(const std::shared_ptr<const Program>& program, const Arrays& arrays, std::int64_t first, void* native) {
  BoundProgram& bound = bind(program);
  const bool may_replay = options_.graphs && !bound.cannot_capture && !bound.args.empty();
  core::Graph* const graph = may_replay ? graph_for(bound, arrays, first) : nullptr;
  stream_->switch_to(native);
  if (options_.updates) options_.updates->precede(*stream_, seen_updates_);
  if (graph != nullptr) {
    stream_->launch(*graph);
    return;
  }
  bind_pointers(bound, arrays, first);
  core::Enqueueing enqueueing(*stream_);
  if (bound.ranges.empty())
    bound.execute();
  else
    bound.execute_in_ranges();
  enqueueing.done();
  if (may_replay && !bound.cannot_capture) note_pointers(bound);
}

void Session::note_pointers(BoundProgram& bound) {
  if (bound.seen.size() < kSeen)
    bound.seen.push_front(pointers_);
  else
    bound.seen.splice(bound.seen.begin(), bound.seen, std::prev(bound.seen.end()));  // its memory is used again
  bound.seen.front() = pointers_;
}

core::Graph* Session::graph_for(BoundProgram& bound, const Arrays& arrays, std::int64_t first) {
  pointers_.clear();
  for (const Source& input : arrays.inputs) pointers_.push_back(input.at(first));
  for (const Target& output : arrays.outputs) pointers_.push_back(output.at(first));
  const auto known =
      std::find_if(bound.captured.begin(), bound.captured.end(), [&](const Captured& c) { return c.pointers == pointers_; });
  if (known != bound.captured.end()) {
    bound.captured.splice(bound.captured.begin(), bound.captured, known);
    return bound.captured.front().graph.get();
  }
  // A capture pays off if the pointers recur; and the first run initialises the libraries.
  const auto before = std::find(bound.seen.begin(), bound.seen.end(), pointers_);
  if (before == bound.seen.end()) return nullptr;
  auto graph = capture(bound, arrays, first);
  if (!graph) return nullptr;
  bound.seen.erase(before);
  if (bound.captured.size() == kGraphs) {
    stream_->synchronize();
    bound.captured.pop_back();
  }
  bound.captured.push_front({pointers_, std::move(graph), counted(options_.tally, &Tally::graphs)});
  return bound.captured.front().graph.get();
}

/// Null if there is a reason to run step by step, this time or always.
std::unique_ptr<core::Graph> Session::capture(BoundProgram& bound, const Arrays& arrays, std::int64_t first) {
  const Preparing preparing(*options_.tally);
  stream_->switch_to(nullptr);
  bind_pointers(bound, arrays, first);
  core::NotCaptured not_captured;
  auto graph = stream_->capture([&bound] { bound.execute(); }, not_captured);
  bound.failures = graph ? 0 : bound.failures + 1;
  bound.cannot_capture = !graph && (!not_captured.disturbed || bound.failures == kFailures);
  const char* const name = options_.backend.traits.graph_name;
  if (graph) {
    bound.program->captured.set(core::format("captured as a {}", name));
    return graph;
  }
  const std::string why = not_captured.why + (bound.cannot_capture ? "" : "; capture will be tried again");
  core::log(LogLevel::warning, "calls of {} run step by step, not as a {}: {}", core::counted(bound.program->batch, "row"), name,
            why);
  bound.program->captured.set(core::format("not captured as a {}: {}", name, why));
  return graph;
}

void Session::warm_up(const std::shared_ptr<const Program>& program, const Arrays& arrays) {
  const auto rows = static_cast<std::size_t>(program->batch);
  std::vector<Source> inputs;
  std::vector<Target> outputs;
  for (const Source& input : arrays.inputs) {
    warm_up_.push_back(allocate(input.row_bytes * rows));
    options_.backend.fill(options_.device, warm_up_.back().get(), 0, input.row_bytes * rows);
    inputs.push_back({static_cast<const std::byte*>(warm_up_.back().get()), input.row_bytes});
  }
  for (const Target& output : arrays.outputs) {
    warm_up_.push_back(allocate(output.row_bytes * rows));
    outputs.push_back({static_cast<std::byte*>(warm_up_.back().get()), output.row_bytes});
  }
  run(program, {inputs, outputs});
  synchronize();
  warm_up_.clear();
}

}  // namespace lamella::model
