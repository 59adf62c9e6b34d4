// SPDX-License-Identifier: Apache-2.0
#include "world.hpp"

namespace fake_cuda::inside {
namespace {

constexpr unsigned kFlags = cudaEventBlockingSync | cudaEventDisableTiming | cudaEventInterprocess;

cudaError_t create(cudaEvent_t* handle, unsigned flags) {
  if (handle == nullptr || (flags & ~kFlags) != 0) return cudaErrorInvalidValue;
  auto event = std::make_shared<Event>();
  event->device = thread().device;
  event->flags = flags;
  *handle = world().events.add(std::move(event));
  return cudaSuccess;
}

/// A call on an event that exists.
cudaError_t on_event(const char* name, Kind kind, cudaEvent_t handle, const std::function<cudaError_t(Event&)>& body) {
  return call(name, kind, [&] {
    const auto event = world().events.find(handle);
    if (event) return body(*event);
    misuse(std::string(name) + " of an event that does not exist (any more)");
    return cudaErrorInvalidResourceHandle;
  });
}

cudaError_t check_outside_capture(const Event& event, const char* name) {
  if (event.captured) {
    if (const auto capture = event.capture.lock()) invalidate(*capture);
    misuse(std::string(name) + " of an event that was recorded in a capture");
    return cudaErrorCapturedEvent;
  }
  return check_unsafe(name);
}

cudaError_t record(Event& event, cudaStream_t handle) {
  const auto stream = find_stream(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (event.device != stream->device) {
    misuse("cudaEventRecord of an event of device " + std::to_string(event.device) + " on " + name_of(*stream) + " of device " +
           std::to_string(stream->device));
    return cudaErrorInvalidResourceHandle;
  }
  if (stream->capture) {
    if (stream->capture->invalid) return cudaErrorStreamCaptureInvalidated;
    event.captured = true;
    event.capture = stream->capture;
    event.tails = stream->capture->tails[stream.get()];
    return cudaSuccess;
  }
  event.captured = false;
  return enqueue(stream, {.name = "cudaEventRecord"}, {}, &event.recorded);
}

}  // namespace
}  // namespace fake_cuda::inside

using namespace fake_cuda::inside;

extern "C" {

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return call("cudaEventCreate", Kind::plain, [&] { return create(event, cudaEventDefault); });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int flags) {
  return call("cudaEventCreateWithFlags", Kind::plain, [&] { return create(event, flags); });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return on_event("cudaEventDestroy", Kind::release, event, [&](Event&) {
    world().events.remove(event);
    return cudaSuccess;
  });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return on_event("cudaEventRecord", Kind::plain, event, [&](Event& found) { return record(found, stream); });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return on_event("cudaEventQuery", Kind::synchronize, event, [](Event& found) {
    if (const auto error = check_outside_capture(found, "cudaEventQuery")) return error;
    run_some();
    if (found.recorded && !found.recorded->done) return cudaErrorNotReady;
    synchronize(found.recorded);
    return cudaSuccess;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return on_event("cudaEventSynchronize", Kind::synchronize, event, [](Event& found) {
    if (const auto error = check_outside_capture(found, "cudaEventSynchronize")) return error;
    synchronize(found.recorded);
    return cudaSuccess;
  });
}

/// On the double's clock an op takes a microsecond.
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  return on_event("cudaEventElapsedTime", Kind::plain, start, [&](Event& from) {
    const auto to = world().events.find(end);
    if (!to || !from.recorded || !to->recorded || ((from.flags | to->flags) & cudaEventDisableTiming) != 0) {
      return cudaErrorInvalidResourceHandle;
    }
    if (!from.recorded->done || !to->recorded->done) return cudaErrorNotReady;
    *milliseconds = 1e-3F * static_cast<float>(static_cast<std::int64_t>(to->recorded->when - from.recorded->when));
    return cudaSuccess;
  });
}

}  // extern "C"
