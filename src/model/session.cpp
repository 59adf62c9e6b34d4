// SPDX-License-Identifier: Apache-2.0
#include "model/session.hpp"

#include <algorithm>

#include "core/backend.hpp"

namespace lamella::model {
namespace {

std::shared_ptr<void> allocate(Device device, std::size_t bytes) {
  return device.is_cpu() ? core::allocate_host(bytes) : core::cuda_backend().allocate(device.index(), bytes);
}

}  // namespace

Session::Bound& Session::bind(const std::shared_ptr<const Program>& program) {
  const auto known = std::find_if(bound_.begin(), bound_.end(), [&](const Bound& b) { return b.program == program; });
  if (known != bound_.end()) {
    bound_.splice(bound_.begin(), bound_, known);
    return bound_.front();
  }
  if (program->arena_bytes > arena_bytes_) {
    arena_ = allocate(device_, program->arena_bytes);  // before anything is let go: a failure leaves the session as it was
    arena_bytes_ = program->arena_bytes;
  }
  Bound bound{program, {}, {}, {}};
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
    at += program->steps[i].srcs.size();
  }
  bound_.push_front(std::move(bound));
  if (bound_.size() > max_programs_) bound_.pop_back();
  return bound_.front();
}

void Session::run(const std::shared_ptr<const Program>& program, std::span<const void* const> inputs, std::span<void* const> outputs) {
  Bound& bound = bind(program);
  auto* const arena = static_cast<std::byte*>(arena_.get());
  std::size_t source = 0;
  for (std::size_t i = 0; i < program->steps.size(); ++i) {
    const ProgramStep& step = program->steps[i];
    for (const int slot_index : step.srcs) {
      const Slot& slot = program->slots[static_cast<std::size_t>(slot_index)];
      bound.srcs[source++] = slot.kind == Slot::Kind::input    ? inputs[slot.at]
                             : slot.kind == Slot::Kind::output ? outputs[slot.at]
                                                               : static_cast<const void*>(arena + slot.at);
    }
    const Slot& slot = program->slots[static_cast<std::size_t>(step.dst)];
    bound.args[i].dst = slot.kind == Slot::Kind::output ? outputs[slot.at] : static_cast<void*>(arena + slot.at);
    bound.args[i].workspace = arena == nullptr ? nullptr : static_cast<void*>(arena + program->workspace_at);
    step.choice.plan->execute(bound.args[i]);
  }
}

}  // namespace lamella::model
