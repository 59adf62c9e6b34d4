// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <cuda_runtime_api.h>

#include "arena.hpp"
#include "clocks.hpp"
#include "fake_cuda.hpp"
#include "tests/ptx/ptx.hpp"

/// The state behind fake_cuda.hpp. All of it is guarded by World::mutex, which Entry holds for the length of a call.
namespace fake_cuda::inside {

using fake_cuda::misuse;

/// What one piece of device work does. `run` may be called more than once, for a graph.
struct Work {
  std::string name;
  std::vector<Use> uses = {};
  std::function<void()> run = {};
  bool on_host = false;  ///< a host function: device memory stays closed
};

/// Work in the queue of a stream: it may run when it is at the head and all of `after` are done.
struct Op {
  Work work;
  std::vector<TokenPtr> after;
  TokenPtr token;
  Stamp stamp;
};

/// Work in a graph; `after` are indices of earlier nodes. `lane` says which of the captured streams it came from.
struct Node {
  Work work;
  std::vector<std::size_t> after;
  std::size_t lane = 0;
};

struct Capture;

struct Stream {
  int lane = 0;
  unsigned long long id = 0;  ///< never used again, as the handle is
  int device = 0;
  unsigned flags = 0;
  int priority = 0;
  bool hidden = false;  ///< a branch of a graph, or destroyed: kept as long as it has work left
  std::deque<Op> queue;
  TokenPtr last;  ///< of the latest op; null: nothing was ever enqueued
  Clock clock;    ///< what the next op knows
  std::shared_ptr<Capture> capture;
};
using StreamPtr = std::shared_ptr<Stream>;

/// What graphs keep for somebody; `destroy` is called when the last reference goes.
struct UserObject {
  UserObject(void* data_in, cudaHostFn_t destroy_in) : data(data_in), destroy(destroy_in) {}
  ~UserObject();
  UserObject(const UserObject&) = delete;
  UserObject& operator=(const UserObject&) = delete;
  void* data;
  cudaHostFn_t destroy;
};
using UserObjects = std::vector<std::shared_ptr<UserObject>>;

struct Capture {
  cudaGraph_t graph = nullptr;  ///< asked for before its end
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id thread;
  Stream* origin = nullptr;
  bool invalid = false;
  std::vector<Node> nodes;
  std::map<Stream*, std::vector<std::size_t>> tails;  ///< of each stream in it: what its next node comes after
  std::map<Stream*, std::size_t> lanes;
};
using CapturePtr = std::shared_ptr<Capture>;

struct Event {
  int device = 0;
  unsigned flags = 0;
  TokenPtr recorded;
  std::weak_ptr<Capture> capture;  ///< alive: it was last recorded in this capture ...
  bool captured = false;
  std::vector<std::size_t> tails;  ///< ... after these nodes
};

struct Graph {
  std::vector<Node> nodes;
  UserObjects kept;
};

struct Exec {
  std::vector<Node> nodes;
  int device = 0;
  std::vector<StreamPtr> branches;  ///< for the lanes after the first
  TokenPtr last;
  UserObjects kept;
};

struct Pool {
  int device = 0;
  bool of_device = false;  ///< the default pool
  std::uint64_t threshold = 0;
  std::uint64_t max_size = 0;
  std::size_t used = 0;
  std::size_t reserved = 0;
  std::size_t used_high = 0;
  std::size_t reserved_high = 0;
};

/// A handle of cuBLASLt or cuDNN.
struct Handle {
  int device = 0;
  const char* library = "";
  cudaStream_t stream = nullptr;
};

/// Objects by their public handles. Of `Reused` ones a new object gets the lowest number that is free, as a driver's streams do;
/// the others' numbers are never used twice, so that a handle that was destroyed stays unknown.
template <typename T, typename Public, bool Reused = false>
class Table {
 public:
  Public add(std::shared_ptr<T> object) {
    static std::uintptr_t next = 0x10000;
    std::uintptr_t number = Reused ? 0x1000 : next += 16;
    while (Reused && objects_.contains(number)) number += 16;
    objects_[number] = std::move(object);
    return reinterpret_cast<Public>(number);
  }
  std::shared_ptr<T> find(Public handle) const {
    const auto at = objects_.find(reinterpret_cast<std::uintptr_t>(handle));
    return at == objects_.end() ? nullptr : at->second;
  }
  std::shared_ptr<T> remove(Public handle) {
    auto object = find(handle);
    objects_.erase(reinterpret_cast<std::uintptr_t>(handle));
    return object;
  }
  int size() const { return static_cast<int>(objects_.size()); }
  const auto& all() const { return objects_; }
  void clear() { objects_.clear(); }

