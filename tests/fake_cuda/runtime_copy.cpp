// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "world.hpp"

namespace fake_cuda::inside {
namespace {

/// `height` rows of `width` bytes.
struct Copy {
  unsigned char* dst = nullptr;
  std::size_t dst_pitch = 0;
  const unsigned char* src = nullptr;
  std::size_t src_pitch = 0;
  std::size_t width = 0;
  std::size_t height = 1;

  void run() const {
    for (std::size_t row = 0; row < height; ++row) {
      std::memcpy(dst + row * dst_pitch, src + row * src_pitch, width);
      is_written(dst + row * dst_pitch, width);
    }
  }
};

enum class Where { pageable, pinned, device };

Where where(const void* pointer) {
  if (const auto found = world().allocations.find(pointer)) return found->pinned ? Where::pinned : Where::device;
  for (const auto& arena : world().arenas) {
    if (arena->holds(reinterpret_cast<std::uintptr_t>(pointer))) return Where::device;  // if freed, inside_one() finds out
  }
  return Where::pageable;
}

bool fits(cudaMemcpyKind kind, Where dst, Where src) {
  const bool to_device = dst == Where::device;
  const bool from_device = src == Where::device;
  switch (kind) {
    case cudaMemcpyHostToHost:
      return !to_device && !from_device;
    case cudaMemcpyHostToDevice:
      return to_device && !from_device;
    case cudaMemcpyDeviceToHost:
      return !to_device && from_device;
    case cudaMemcpyDeviceToDevice:
      return to_device && from_device;
    default:
      return kind == cudaMemcpyDefault;
  }
}

struct Prepared {
  Work work;
  Where dst = Where::pageable;
  Where src = Where::pageable;
};

cudaError_t prepare(const char* name, Copy copy, cudaMemcpyKind kind, Prepared& prepared) {
  if (copy.width > copy.dst_pitch || copy.width > copy.src_pitch) return cudaErrorInvalidPitchValue;
  if (copy.dst == nullptr || copy.src == nullptr) return cudaErrorInvalidValue;
  prepared.dst = where(copy.dst);
  prepared.src = where(copy.src);
  if (!fits(kind, prepared.dst, prepared.src)) {
    misuse(std::string(name) + " with a kind that does not fit its pointers");
    return kind > cudaMemcpyDefault ? cudaErrorInvalidMemcpyDirection : cudaErrorInvalidValue;
  }
  const auto extent = [&](std::size_t pitch) { return (copy.height - 1) * pitch + copy.width; };
  if (prepared.dst != Where::pageable && !inside_one(copy.dst, extent(copy.dst_pitch), name)) return cudaErrorInvalidValue;
  if (prepared.src != Where::pageable && !inside_one(copy.src, extent(copy.src_pitch), name)) return cudaErrorInvalidValue;

  prepared.work.name = name;
  if (prepared.src != Where::pageable) add_uses(prepared.work.uses, {copy.src}, How::read, name);
  if (prepared.dst != Where::pageable) add_uses(prepared.work.uses, {copy.dst}, How::write, name);
  prepared.work.run = [copy] { copy.run(); };
  if (prepared.src == Where::pageable) {  // staged now, moved later
    auto stage = std::make_shared<std::vector<unsigned char>>(copy.width * copy.height);
    Copy{stage->data(), copy.width, copy.src, copy.src_pitch, copy.width, copy.height}.run();
    prepared.work.run = [copy, stage] {
      Copy{copy.dst, copy.dst_pitch, stage->data(), copy.width, copy.width, copy.height}.run();
    };
  }
  return cudaSuccess;
}

cudaError_t copy_async(const char* name, const Copy& copy, cudaMemcpyKind kind, cudaStream_t handle) {
  const auto stream = find_stream(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (copy.width == 0 || copy.height == 0) return cudaSuccess;
  Prepared prepared;
  if (const auto error = prepare(name, copy, kind, prepared)) return error;
  const bool pageable = prepared.dst == Where::pageable || prepared.src == Where::pageable;
  if (pageable) {
    if (const auto error = check_not_captured(*stream, "a copy from or to pageable memory")) return error;
  }
  TokenPtr token;
  if (const auto error = enqueue(stream, std::move(prepared.work), {}, &token)) return error;
  if (prepared.dst == Where::pageable) synchronize(token);
  return cudaSuccess;
}

/// cudaMemcpy waits for earlier work, and for the copy itself only as far as the documentation promises.
cudaError_t copy_now(const Copy& copy, cudaMemcpyKind kind) {
  if (const auto error = check_unsafe("cudaMemcpy")) return error;
  if (copy.width == 0) return cudaSuccess;
  Prepared prepared;
  if (const auto error = prepare("cudaMemcpy", copy, kind, prepared)) return error;
  const auto legacy = find_stream(nullptr);
  TokenPtr token;
  if (const auto error = enqueue(legacy, std::move(prepared.work), {}, &token)) return error;
  if (prepared.dst != Where::device || prepared.src == Where::pinned) synchronize(token);
  return cudaSuccess;
}

cudaError_t fill(const char* name, void* pointer, int value, std::size_t bytes, cudaStream_t handle) {
  if (bytes == 0) return cudaSuccess;
  if (!inside_one(pointer, bytes, name)) return cudaErrorInvalidValue;
  Work work{.name = name, .run = [=] {
              std::memset(pointer, value, bytes);
              is_written(pointer, bytes);
            }};
  add_uses(work.uses, {pointer}, How::write, name);
  return enqueue_kernel(handle, std::move(work));
}

Copy flat(void* dst, const void* src, std::size_t bytes) {
  return {static_cast<unsigned char*>(dst), bytes, static_cast<const unsigned char*>(src), bytes, bytes, 1};
}

}  // namespace
}  // namespace fake_cuda::inside

using namespace fake_cuda::inside;

extern "C" {

cudaError_t cudaMemcpy(void* dst, const void* src, size_t bytes, cudaMemcpyKind kind) {
  return call("cudaMemcpy", Kind::synchronize, [&] { return copy_now(flat(dst, src, bytes), kind); });
}

cudaError_t cudaMemcpyAsync(void* dst, const void* src, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return call("cudaMemcpyAsync", Kind::plain, [&] { return copy_async("cudaMemcpyAsync", flat(dst, src, bytes), kind, stream); });
}

cudaError_t cudaMemcpy2DAsync(void* dst, size_t dst_pitch, const void* src, size_t src_pitch, size_t width, size_t height,
                              cudaMemcpyKind kind, cudaStream_t stream) {
  return call("cudaMemcpy2DAsync", Kind::plain, [&] {
    const Copy copy{
        static_cast<unsigned char*>(dst), dst_pitch, static_cast<const unsigned char*>(src), src_pitch, width, height};
    return copy_async("cudaMemcpy2DAsync", copy, kind, stream);
  });
}

cudaError_t cudaMemset(void* pointer, int value, size_t bytes) {
  return call("cudaMemset", Kind::plain, [&] {
    if (const auto error = check_unsafe("cudaMemset")) return error;
    return fill("cudaMemset", pointer, value, bytes, nullptr);
  });
}

cudaError_t cudaMemsetAsync(void* pointer, int value, size_t bytes, cudaStream_t stream) {
  return call("cudaMemsetAsync", Kind::plain, [&] { return fill("cudaMemsetAsync", pointer, value, bytes, stream); });
}

}  // extern "C"
