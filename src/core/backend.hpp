// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <lamella/device.hpp>

namespace lamella::ops {
class OpSet;
}

namespace lamella::core {

/// Work captured from a stream, which one launch replays. Belongs to the device on which it was captured.
class Graph {
 public:
  virtual ~Graph() = default;
};

/// Why work was not captured as a graph.
struct NotCaptured {
  std::string why;         ///< a sentence
  bool disturbed = false;  ///< by other code in the process: the next attempt may succeed
};

/// An ordered queue of work on one device. Belongs to one thread at a time.
class Stream {
 public:
  virtual ~Stream() = default;  ///< waits for the enqueued work
  /// The native handle on which work is enqueued now: a caller's stream, or this stream's own. Null on devices without streams.
  [[nodiscard]] virtual void* native() const noexcept = 0;
  /// Backend::stream_id() of the caller's stream on which work is enqueued now; 0: this stream's own handle.
  [[nodiscard]] virtual std::uint64_t id() const noexcept = 0;
  /// Whether the work enqueued on a caller's stream is done, so that switching to another needs no wait. Does not wait.
  [[nodiscard]] virtual bool is_idle() noexcept = 0;
  /// Enqueues later work on a caller's stream, ordered after earlier work; null: on this stream's own handle again.
  virtual void switch_to(void* native) = 0;
  /// Orders later work after the work that `other`, of the same device, has enqueued on a caller's stream. Work on a stream's own
  /// handle is not followed: who enqueues it waits for it. `other` must not be in use meanwhile, except by follow().
  virtual void follow(Stream& other) = 0;
  /// Plans are executed between these two; see Enqueueing. After an exception, abandon_work() replaces end_work().
  virtual void begin_work() = 0;
  virtual void end_work() = 0;
  virtual void abandon_work() noexcept = 0;
  /// Marks the work enqueued between the two calls as a range in profiles.
  virtual void begin_range(const char* name) = 0;
  virtual void end_range() = 0;
  /// Copies between pinned host memory and the device, or within the device. Enqueues; the memory must outlive the copy.
  virtual void copy(void* dst, const void* src, std::size_t bytes) = 0;
  /// Returns when everything enqueued so far is done. Throws DeviceError for failures since the last call.
  virtual void synchronize() = 0;
  /// Captures what `work` enqueues as a graph, without running it; `work` must have run before, and the stream must be on its own
  /// handle. Meanwhile other threads must not synchronise the device. Null, with the reason in `why_not`, if something in it
  /// cannot be captured.
  [[nodiscard]] virtual std::unique_ptr<Graph> capture(const std::function<void()>& work, NotCaptured& why_not) = 0;
  /// Enqueues the captured work.
  virtual void launch(Graph& graph) = 0;
  /// Makes later work part of the graph that is being captured on a caller's stream; no other use of this stream is allowed then.
  /// The graph, and executable graphs made from it, own `what`. Must be called inside Backend::with_relaxed_capture().
  virtual void join_capture(void* native, std::shared_ptr<const void> what) = 0;
};

/// While it lives, plans may be executed on a stream. Call done() at the end, unless an exception ends it.
class Enqueueing {
 public:
  explicit Enqueueing(Stream& stream) : stream_(stream) { stream.begin_work(); }
  ~Enqueueing() {
    if (!done_) stream_.abandon_work();
  }
  Enqueueing(const Enqueueing&) = delete;
  Enqueueing& operator=(const Enqueueing&) = delete;
  void done() {
    done_ = true;
    stream_.end_work();
  }

 private:
  Stream& stream_;
  bool done_ = false;
};

/// Properties of a device that decide how work is divided for it.
struct DeviceTraits {
  /// Its memory is host memory: callers' arrays are used in place, and Options::memory_limit does not count them.
  bool is_host = false;
  /// Work is done when enqueueing returns, by the calling thread and its helpers: many rows are divided into chunks that run in
  /// parallel. Otherwise batches are enqueued one after another.
  bool is_inline = false;
  /// Stream::capture() makes graphs: batches are padded to a few sizes, so that few graphs serve them all.
  bool captures = false;
  /// What messages call one of these graphs: "CUDA graph".
  const char* graph_name = "graph";
  /// The stream that a caller's null handle denotes; null: the device has no streams.
  void* default_stream = nullptr;
};

/// One kind of device: its memory, its streams and its operations. One object per process and kind; thread-safe.
class Backend {
 public:
  explicit Backend(const DeviceTraits& what) : traits(what) {}
  virtual ~Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  const DeviceTraits traits;

