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

/// The state of the double. World::mutex guards all of it, and Entry holds it for the duration of a call.
namespace fake_cuda::inside {

using fake_cuda::misuse;

/// A piece of device work. In a graph, `run` may be called more than once.
struct Work {
  std::string name;
  std::vector<Use> uses = {};
  std::function<void()> run = {};
  bool on_host = false;          ///< a host function, which may not access device memory
  bool lets_next_begin = false;  ///< a kernel that lets one that overlaps it begin before it ends
  /// Set for a kernel that overlaps the one before it: runs it up to where it waits for that one, and returns whether a next one
  /// may begin then. `run` does the rest.
  std::function<bool()> begin = {};
};

/// Work in a stream's queue: it is ready when it is at the head and all of `after` are done.
struct Op {
  Work work;
  std::vector<TokenPtr> after;
  TokenPtr token;
  Stamp stamp;
  bool begun = false;  ///< by Work::begin, which returned `next_may_begin` and used `used`
  bool next_may_begin = false;
  std::vector<Use> used = {};
};

/// Work in a graph. `after` holds indices of earlier nodes, `lane` is the index of the captured stream that it came from.
struct Node {
  Work work;
  std::vector<std::size_t> after;
  std::size_t lane = 0;
};

struct Capture;

struct Stream {
  int lane = 0;
  unsigned long long id = 0;  ///< unlike the handle, never reused
  int device = 0;
  unsigned flags = 0;
  bool hidden = false;  ///< a branch of a graph, or destroyed; kept while it has work left
  std::deque<Op> queue;
  TokenPtr last;                 ///< the latest op; null if none was ever enqueued
  bool lets_next_begin = false;  ///< that op
  Clock clock;                   ///< what happens before the next op
  std::shared_ptr<Capture> capture;
};
using StreamPtr = std::shared_ptr<Stream>;

/// A user object of graphs; `destroy` is called when its last reference is released.
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
  cudaGraph_t graph = nullptr;  ///< made early if a call asks for it before the capture ends
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id thread;
  Stream* origin = nullptr;
  bool invalid = false;
  std::vector<Node> nodes;
  std::map<Stream*, std::vector<std::size_t>> tails;  ///< for each stream in it, the nodes that its next node comes after
  std::map<Stream*, std::size_t> lanes;
};
using CapturePtr = std::shared_ptr<Capture>;

struct Event {
  int device = 0;
  unsigned flags = 0;
  TokenPtr recorded;
  std::weak_ptr<Capture> capture;  ///< if alive, the event was last recorded in this capture ...
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
  std::uint64_t threshold = 0;
  std::uint64_t max_size = 0;
  std::size_t used = 0;
  std::size_t reserved = 0;
};

/// A handle of cuBLASLt or cuDNN.
struct Handle {
  int device = 0;
  const char* library = "";
  cudaStream_t stream = nullptr;
};

/// Objects by their public handles. If `Reused`, a new object gets the lowest free number, as a driver's streams do; else numbers
/// are never used twice, so that destroyed handles stay unknown.
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
  bool allocating = false;  ///< for Fault::forever: the kind of the call that failed
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
  int lost = -1;  ///< the device whose context is broken by an error; -1: none
  bool unloaded = false;
  std::map<int, int> no_algorithms;  ///< the status that cuBLASLt's heuristics return, by epilogue (-1: all)
  double product_seconds = 0;
  std::set<int> contexts;                                          ///< devices with a primary context
  std::set<std::pair<int, const void*>> loaded;                    ///< kernels that have been launched, by device
  std::map<std::pair<int, const void*>, std::size_t> most_shared;  ///< by device and kernel, where it is not the default

  std::vector<std::unique_ptr<Arena>> arenas;  ///< by device
  Allocations allocations;
  std::vector<ptx::MemoryMap> memory;  ///< by device, the memory that its kernels may use
  std::vector<Use> used;               ///< the uses recorded by the work that is running
  Clock host;
  int lanes = 0;
  std::vector<StreamPtr> queues;                             ///< every stream that may hold ops
  std::map<int, Clock> gone;                                 ///< by device: the work of streams that were destroyed
  std::vector<StreamPtr> legacy;                             ///< by device; null until used
  std::map<std::pair<unsigned, int>, StreamPtr> per_thread;  ///< cudaStreamPerThread, by Thread::number and device
  Table<Stream, cudaStream_t, true> streams;
  Table<Event, cudaEvent_t> events;
  Table<Graph, cudaGraph_t> graphs;
  Table<Exec, cudaGraphExec_t> execs;
  Table<UserObject, cudaUserObject_t> user_objects;
  Table<Pool, cudaMemPool_t> pools;
  std::set<CapturePtr> captures;
  std::set<Handle*> handles;
  std::map<const void*, std::shared_ptr<void>> descriptors;  ///< of the libraries
};
World& world();

