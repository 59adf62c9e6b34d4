// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <utility>

#include "world.hpp"

namespace fake_cuda::inside {
namespace {

bool is_legacy(const Stream& stream) { return world().legacy.at(static_cast<std::size_t>(stream.device)).get() == &stream; }
bool is_blocking(const Stream& stream) { return (stream.flags & cudaStreamNonBlocking) == 0; }

/// The ops that a new op of `stream` must wait for because of the legacy stream.
std::vector<TokenPtr> implied(const Stream& stream) {
  World& w = world();
  std::vector<TokenPtr> tokens;
  if (is_legacy(stream)) {
    for (const auto& other : w.queues) {
      if (other->device == stream.device && is_blocking(*other) && other->last) tokens.push_back(other->last);
    }
  } else if (const auto& legacy = w.legacy.at(static_cast<std::size_t>(stream.device)); is_blocking(stream) && legacy) {
    if (legacy->last) tokens.push_back(legacy->last);
  }
  return tokens;
}

bool may_run(const Stream& stream) {
  return !stream.queue.empty() &&
         std::all_of(stream.queue.front().after.begin(), stream.queue.front().after.end(), [](const auto& t) { return t->done; });
}

void record(const Use& use, const Op& op) {
  const bool write = use.how == How::write;
  if (const auto problem = use.allocation->history.add(op.stamp, op.token->clock, write); !problem.empty()) {
    misuse("race on " + name_of(*use.allocation) + ": " + problem);
  }
}

/// Keeps device memory accessible from the first device work on, while ops run one after another.
class Window {
 public:
  Window() = default;
  ~Window() { close(); }
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;
  void open() {
    if (std::exchange(open_, true)) return;
    for (const auto& arena : world().arenas) arena->open();
  }
  void close() {
    if (!std::exchange(open_, false)) return;
    for (const auto& arena : world().arenas) arena->close();
  }

