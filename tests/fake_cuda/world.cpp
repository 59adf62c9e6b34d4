// SPDX-License-Identifier: Apache-2.0
#include "world.hpp"

#include <unistd.h>

#include <atomic>
#include <utility>

namespace fake_cuda::inside {
namespace {

constexpr std::size_t kLogLength = 4096;

std::function<void(std::string_view)>& hook() {
  static std::function<void(std::string_view)> function;
  return function;
}

}  // namespace

World& world() {
  static World* const only = [] {
    auto* const made = new World;  // never destroyed: calls may come from static destructors
    made->process = getpid();
    made->arenas.push_back(std::make_unique<Arena>(made->options.memory));
    made->memory.resize(1);
    made->legacy.resize(1);
    return made;
  }();
  return *only;
}

Thread& thread() {
  static std::atomic<unsigned> threads{0};
  thread_local Thread state;
  if (state.generation != world().generation) {
    state = Thread{.number = state.number == 0 ? ++threads : state.number};
    state.generation = world().generation;
  }
  return state;
}

bool& in_host_function() {
  thread_local bool inside = false;
  return inside;
}

cudaError_t set_error(cudaError_t error) {
  if (error != cudaSuccess && error != cudaErrorNotReady) thread().last_error = error;
  return error;
}

Entry::Entry(const char* name, Kind kind) {
  World& w = world();
  std::function<void(std::string_view)> before;
  {
    const std::lock_guard lock(w.mutex);
    before = hook();
  }
  if (before && !in_host_function()) before(name);
  lock_ = std::unique_lock(w.mutex);
  ++w.calls;
  w.log.emplace_back(name);
  if (w.log.size() > kLogLength) w.log.pop_front();
  decide(name, kind);
}

namespace {

/// Whether the fault plan makes this call fail.
bool strikes(FaultPlan& plan, std::string_view name, Kind kind) {
  if (plan.fault == Fault::none) return false;
  const bool allocating = kind == Kind::allocate;
  if (plan.struck) {
    return plan.fault == Fault::forever && (plan.name.empty() ? allocating == plan.allocating : plan.name == name);
  }
  if (!plan.name.empty() && plan.name != name) return false;
  if (plan.countdown > 1) {
    --plan.countdown;
    return false;
  }
  plan.struck = true;
  plan.allocating = allocating;
  return true;
}

}  // namespace

void Entry::decide(const char* name, Kind kind) {
  World& w = world();
  const auto answer = [this](Outcome what, cudaError_t code) {
    outcome = what;
    error = code;
  };
  const auto is = [name](std::string_view other) { return other == name; };
  if ((w.unloaded || w.process != getpid()) && (is("cublasLtDestroy") || is("cudnnDestroy")))
    misuse(std::string(name) + " is called when CUDA is gone");
  if (w.unloaded) return answer(Outcome::refused, cudaErrorCudartUnloading);
  if (w.process != getpid()) return answer(Outcome::refused, cudaErrorInitializationError);
  if (in_host_function()) {
    misuse(std::string(name) + " is called from a host function");
    return answer(Outcome::refused, cudaErrorNotPermitted);
  }
  if (w.options.driver_error != cudaSuccess) return answer(Outcome::refused, w.options.driver_error);
  if (w.options.devices == 0) return answer(Outcome::refused, cudaErrorNoDevice);
  if (kind != Kind::ask) {
    w.contexts.insert(thread().device);
    thread().has_context = true;
  }
  if (strikes(w.plan, name, kind)) {
    if (w.plan.fault == Fault::sticky)
      w.lost = thread().device;
    else if (w.plan.fault == Fault::late)
      w.late = true;
    else
      return answer(Outcome::fail, kind == Kind::allocate ? cudaErrorMemoryAllocation : cudaErrorUnknown);
  }
  if (std::exchange(w.late, w.late && kind != Kind::synchronize) != w.late) w.lost = thread().device;
  if (w.lost == thread().device && kind != Kind::ask)
    answer(kind == Kind::release ? Outcome::fail : Outcome::refused, cudaErrorIllegalAddress);
}

cudaError_t call(const char* name, Kind kind, const std::function<cudaError_t()>& body) {
  const Entry entry(name, kind);
  if (entry.outcome == Outcome::proceed) {
    const cudaError_t error = body();
    const bool broken = kind == Kind::synchronize && world().lost == thread().device;  // lost by the work that it waited for
    return set_error(broken ? cudaErrorIllegalAddress : error);
  }
  if (entry.outcome == Outcome::fail && kind == Kind::release) static_cast<void>(body());
  return set_error(entry.error);
}

}  // namespace fake_cuda::inside

namespace fake_cuda {

void on_call(std::function<void(std::string_view)> function) {
  const std::lock_guard lock(inside::world().mutex);
  inside::hook() = std::move(function);
}

}  // namespace fake_cuda