 private:
  std::map<std::uintptr_t, std::shared_ptr<T>> objects_;
};

struct FaultPlan {
  Fault fault = Fault::none;
  std::string name;  ///< empty: any call
  std::uint64_t countdown = 0;
  bool struck = false;
  bool allocating = false;  ///< for Fault::forever: the kind of call that was struck
};

struct World {
  std::recursive_mutex mutex;
  Options options;
  std::uint64_t generation = 0;
  long process = 0;
  std::mt19937 random;

  std::vector<std::string> misuses;
  std::uint64_t calls = 0;
  std::uint64_t executed = 0;
  std::deque<std::string> log;
  FaultPlan plan;
  bool late = false;
  int lost = -1;  ///< the device whose context an error has broken
  bool unloaded = false;
  std::map<int, int> no_algorithms;              ///< what cuBLASLt's heuristics answer, by epilogue; -1: all
  std::set<int> contexts;                        ///< devices with a primary context
  std::set<std::pair<int, const void*>> loaded;  ///< kernels that were launched, by device

  std::vector<std::unique_ptr<Arena>> arenas;  ///< by device
  Allocations allocations;
  std::vector<ptx::MemoryMap> memory;  ///< by device, what its kernels may use of them
  std::vector<Use> used;               ///< what the running work has found out that it uses
  Clock host;
  int lanes = 0;
  std::vector<StreamPtr> queues;                             ///< every stream that may hold ops
  std::map<int, Clock> gone;                                 ///< by device: what streams did that are no longer there
  std::vector<StreamPtr> legacy;                             ///< by device; null until used
  std::map<std::pair<unsigned, int>, StreamPtr> per_thread;  ///< cudaStreamPerThread, by Thread::number and device
  Table<Stream, cudaStream_t, true> streams;
  Table<Event, cudaEvent_t> events;
  Table<Graph, cudaGraph_t> graphs;
  Table<Exec, cudaGraphExec_t> execs;
  Table<UserObject, cudaUserObject_t> user_objects;
  Table<Pool, cudaMemPool_t> pools;
  std::vector<cudaMemPool_t> default_pools;
  std::set<CapturePtr> captures;
  std::set<Handle*> handles;
  std::map<const void*, std::shared_ptr<void>> descriptors;  ///< of the libraries
};
World& world();

/// What belongs to a thread.
struct Thread {
  std::uint64_t generation = 0;
  unsigned number = 0;                           ///< no other thread's, also of those that have ended
  int device = 0;                                ///< that is current
  bool has_context = false;                      ///< of `device`; else the runtime makes it when it needs one
  std::vector<std::pair<int, bool>> below = {};  ///< under what cuCtxPushCurrent has made current
  cudaError_t last_error = cudaSuccess;
  cudaStreamCaptureMode capture_mode = cudaStreamCaptureModeGlobal;
};
Thread& thread();
bool& in_host_function();

// ---- calls (world.cpp) ----

enum class Kind { plain, allocate, release, synchronize, ask };  // ask: needs no context
enum class Outcome {
  proceed,
  fail,     ///< a fault: answer an error; a release does its work all the same
  refused,  ///< answer Entry::error and do nothing
};

/// One counted call: runs the hook, takes the lock, counts, and decides whether the call fails.
class Entry {
 public:
  Entry(const char* name, Kind kind);
  Outcome outcome = Outcome::proceed;
  cudaError_t error = cudaSuccess;  ///< what the runtime answers unless it proceeds

