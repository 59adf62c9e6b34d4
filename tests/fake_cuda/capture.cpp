// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "world.hpp"

namespace fake_cuda::inside {
namespace {

/// Whether `capture` forbids unsafe calls on this thread.
bool forbids(const Capture& capture) {
  const auto mode = thread().capture_mode;
  if (mode == cudaStreamCaptureModeRelaxed || capture.mode == cudaStreamCaptureModeRelaxed) return false;
  if (capture.thread == std::this_thread::get_id()) return true;
  return mode == cudaStreamCaptureModeGlobal && capture.mode == cudaStreamCaptureModeGlobal;
}

void enter(const CapturePtr& capture, const StreamPtr& stream, std::vector<std::size_t> tails) {
  stream->capture = capture;
  capture->lanes.emplace(stream.get(), capture->lanes.size());
  capture->tails[stream.get()] = std::move(tails);
}

/// Whether the end of the stream on which the capture began depends on every node.
bool joined(const Capture& capture) {
  std::vector<bool> before_end(capture.nodes.size());
  for (const auto index : capture.tails.at(capture.origin)) before_end[index] = true;
  for (std::size_t index = capture.nodes.size(); index-- > 0;) {
    if (!before_end[index]) return false;
    for (const auto earlier : capture.nodes[index].after) before_end[earlier] = true;
  }
  return true;
}

void finish(const CapturePtr capture) {  // by value: queues drop their references
  for (const auto& queue : world().queues) {
    if (queue->capture == capture) queue->capture.reset();
  }
  world().captures.erase(capture);
}

}  // namespace

void invalidate(Capture& capture) { capture.invalid = true; }

cudaError_t check_unsafe(const char* name) {
  bool forbidden = false;
  for (const auto& capture : world().captures) {
    if (!forbids(*capture)) continue;
    invalidate(*capture);
    forbidden = true;
  }
  if (!forbidden) return cudaSuccess;
  misuse(std::string(name) + " is called while a stream is being captured");
  return cudaErrorStreamCaptureUnsupported;
}

cudaError_t check_device_wait(int device, const char* name) {
  cudaError_t answer = cudaSuccess;
  for (const auto& capture : world().captures) {
    if (capture->origin->device != device) continue;
    if (capture->thread == std::this_thread::get_id()) misuse(std::string(name) + " is called while a stream is being captured");
    invalidate(*capture);
    answer = cudaErrorStreamCaptureUnsupported;
  }
  return answer;
}

cudaError_t check_legacy_use(const Stream& stream, const char* name) {
  World& w = world();
  if (w.captures.empty() || w.legacy.at(static_cast<std::size_t>(stream.device)).get() != &stream) return cudaSuccess;
  bool implicit = false;
  for (const auto& queue : w.queues) {
    if (!queue->capture || queue->device != stream.device || (queue->flags & cudaStreamNonBlocking) != 0) continue;
    invalidate(*queue->capture);
    implicit = true;
  }
  if (!implicit) return cudaSuccess;
  misuse(std::string(name) + " uses the legacy stream while a blocking stream is being captured");
  return cudaErrorStreamCaptureImplicit;
}

cudaError_t check_not_captured(const Stream& stream, const char* name) {
  if (!stream.capture) return cudaSuccess;
  invalidate(*stream.capture);
  misuse(std::string(name) + " on " + name_of(stream) + ", which is being captured");
  return cudaErrorStreamCaptureUnsupported;
}

cudaError_t capture_node(const StreamPtr& stream, Work work) {
  Capture& capture = *stream->capture;
  if (capture.invalid) return cudaErrorStreamCaptureInvalidated;
  auto& tails = capture.tails[stream.get()];
  check_overlap(work, tails.size() == 1 && capture.nodes[tails[0]].work.lets_next_begin);
  capture.nodes.push_back({.work = std::move(work), .after = tails, .lane = capture.lanes.at(stream.get())});
  tails = {capture.nodes.size() - 1};
  return cudaSuccess;
}

cudaError_t capture_wait(const StreamPtr& stream, const Event& event) {
  const auto capture = event.capture.lock();
  if (!event.captured || !capture || !world().captures.contains(capture)) {
    if (!stream->capture) return event.captured ? cudaErrorCapturedEvent : cudaSuccess;
    invalidate(*stream->capture);
    misuse("a stream in a capture waits for an event that was recorded outside of it");
    return cudaErrorStreamCaptureIsolation;
  }
  if (capture->invalid) return cudaErrorStreamCaptureInvalidated;
  if (!stream->capture) {
    enter(capture, stream, event.tails);
    return cudaSuccess;
  }
  if (stream->capture != capture) {
    invalidate(*stream->capture);
    invalidate(*capture);
    misuse("a stream in one capture waits for an event of another capture");
    return cudaErrorStreamCaptureMerge;
  }
  auto& tails = capture->tails[stream.get()];
  for (const auto index : event.tails) {
    if (std::find(tails.begin(), tails.end(), index) == tails.end()) tails.push_back(index);
  }
  return cudaSuccess;
}

void leave_capture(Stream& stream) {
  if (!stream.capture) return;
  invalidate(*stream.capture);
  misuse(name_of(stream) + " is destroyed while it is being captured");
}

namespace {

cudaError_t begin_capture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  World& w = world();
  const auto stream = find_stream(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (stream == w.legacy.at(static_cast<std::size_t>(stream->device))) {
    misuse("cudaStreamBeginCapture on the legacy stream");
    return cudaErrorStreamCaptureUnsupported;
  }
  if (stream->capture) {
    misuse("cudaStreamBeginCapture on a stream that is being captured");
    return cudaErrorIllegalState;
  }
  auto capture = std::make_shared<Capture>();
  capture->mode = mode;
  capture->thread = std::this_thread::get_id();
  capture->origin = stream.get();
  enter(capture, stream, {});
  w.captures.insert(std::move(capture));
  return cudaSuccess;
}

cudaError_t end_capture(cudaStream_t handle, cudaGraph_t* graph) {
  World& w = world();
  if (graph == nullptr) return cudaErrorInvalidValue;
  *graph = nullptr;
  const auto stream = find_stream(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  const auto capture = stream->capture;
  if (!capture) {
    misuse("cudaStreamEndCapture on a stream that is not being captured");
    return cudaErrorIllegalState;
  }
  const auto known = std::exchange(capture->graph, nullptr);  // destroyed if the capture fails
  struct Drop {
    cudaGraph_t graph;
    ~Drop() {
      if (graph != nullptr) world().graphs.remove(graph);
    }
  } drop{known};
  if (capture->origin != stream.get()) {
    invalidate(*capture);
    misuse("cudaStreamEndCapture on another stream than the one that the capture began on");
    return cudaErrorStreamCaptureUnmatched;
  }
  if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id()) {
    misuse("cudaStreamEndCapture on another thread than the one that the capture began on");
    return cudaErrorStreamCaptureWrongThread;
  }
  finish(capture);
  if (capture->invalid) return cudaErrorStreamCaptureInvalidated;
  if (!joined(*capture)) {
    misuse("a capture ends before a stream that joined it was waited for");
    return cudaErrorStreamCaptureUnjoined;
  }
  drop.graph = nullptr;
  *graph = known != nullptr ? known : w.graphs.add(std::make_shared<Graph>());
  w.graphs.find(*graph)->nodes = std::move(capture->nodes);
  return cudaSuccess;
}

cudaError_t capture_status(cudaStream_t handle, cudaStreamCaptureStatus* status, const char* name, CapturePtr* capture) {
  const auto found = find_stream(handle);
  if (!found || status == nullptr) return cudaErrorInvalidValue;
  *status = cudaStreamCaptureStatusNone;
  if (const auto error = check_legacy_use(*found, name)) return error;
  if (found->capture) *status = found->capture->invalid ? cudaStreamCaptureStatusInvalidated : cudaStreamCaptureStatusActive;
  if (capture != nullptr) *capture = found->capture;
  return cudaSuccess;
}

}  // namespace
}  // namespace fake_cuda::inside

