// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <utility>

#include "world.hpp"

namespace fake_cuda {

using namespace inside;

namespace {

void free_pinned(World& w) {
  for (const auto& [base, allocation] : w.allocations.all()) {
    if (allocation->pinned) ::operator delete (reinterpret_cast<void*>(base), std::align_val_t{4096});
  }
}

}  // namespace

Options options_of_environment() {
  const char* const text = std::getenv("LAMELLA_FAKE_CUDA");
  const std::string mode = text == nullptr ? "" : text;
  if (mode.empty()) return {};
  if (mode != "strict") throw std::invalid_argument("LAMELLA_FAKE_CUDA: got '" + mode + "', allowed strict");
  const std::vector<cudaDataType> all{CUDA_R_32F, CUDA_R_16F, CUDA_R_16BF, CUDA_R_64F};
  Options options;
  options.relu_drops_nan = options.inexact_gelu = options.inexact_tanh = all;
  options.order_by_batch = options.no_unaligned = true;
  options.heuristics_in_captures = 14;  // CUBLAS_STATUS_INTERNAL_ERROR
  return options;
}

void reset(const Options& options) {
  World& w = world();
  on_call({});
  const std::lock_guard lock(w.mutex);
  free_pinned(w);
  for (Handle* handle : w.handles) delete handle;
  for (const auto& queue : w.queues) queue->queue.clear();

  w.options = options;
  w.options.memory = std::min(options.memory, std::size_t{8} << 30);
  ++w.generation;
  w.process = getpid();
  w.random.seed(options.seed);
  w.misuses.clear();
  w.calls = 0;
  w.executed = 0;
  w.log.clear();
  w.plan = {};
  w.late = w.unloaded = false;
  w.no_algorithms.clear();
  w.product_seconds = 0;
  w.contexts.clear();
  w.loaded.clear();
  w.lost = -1;
  w.allocations.clear();
  w.arenas.clear();
  w.memory.assign(static_cast<std::size_t>(options.devices), {});
  for (int device = 0; device < options.devices; ++device) w.arenas.push_back(std::make_unique<Arena>(w.options.memory));
  w.host.clear();
  w.lanes = 0;
  w.queues.clear();
  w.gone.clear();
  w.per_thread.clear();
  w.legacy.assign(static_cast<std::size_t>(options.devices), nullptr);
  w.streams.clear();
  w.events.clear();
  w.graphs.clear();
  w.execs.clear();
  w.user_objects.clear();
  w.pools.clear();
  w.captures.clear();
  w.handles.clear();
  w.descriptors.clear();
}

std::vector<std::string> misuses() {
  const std::lock_guard lock(world().mutex);
  run_all();
  return world().misuses;
}

std::vector<std::string> take_misuses() {
  const std::lock_guard lock(world().mutex);
  run_all();
  return std::exchange(world().misuses, {});
}

void misuse(const std::string& what) {
  const std::lock_guard lock(world().mutex);
  world().misuses.push_back(what);
}

Live live() {
  World& w = world();
  const std::lock_guard lock(w.mutex);
  run_all();
  Live live;
  live.streams = w.streams.size();
  live.events = w.events.size();
  live.graphs = w.graphs.size();
  live.execs = w.execs.size();
  live.handles = static_cast<int>(w.handles.size());
  live.descriptors = static_cast<int>(w.descriptors.size());
  live.pools = static_cast<int>(w.pools.all().size());
  for (const auto& [base, allocation] : w.allocations.all()) {
    ++(allocation->pinned ? live.pinned_allocations : live.device_allocations);
    (allocation->pinned ? live.pinned_bytes : live.device_bytes) += allocation->bytes;
  }
  return live;
}

std::uint64_t calls() {
  const std::lock_guard lock(world().mutex);
  return world().calls;
}

std::vector<std::string> call_log() {
  const std::lock_guard lock(world().mutex);
  return {world().log.begin(), world().log.end()};
}

std::size_t count_calls(std::string_view name) {
  const std::lock_guard lock(world().mutex);
  return static_cast<std::size_t>(std::count(world().log.begin(), world().log.end(), name));
}

void clear_call_log() {
  const std::lock_guard lock(world().mutex);
  world().log.clear();
}

std::uint64_t executed() {
  const std::lock_guard lock(world().mutex);
  return world().executed;
}

void fail_nth(std::uint64_t n, Fault fault) { fail_nth(std::string_view(), n, fault); }

void fail_nth(std::string_view name, std::uint64_t n, Fault fault) {
  const std::lock_guard lock(world().mutex);
  world().plan = FaultPlan{.fault = fault, .name = std::string(name), .countdown = n};
}

void no_faults() {
  const std::lock_guard lock(world().mutex);
  world().plan = {};
}

bool fault_struck() {
  const std::lock_guard lock(world().mutex);
  return world().plan.struck;
}

double product_seconds() {
  const std::lock_guard lock(world().mutex);
  return world().product_seconds;
}

void no_algorithms(int epilogue, int status) {
  const std::lock_guard lock(world().mutex);
  world().no_algorithms[epilogue] = status;
}

std::set<int> contexts() {
  const std::lock_guard lock(world().mutex);
  return world().contexts;
}

void unload() {
  const std::lock_guard lock(world().mutex);
  world().unloaded = true;
}

void set_last_error(cudaError_t error) {
  const std::lock_guard lock(world().mutex);
  thread().last_error = error;
}

cudaError_t launch(cudaStream_t stream, const std::vector<const void*>& reads, const std::vector<const void*>& writes,
                   std::function<void()> fn, const void* kernel) {
  return call("kernel", Kind::plain, [&] {
    Work work{.name = "kernel"};
    add_uses(work.uses, writes, How::write, "kernel");
    work.run = [fn = std::move(fn), written = work.uses] {
      fn();
      for (const Use& use : written) is_written(reinterpret_cast<void*>(use.allocation->base), use.allocation->bytes);
    };
    add_uses(work.uses, reads, How::read, "kernel");
    return enqueue_kernel(stream, std::move(work), kernel);
  });
}

Access::Access() {
  const std::lock_guard lock(world().mutex);
  for (const auto& arena : world().arenas) arena->open();
}

Access::~Access() {
  const std::lock_guard lock(world().mutex);
  for (const auto& arena : world().arenas) arena->close();
}

}  // namespace fake_cuda
