// SPDX-License-Identifier: Apache-2.0
#include "world.hpp"

namespace fake_cuda::inside {
namespace {

cudaError_t create(cudaStream_t* handle, unsigned flags) {
  if (handle == nullptr || (flags & ~static_cast<unsigned>(cudaStreamNonBlocking)) != 0) return cudaErrorInvalidValue;
  *handle = world().streams.add(make_stream(thread().device, flags));
  return cudaSuccess;
}

cudaError_t destroy(cudaStream_t handle) {
  const auto stream = world().streams.remove(handle);
  if (!stream) {
    misuse("cudaStreamDestroy of a stream that does not exist (any more)");
    return cudaErrorInvalidResourceHandle;
  }
  leave_capture(*stream);
  stream->hidden = true;  // its work still runs
  return cudaSuccess;
}

/// A call on a stream that must not be in a capture.
cudaError_t on_stream(const char* name, Kind kind, cudaStream_t handle, const std::function<cudaError_t(Stream&)>& body) {
  return call(name, kind, [&] {
    const auto stream = find_stream(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (const auto error = check_not_captured(*stream, name)) return error;
    if (const auto error = check_legacy_use(*stream, name)) return error;
    if (const auto error = check_unsafe(name)) return error;
    return body(*stream);
  });
}

}  // namespace
}  // namespace fake_cuda::inside

using namespace fake_cuda::inside;

extern "C" {

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return call("cudaStreamCreate", Kind::plain, [&] { return create(stream, cudaStreamDefault); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int flags) {
  return call("cudaStreamCreateWithFlags", Kind::plain, [&] { return create(stream, flags); });
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return call("cudaStreamDestroy", Kind::release, [&] { return destroy(stream); });
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return on_stream("cudaStreamSynchronize", Kind::synchronize, stream, [](Stream& found) {
    synchronize(found.last);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event_handle, unsigned int) {
  return call("cudaStreamWaitEvent", Kind::plain, [&] {
    const auto stream = find_stream(handle);
    const auto event = world().events.find(event_handle);
    if (!event) misuse("cudaStreamWaitEvent of an event that does not exist (any more)");
    if (!stream || !event) return cudaErrorInvalidResourceHandle;
    if (stream->capture || event->captured) return capture_wait(stream, *event);
    if (!event->recorded) return cudaSuccess;
    return enqueue(stream, {.name = "cudaStreamWaitEvent"}, {event->recorded});
  });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void* data) {
  return call("cudaLaunchHostFunc", Kind::plain, [&] {
    const auto stream = find_stream(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (function == nullptr) return cudaErrorInvalidValue;
    return enqueue(stream, {.name = "cudaLaunchHostFunc", .run = [=] { function(data); }, .on_host = true});
  });
}

cudaError_t cudaStreamGetId(cudaStream_t handle, unsigned long long* id) {
  return call("cudaStreamGetId", Kind::plain, [&] {
    const auto stream = find_stream(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (id == nullptr) return cudaErrorInvalidValue;
    *id = stream->id;
    return cudaSuccess;
  });
}

}  // extern "C"