/// The state of a thread.
struct Thread {
  std::uint64_t generation = 0;
  unsigned number = 0;                           ///< unique, also among threads that have ended
  int device = 0;                                ///< the current one
  bool has_context = false;                      ///< for `device`; if not, the runtime makes one on demand
  std::vector<std::pair<int, bool>> below = {};  ///< the contexts below the one that cuCtxPushCurrent made current
  cudaError_t last_error = cudaSuccess;
  cudaStreamCaptureMode capture_mode = cudaStreamCaptureModeGlobal;
};
Thread& thread();
bool& in_host_function();

// ---- calls (world.cpp) ----

enum class Kind { plain, allocate, release, synchronize, ask };  // ask: needs no context
enum class Outcome {
  proceed,
  fail,     ///< a fault: return an error, but a release still does its work
  refused,  ///< return Entry::error and do nothing
};

/// One counted call: runs the hook, takes the lock, counts, and decides whether the call fails.
class Entry {
 public:
  Entry(const char* name, Kind kind);
  Outcome outcome = Outcome::proceed;
  cudaError_t error = cudaSuccess;  ///< the runtime's result unless it proceeds

 private:
  void decide(const char* name, Kind kind);
  std::unique_lock<std::recursive_mutex> lock_;
};

/// A call of the runtime: makes an Entry, runs `body`, sets the last error.
cudaError_t call(const char* name, Kind kind, const std::function<cudaError_t()>& body);
cudaError_t set_error(cudaError_t error);

// ---- streams and work (scheduler.cpp) ----

StreamPtr make_stream(int device, unsigned flags);
/// The stream of a handle: null and cudaStreamLegacy are the legacy stream of the current device, cudaStreamPerThread is this
/// thread's. Records a misuse and returns null if there is no such stream.
StreamPtr find_stream(cudaStream_t stream);
std::string name_of(const Stream& stream);

/// Appends work to a stream, or to the capture that it is in. `after`: ops to wait for besides those that the stream implies.
cudaError_t enqueue(const StreamPtr& stream, Work work, const std::vector<TokenPtr>& after = {}, TokenPtr* token = nullptr);
/// The same for a kernel: the stream must be of the current device. `kernel` as in launch().
cudaError_t enqueue_kernel(cudaStream_t stream, Work work, const void* kernel = nullptr);

void run_until(const TokenPtr& token);  ///< does nothing if null
void run_all();
void run_some();                          ///< a random number of ops, maybe none
void settle_pools();                      ///< pools release the free memory that exceeds their thresholds
void synchronize(const TokenPtr& token);  ///< run_until(), and the host knows that it is done
void synchronize_device(int device);

/// Records a misuse if work overlaps what is before it, and that does not let it begin.
void check_overlap(const Work& work, bool lets_it_begin);

// ---- captures (capture.cpp) ----

/// The result of a call that is forbidden during captures: cudaSuccess if no capture affects this thread.
cudaError_t check_unsafe(const char* name);
/// The result of a call that waits for a whole device, which ends every capture on it, of any thread and in any mode.
cudaError_t check_device_wait(int device, const char* name);
/// The same for work on the legacy stream and waits for streams and events that are being captured.
cudaError_t check_legacy_use(const Stream& stream, const char* name);
cudaError_t check_not_captured(const Stream& stream, const char* name);
cudaError_t capture_node(const StreamPtr& stream, Work work);
void invalidate(Capture& capture);
cudaError_t capture_wait(const StreamPtr& stream, const Event& event);
void leave_capture(Stream& stream);

// ---- memory ----

/// New memory on `device`, from `pool` if given; null if there is no room.
AllocationPtr allocate(int device, std::size_t bytes, const std::shared_ptr<Pool>& pool);
/// Frees memory after checking its red zones.
void release(Allocation& allocation);
/// Tells tests/ptx which bytes were written by something other than a kernel.
void is_written(const void* begin, std::size_t bytes);
/// The live allocation that starts at `pointer` and may be freed by `name`; else records a misuse and returns null.
AllocationPtr find_to_free(const void* pointer, bool pinned, const char* name);

/// Adds uses of the allocations that `pointers` point into. A pointer into none is a misuse; null pointers are skipped.
void add_uses(std::vector<Use>& uses, const std::vector<const void*>& pointers, How how, const char* what);
/// Whether [pointer, pointer + bytes) is inside one live allocation; if not, records a misuse.
bool inside_one(const void* pointer, std::size_t bytes, const char* what);

// ---- handles of the libraries (handles.cpp) ----

Handle* new_handle(const char* library);
/// Destroys a handle, which waits for the whole device. Returns false if it does not exist. Records misuses.
bool drop_handle(Handle* handle, const char* name);
template <typename T>
T* new_descriptor() {
  auto made = std::make_shared<T>();
  T* const pointer = made.get();
  world().descriptors.emplace(pointer, std::move(made));
  return pointer;
}
/// If it does not exist, records a misuse and returns false.
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