 private:
  bool open_ = false;
};

void run_on_device(const Op& op) {
  for (const Use& use : op.work.uses) {
    record(use, op);
    if (use.allocation->freed) misuse("use after free: " + op.stamp.what + " uses " + name_of(*use.allocation));
  }
  for (const Use& use : op.used) record(use, op);
  if (op.work.run) op.work.run();
  for (const Use& use : std::exchange(world().used, {})) record(use, op);
}

/// Begins the kernels behind `op` that may overlap it before it does anything, which is their worst time.
void begin_behind(const Op& op, Stream& stream, Window& window) {
  bool may_begin = op.begun ? op.next_may_begin : op.work.lets_next_begin;
  const Op* before = &op;
  for (Op& next : stream.queue) {
    const bool waits = std::any_of(next.after.begin(), next.after.end(),
                                   [&](const TokenPtr& token) { return !token->done && token != before->token; });
    if (!may_begin || !next.work.begin || waits) return;
    if (!std::exchange(next.begun, true)) {
      window.open();
      next.next_may_begin = next.work.begin();
      next.used = std::exchange(world().used, {});
      for (const Use& use : next.used) record(use, next);
    }
    may_begin = next.next_may_begin;
    before = &next;
  }
}

void execute(const Op& op, Window& window) {
  World& w = world();
  if (w.options.on_work) w.options.on_work(op.work.name);
  if (op.work.on_host) {
    window.close();
    in_host_function() = true;
    op.work.run();
    in_host_function() = false;
  } else if (op.work.run || !op.work.uses.empty()) {
    window.open();
    run_on_device(op);
  }
  op.token->done = true;
  op.token->when = ++w.executed;
}

/// Runs one of the ops that are ready; false if there is none.
bool run_one(Window& window) {
  World& w = world();
  std::erase_if(w.queues, [&](const StreamPtr& stream) {
    if (!stream->hidden || !stream->queue.empty() || stream.use_count() != 1) return false;
    if (stream->last) join(w.gone[stream->device], stream->last->clock);
    return true;
  });
  std::vector<StreamPtr> ready;
  for (const auto& stream : w.queues) {
    if (may_run(*stream)) ready.push_back(stream);
  }
  if (ready.empty()) return false;
  const auto& chosen = ready[w.random() % ready.size()];
  const Op op = std::move(chosen->queue.front());
  chosen->queue.pop_front();
  begin_behind(op, *chosen, window);
  execute(op, window);
  return true;
}

}  // namespace

StreamPtr make_stream(int device, unsigned flags) {
  World& w = world();
  auto stream = std::make_shared<Stream>();
  static std::atomic<unsigned long long> ids{0};
  stream->lane = w.lanes++;
  stream->id = ++ids;
  stream->device = device;
  stream->flags = flags;
  w.queues.push_back(stream);
  return stream;
}

std::string name_of(const Stream& stream) {
  return is_legacy(stream) ? "the legacy stream" : "stream " + std::to_string(stream.lane);
}

StreamPtr find_stream(cudaStream_t stream) {
  World& w = world();
  if (stream == nullptr || stream == cudaStreamLegacy) {
    auto& legacy = w.legacy.at(static_cast<std::size_t>(thread().device));
    if (!legacy) legacy = make_stream(thread().device, cudaStreamDefault);
    return legacy;
  }
  if (stream == cudaStreamPerThread) {
    auto& own = w.per_thread[{thread().number, thread().device}];
    if (!own) own = make_stream(thread().device, cudaStreamDefault);
    return own;
  }
  auto found = w.streams.find(stream);
  if (!found) misuse("a stream is used that does not exist (any more)");
  return found;
}

void check_overlap(const Work& work, bool lets_it_begin) {
  if (work.begin && !lets_it_begin)
    misuse(work.name + " is launched to overlap what is before it on its stream, which is no kernel that lets it");
}

cudaError_t enqueue(const StreamPtr& stream, Work work, const std::vector<TokenPtr>& after, TokenPtr* token) {
  World& w = world();
  if (stream->capture) return capture_node(stream, std::move(work));
  if (const auto error = check_legacy_use(*stream, work.name.c_str())) return error;
  check_overlap(work, stream->lets_next_begin);
  stream->lets_next_begin = work.lets_next_begin;
  Op op;
  op.after = implied(*stream);
  op.after.insert(op.after.end(), after.begin(), after.end());
  join(stream->clock, w.host);
  for (const auto& other : op.after) join(stream->clock, other->clock);
  const auto lane = static_cast<std::size_t>(stream->lane);
  if (stream->clock.size() <= lane) stream->clock.resize(lane + 1);
  const auto tick = ++stream->clock[lane];

  op.stamp = {.lane = stream->lane, .tick = tick, .what = work.name + " on " + name_of(*stream)};
  op.work = std::move(work);
  op.token = std::make_shared<Token>();
  op.token->clock = stream->clock;
  stream->last = op.token;
  if (token != nullptr) *token = op.token;
  stream->queue.push_back(std::move(op));
  if (w.options.eager) run_all();
  return cudaSuccess;
}

cudaError_t enqueue_kernel(cudaStream_t handle, Work work, const void* kernel) {
  const auto stream = find_stream(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  const int device = thread().device;
  if (stream->device != device) {
    misuse(work.name + " is launched on " + name_of(*stream) + " of device " + std::to_string(stream->device) + " while device " +
           std::to_string(device) + " is current");
    return cudaErrorInvalidResourceHandle;
  }
  if (kernel != nullptr && world().loaded.emplace(device, kernel).second && stream->capture)
    static_cast<void>(check_unsafe("the first launch of a kernel"));  // loads the kernel, which a capture may forbid
  for (const Use& use : work.uses) {
    if (!use.allocation->pinned && use.allocation->device != device) {
      misuse(work.name + " on device " + std::to_string(device) + " uses " + name_of(*use.allocation) + " of device " +
             std::to_string(use.allocation->device));
    }
  }
  return enqueue(stream, std::move(work));
}

void run_until(const TokenPtr& token) {
  Window window;
  while (token && !token->done && run_one(window)) {
  }
}

void run_all() {
  Window window;
  while (run_one(window)) {
  }
}

void run_some() {
  Window window;
  while (world().random() % 2 == 0 && run_one(window)) {
  }
}

void settle_pools() {
  World& w = world();
  for (const auto& [number, pool] : w.pools.all()) {
    const std::size_t keep = std::max<std::size_t>(pool->used, std::min<std::size_t>(pool->reserved, pool->threshold));
    w.arenas.at(static_cast<std::size_t>(pool->device))->used -= pool->reserved - keep;
    pool->reserved = keep;
  }
}

void synchronize(const TokenPtr& token) {
  run_until(token);
  if (token) join(world().host, token->clock);
  settle_pools();
}

void synchronize_device(int device) {
  const auto queues = world().queues;  // a copy, because running may change the original
  for (const auto& stream : queues) {
    if (stream->device == device) synchronize(stream->last);
  }
  join(world().host, world().gone[device]);
  settle_pools();
}

}  // namespace fake_cuda::inside
