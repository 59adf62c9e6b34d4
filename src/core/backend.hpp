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

/// Work captured from a stream, to be replayed at the cost of one launch. Belongs to the device it was captured on.
class Graph {
 public:
  virtual ~Graph() = default;
};

/// Why work is not a graph.
struct NotCaptured {
  std::string why;         ///< a sentence
  bool disturbed = false;  ///< by somebody else in the process: it may go well the next time
};

/// Work in order on one device. Belongs to one thread at a time.
class Stream {
 public:
  virtual ~Stream() = default;  ///< waits for what was enqueued
  /// The handle of a caller's stream that work is enqueued on now, or of this stream's own. Null where callers have no streams.
  [[nodiscard]] virtual void* native() const noexcept = 0;
  /// Backend::stream_id of the caller's stream that work is enqueued on now; 0: this stream's own.
  [[nodiscard]] virtual std::uint64_t id() const noexcept = 0;
  /// Whether what was enqueued on a caller's stream is done: nothing waits when this is used on another. Does not wait.
  [[nodiscard]] virtual bool is_idle() noexcept = 0;
  /// What follows is enqueued on a caller's stream, after what was enqueued before; null: on this stream's own again.
  virtual void switch_to(void* native) = 0;
  /// Plans are executed between these two; see Enqueueing. After an exception abandon_work() takes the place of end_work().
  virtual void begin_work() = 0;
  virtual void end_work() = 0;
  virtual void abandon_work() noexcept = 0;
  /// A range in profiles around what is enqueued between the two calls.
  virtual void begin_range(const char* name) = 0;
  virtual void end_range() = 0;
  /// Copies between pinned host memory and the device, or within the device. Enqueues; the memory must outlive the copy.
  virtual void copy(void* dst, const void* src, std::size_t bytes) = 0;
  /// Returns when everything enqueued so far is done. Throws DeviceError for what went wrong since the last call.
  virtual void synchronize() = 0;
  /// What `work`, which has run before, enqueues, as a graph; nothing runs. The stream must be on its own handle. While it lasts,
  /// other threads may not synchronise the device. Null, with the reason in `why_not`, when something in it cannot be captured.
  [[nodiscard]] virtual std::unique_ptr<Graph> capture(const std::function<void()>& work, NotCaptured& why_not) = 0;
  /// Enqueues all that was captured.
  virtual void launch(Graph& graph) = 0;
  /// What follows becomes part of the graph that is being captured on a caller's stream; nothing else may be asked of this one
  /// then. The graph and what is made of it keep `what`. To be called inside Backend::with_relaxed_capture().
  virtual void join_capture(void* native, std::shared_ptr<const void> what) = 0;
};

/// While it lives, plans may be executed on a stream. To be ended by done(), unless an exception ends it.
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

/// What those who divide work for a device need to know of it.
struct DeviceTraits {
  /// Its memory is the host's: callers' arrays are used where they are, and Options::memory_limit does not count it.
  bool is_host = false;
  /// Work is done when it has been enqueued, by the calling thread and those that help it: many rows are divided into chunks that
  /// run side by side. Else they are enqueued one batch after another.
  bool is_inline = false;
  /// Stream::capture() makes graphs: batches are padded to few sizes, so that few graphs serve them all.
  bool captures = false;
  /// The stream that a caller's null names; null: callers have no streams.
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

  /// How many devices of this kind can be used.
  [[nodiscard]] virtual int device_count() const = 0;
  /// Why this device cannot be used, as one sentence; empty when it can. Makes its context.
  [[nodiscard]] virtual std::string why_unusable(int index) = 0;
  /// "NVIDIA H200, 139 GiB": for people.
  [[nodiscard]] virtual std::string describe(int index) const = 0;
  /// Names and versions of the vendor's libraries in use.
  [[nodiscard]] virtual std::vector<std::string> libraries() const = 0;
  /// At least `bytes` of the device's memory, aligned to 64 bytes and to what its plans want, for any stream; freed with the last
  /// owner, who has waited for what uses it. Throws Error (out_of_memory) that says how much was asked, std::bad_alloc where it
  /// is the host's, DeviceError.
  [[nodiscard]] virtual std::shared_ptr<void> allocate(int index, std::size_t bytes) = 0;
  /// Host memory that Stream::copy can reach. Throws Error (out_of_memory), DeviceError.
  [[nodiscard]] virtual std::shared_ptr<void> allocate_pinned(int index, std::size_t bytes) = 0;
  /// Copies between this device and the host, or within the device; returns when the copy is complete.
  virtual void copy(int index, void* dst, const void* src, std::size_t bytes) = 0;
  /// Fills device memory with a byte; returns when done.
  virtual void fill(int index, void* dst, int byte, std::size_t bytes) = 0;
  /// Throws ArgumentError (device) where `data`, named `what` in the message, is known not to be memory of this device.
  virtual void expect_device_memory(int index, const void* data, const char* what) = 0;
  [[nodiscard]] virtual std::unique_ptr<Stream> create_stream(int index) = 0;
  /// What tells a caller's stream from every other of the process, also when its handle comes again; never 0. Throws DeviceError
  /// where callers have no streams.
  [[nodiscard]] virtual std::uint64_t stream_id(int index, void* native) = 0;
  /// Gives back what graphs of callers have kept, of those that are gone. Cheap where there is none. Not while this thread
  /// captures.
  virtual void release_retired() noexcept = 0;
  /// Whether a caller's stream is being captured into a graph of the caller's.
  [[nodiscard]] virtual bool is_captured(int index, void* native) = 0;
  /// Calls `work`, which may do what a capture that this thread has begun forbids it otherwise: allocate, wait for other streams.
  virtual void with_relaxed_capture(const std::function<void()>& work) = 0;
  [[nodiscard]] virtual ops::OpSet& ops() = 0;
};

/// Host memory, aligned to 64 bytes. Throws std::bad_alloc that says how much was asked.
[[nodiscard]] std::shared_ptr<void> allocate_host(std::size_t bytes);

/// The backend of a device, which is not automatic. This and is_host() are the only places that ask which kind a device is; all
/// others ask its backend. Throws DeviceError with the reason when a build or a machine lacks it.
[[nodiscard]] Backend& backend(Device device);
/// Whether elements on this device can be read and written by the host. Opens no backend.
[[nodiscard]] bool is_host(Device device) noexcept;

/// Defined in src/cpu.
[[nodiscard]] Backend& cpu_backend();
/// Opened on first use. Throws DeviceError with the reason when there is none.
[[nodiscard]] Backend& cuda_backend();
/// Why cuda_backend() would throw; empty when it would not.
[[nodiscard]] std::string why_no_cuda_backend();

/// What a CUDA plugin, liblamella_cuda.so, exports as lamella_cuda_plugin_1. The core and the plugin are built together:
/// `version` is lamella's. Returns the backend, which lives as long as the process; or null, with a sentence in `why_not`.
using CudaPlugin = Backend* (*)(const char* version, std::string& why_not);

}  // namespace lamella::core
