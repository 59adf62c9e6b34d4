// SPDX-License-Identifier: Apache-2.0
#include "world.hpp"

namespace fake_cuda::inside {
namespace {

constexpr int kLeastPriority = 0;
constexpr int kGreatestPriority = -5;

cudaError_t create(cudaStream_t* handle, unsigned flags, int priority) {
  if (handle == nullptr || (flags & ~static_cast<unsigned>(cudaStreamNonBlocking)) != 0) return cudaErrorInvalidValue;
  *handle = world().streams.add(make_stream(thread().device, flags, priority));
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

/// A call that queries a stream.
template <typename T>
cudaError_t ask(const char* name, cudaStream_t handle, T* answer, T Stream::*member) {
  return call(name, Kind::plain, [&] {
    const auto stream = find_stream(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (answer == nullptr) return cudaErrorInvalidValue;
    *answer = (*stream).*member;
    return cudaSuccess;
  });
}

}  // namespace
}  // namespace fake_cuda::inside

using namespace fake_cuda::inside;

extern "C" {

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return call("cudaStreamCreate", Kind::plain, [&] { return create(stream, cudaStreamDefault, 0); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int flags) {
  return call("cudaStreamCreateWithFlags", Kind::plain, [&] { return create(stream, flags, 0); });
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned int flags, int priority) {
  return call("cudaStreamCreateWithPriority", Kind::plain, [&] { return create(stream, flags, priority); });
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

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return on_stream("cudaStreamQuery", Kind::synchronize, stream, [](Stream& found) {
    run_some();
    if (found.last && !found.last->done) return cudaErrorNotReady;
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

cudaError_t cudaStreamGetId(cudaStream_t stream, unsigned long long* id) {
  return ask("cudaStreamGetId", stream, id, &Stream::id);
}
cudaError_t cudaStreamGetDevice(cudaStream_t stream, int* device) {
  return ask("cudaStreamGetDevice", stream, device, &Stream::device);
}
cudaError_t cudaStreamGetFlags(cudaStream_t stream, unsigned int* flags) {
  return ask("cudaStreamGetFlags", stream, flags, &Stream::flags);
}
cudaError_t cudaStreamGetPriority(cudaStream_t stream, int* priority) {
  return ask("cudaStreamGetPriority", stream, priority, &Stream::priority);
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  return call("cudaDeviceGetStreamPriorityRange", Kind::plain, [&] {
    if (least != nullptr) *least = kLeastPriority;
    if (greatest != nullptr) *greatest = kGreatestPriority;
    return cudaSuccess;
  });
}

}  // extern "C"