  /// The number of usable devices of this kind.
  [[nodiscard]] virtual int device_count() const = 0;
  /// Why this device cannot be used, as one sentence; empty if it can. Creates its context.
  [[nodiscard]] virtual std::string why_unusable(int index) = 0;
  /// For people: "NVIDIA H200, 139 GiB".
  [[nodiscard]] virtual std::string describe(int index) const = 0;
  /// Names and versions of the vendor's libraries in use.
  [[nodiscard]] virtual std::vector<std::string> libraries() const = 0;
  /// At least `bytes` of the device's memory, aligned to 64 bytes and to what its plans need, for any stream; freed with the last
  /// owner, which must first wait for work that uses it. Throws Error (out_of_memory) with the requested size, std::bad_alloc for
  /// host memory, DeviceError.
  [[nodiscard]] virtual std::shared_ptr<void> allocate(int index, std::size_t bytes) = 0;
  /// Host memory that Stream::copy can reach. Throws Error (out_of_memory), DeviceError.
  [[nodiscard]] virtual std::shared_ptr<void> allocate_pinned(int index, std::size_t bytes) = 0;
  /// Copies between this device and the host, or within the device; returns when the copy is complete.
  virtual void copy(int index, void* dst, const void* src, std::size_t bytes) = 0;
  /// Fills device memory with a byte; returns when done.
  virtual void fill(int index, void* dst, int byte, std::size_t bytes) = 0;
  /// Throws ArgumentError (device) if `data`, named `what` in the message, is known not to be memory of this device.
  virtual void expect_device_memory(int index, const void* data, const char* what) = 0;
  [[nodiscard]] virtual std::unique_ptr<Stream> create_stream(int index) = 0;
  /// Identifies a caller's stream uniquely within the process, even if its handle is reused; never 0. Throws DeviceError on
  /// devices without streams.
  [[nodiscard]] virtual std::uint64_t stream_id(int index, void* native) = 0;
  /// Releases objects owned by callers' graphs that have been destroyed. Cheap if there are none. Not while this thread
  /// captures.
  virtual void release_retired() noexcept = 0;
  /// Whether a caller's stream is being captured into a graph.
  [[nodiscard]] virtual bool is_captured(int index, void* native) = 0;
  /// Calls `work`, which may do what a capture begun by this thread forbids otherwise: allocate, wait for other streams.
  virtual void with_relaxed_capture(const std::function<void()>& work) = 0;
  [[nodiscard]] virtual ops::OpSet& ops() = 0;
};

/// Host memory, aligned to 64 bytes. Throws std::bad_alloc with the requested size.
[[nodiscard]] std::shared_ptr<void> allocate_host(std::size_t bytes);

/// The backend of a device, which must not be automatic. Only this and is_host() check the kind of a device; all other code asks
/// its backend. Throws DeviceError with the reason if this build or machine lacks it.
[[nodiscard]] Backend& backend(Device device);
/// Whether elements on this device can be read and written by the host. Opens no backend.
[[nodiscard]] bool is_host(Device device) noexcept;

/// Why Device::automatic() is the host's own device: what each other device lacks. Empty if none was refused.
[[nodiscard]] std::string why_on_the_host();

/// Defined in src/cpu.
[[nodiscard]] Backend& cpu_backend();
/// Opened on first use. Throws DeviceError with the reason if there is none.
[[nodiscard]] Backend& cuda_backend();
/// Why cuda_backend() would throw; empty if it would not.
[[nodiscard]] std::string why_no_cuda_backend();

/// The function that the CUDA plugin, liblamella_cuda.so, exports as lamella_cuda_plugin_1. Core and plugin are built together:
/// `version` is lamella's. Returns the backend, which lives as long as the process; or null, with a sentence in `why_not`.
using CudaPlugin = Backend* (*)(const char* version, std::string& why_not);

}  // namespace lamella::core