 private:
  void decide(const char* name, Kind kind);
  std::unique_lock<std::recursive_mutex> lock_;
};

/// A call of the runtime: Entry, `body`, the last error.
cudaError_t call(const char* name, Kind kind, const std::function<cudaError_t()>& body);
cudaError_t set_error(cudaError_t error);

// ---- streams and work (scheduler.cpp) ----

StreamPtr make_stream(int device, unsigned flags, int priority);
/// The stream of a handle: null and cudaStreamLegacy are the legacy stream of the current device, cudaStreamPerThread is this
/// thread's of the current device. Null: no such stream (a misuse, recorded).
StreamPtr find_stream(cudaStream_t stream);
std::string name_of(const Stream& stream);

/// Appends work to a stream, or to the capture that it is in. `after`: more to wait for, besides what its stream implies.
cudaError_t enqueue(const StreamPtr& stream, Work work, const std::vector<TokenPtr>& after = {}, TokenPtr* token = nullptr);
/// The same for a kernel: the stream must be of the current device. `kernel` as in launch().
cudaError_t enqueue_kernel(cudaStream_t stream, Work work, const void* kernel = nullptr);

void run_until(const TokenPtr& token);  ///< null: nothing to do
void run_all();
void run_some();                          ///< as many as chance says, maybe none
void settle_pools();                      ///< pools give back what they hold beyond their thresholds
void synchronize(const TokenPtr& token);  ///< run_until(), and the host knows that it is done
void synchronize_device(int device);

// ---- captures (capture.cpp) ----

/// What a call that is forbidden while capturing answers: cudaSuccess where no capture concerns this thread.
cudaError_t check_unsafe(const char* name);
/// What a call that waits for a whole device answers: it ends every capture on it, whoever has begun it and in whatever mode.
cudaError_t check_device_wait(int device, const char* name);
/// The same for work on the legacy stream and waits for streams and events that are being captured.
cudaError_t check_legacy_use(const Stream& stream, const char* name);
cudaError_t check_not_captured(const Stream& stream, const char* name);
cudaError_t capture_node(const StreamPtr& stream, Work work);
void invalidate(Capture& capture);
cudaError_t capture_wait(const StreamPtr& stream, const Event& event);
void leave_capture(Stream& stream);

// ---- memory ----

/// New memory on `device`, of `pool` if given; null: there is no room.
AllocationPtr allocate(int device, std::size_t bytes, const std::shared_ptr<Pool>& pool);
/// Gives memory back, after a look at its red zones.
void release(Allocation& allocation);
/// Tells the devices that run kernels of bytes that others have written.
void is_written(const void* begin, std::size_t bytes);
/// The live allocation that starts at `pointer` and may be freed by `name`; null: a misuse, recorded.
AllocationPtr find_to_free(const void* pointer, bool pinned, const char* name);
std::shared_ptr<Pool> default_pool(int device, cudaMemPool_t* handle = nullptr);

/// The allocations that `pointers` point into; a pointer to nothing is a misuse. Null pointers are skipped.
void add_uses(std::vector<Use>& uses, const std::vector<const void*>& pointers, How how, const char* what);
/// Checks [pointer, pointer + bytes) against live allocations. False: it is not inside one; the misuse is recorded.
bool inside_one(const void* pointer, std::size_t bytes, const char* what);

// ---- handles of the libraries (handles.cpp) ----

Handle* new_handle(const char* library);
/// Destroys a handle, which waits for the whole device. False: there is none such. Misuses are recorded.
bool drop_handle(Handle* handle, const char* name);
template <typename T>
T* new_descriptor() {
  auto made = std::make_shared<T>();
  T* const pointer = made.get();
  world().descriptors.emplace(pointer, std::move(made));
  return pointer;
}
/// False: there is none such; the misuse is recorded.
bool drop_descriptor(const void* descriptor, const char* name);
/// Marks a handle as used by this thread, before any lock: two threads in one handle are a misuse.
class HandleUse {
 public:
  HandleUse(const void* handle, const char* name);
  ~HandleUse();
  HandleUse(const HandleUse&) = delete;
  HandleUse& operator=(const HandleUse&) = delete;

 private:
  const void* handle_;
};

}  // namespace fake_cuda::inside