using namespace fake_cuda::inside;

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return call("cudaStreamBeginCapture", Kind::plain, [&] { return begin_capture(stream, mode); });
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const Entry entry("cudaStreamEndCapture", Kind::plain);
  if (entry.outcome == Outcome::proceed) return set_error(end_capture(stream, graph));
  if (graph != nullptr) *graph = nullptr;
  if (const auto found = world().streams.find(stream); found && found->capture) {
    if (found->capture->graph != nullptr) world().graphs.remove(found->capture->graph);
    finish(found->capture);
  }
  return set_error(entry.error);  // even if ending it fails, the capture has ended
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  return call("cudaStreamIsCapturing", Kind::plain,
              [&] { return capture_status(stream, status, "cudaStreamIsCapturing", nullptr); });
}

/// Reports only the status and the graph.
#if CUDART_VERSION >= 13000
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus* status, unsigned long long*,
                                     cudaGraph_t* graph, const cudaGraphNode_t**, const cudaGraphEdgeData**, size_t*) {
#else
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus* status, unsigned long long*,
                                     cudaGraph_t* graph, const cudaGraphNode_t**, size_t*) {
#endif
  return call("cudaStreamGetCaptureInfo", Kind::plain, [&] {
    CapturePtr capture;
    const auto error = capture_status(stream, status, "cudaStreamGetCaptureInfo", &capture);
    if (error != cudaSuccess || graph == nullptr || *status != cudaStreamCaptureStatusActive) return error;
    if (capture->graph == nullptr) capture->graph = world().graphs.add(std::make_shared<Graph>());
    *graph = capture->graph;
    return cudaSuccess;
  });
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  return call("cudaThreadExchangeStreamCaptureMode", Kind::ask, [&] {
    if (mode == nullptr) return cudaErrorInvalidValue;
    std::swap(*mode, thread().capture_mode);
    return cudaSuccess;
  });
}

}  // extern "C"
