// SPDX-License-Identifier: Apache-2.0
#include <map>

#include "world.hpp"

namespace fake_cuda::inside {
namespace {

/// The thread that is in a call with each handle. It has its own lock: a second thread must get here while the first holds the
/// world's.
struct Users {
  std::mutex mutex;
  std::map<const void*, std::multiset<std::thread::id>> inside;
};
Users& users() {
  static auto* const only = new Users;
  return *only;
}

}  // namespace

HandleUse::HandleUse(const void* handle, const char* name) : handle_(handle) {
  bool shared = false;
  {
    const std::lock_guard lock(users().mutex);
    auto& inside = users().inside[handle];
    shared = inside.size() != inside.count(std::this_thread::get_id());
    inside.insert(std::this_thread::get_id());
  }
  if (shared) misuse(std::string(name) + ": two threads are in calls with the same handle");
}

HandleUse::~HandleUse() {
  const std::lock_guard lock(users().mutex);
  const auto at = users().inside.find(handle_);
  at->second.erase(at->second.find(std::this_thread::get_id()));
  if (at->second.empty()) users().inside.erase(at);
}

Handle* new_handle(const char* library) {
  auto* const handle = new Handle;
  handle->device = thread().device;
  handle->library = library;
  world().handles.insert(handle);
  return handle;
}

bool drop_handle(Handle* handle, const char* name) {
  if (world().handles.erase(handle) == 0) {
    misuse(std::string(name) + " of a handle that does not exist (any more)");
    return false;
  }
  if (handle->device != thread().device) misuse(std::string(name) + " while another device than the handle's is current");
  if (check_device_wait(handle->device, name) != cudaSuccess)
    misuse(std::string(name) + " waits for a device while a stream of it is being captured");
  else
    synchronize_device(handle->device);
  delete handle;
  return true;
}

bool drop_descriptor(const void* descriptor, const char* name) {
  if (world().descriptors.erase(descriptor) != 0) return true;
  misuse(std::string(name) + " of a descriptor that does not exist (any more)");
  return false;
}

}  // namespace fake_cuda::inside
