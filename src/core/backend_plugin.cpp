// SPDX-License-Identifier: Apache-2.0
// The CUDA device in a build with CUDA: a plugin next to the library, opened on first use and never closed.
#include <dlfcn.h>
#include <sys/stat.h>

#include <cstdlib>
#include <exception>
#include <filesystem>
#include <mutex>

#include <lamella/version.hpp>

#include "core/backend.hpp"
#include "core/check.hpp"
#include "core/mutex.hpp"

namespace lamella::core {
namespace {

struct Opened {
  Backend* backend = nullptr;
  std::string why_not;
};

/// LAMELLA_CUDA_PLUGIN; empty if it is not set. A program with more rights than its caller (setuid) ignores the environment.
std::string plugin_of_environment() {
  const char* const path = ::secure_getenv("LAMELLA_CUDA_PLUGIN");
  return path == nullptr ? std::string() : path;
}

/// The plugin in the folder of this library, else on the loader's search path.
std::string installed_plugin() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&installed_plugin), &info) != 0 && info.dli_fname != nullptr) {
    const auto beside = std::filesystem::path(info.dli_fname).parent_path() / LAMELLA_CUDA_PLUGIN_FILE;
    std::error_code ignored;
    if (std::filesystem::exists(beside, ignored)) return beside.string();
  }
  return LAMELLA_CUDA_PLUGIN_FILE;
}

/// Whether the driver's library can be opened, which CUDA would open in the same way. It stays open.
bool has_driver() { return dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE) != nullptr; }

Opened open() {
  std::string path = plugin_of_environment();
  if (path.empty()) {
    // A plugin would say so as well, after a tenth of a second for loading CUDA's libraries.
    if (!has_driver()) return {nullptr, "no NVIDIA driver was found on this machine"};
    path = installed_plugin();
  }
  // Opening a FIFO or a device could block forever. The loader searches for a path without a slash.
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
    return {nullptr, core::format("the CUDA plugin cannot be opened: {} is not a regular file", escaped(path, 1024))};
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) {
    const char* const from = path == LAMELLA_CUDA_PLUGIN_FILE ? LAMELLA_CUDA_PLUGIN_FROM : "";  // it is missing
    return {nullptr, core::format("the CUDA plugin cannot be opened: {}{}", escaped(dlerror(), 1024), from)};
  }
  auto* const entry = reinterpret_cast<CudaPlugin>(dlsym(library, "lamella_cuda_plugin_1"));
  if (entry == nullptr) return {nullptr, core::format("{} is not lamella's CUDA plugin", escaped(path, 1024))};
  Opened result;
  try {
    result.backend = entry(std::string(version()).c_str(), result.why_not);
  } catch (const std::exception& error) {
    result.why_not = core::format("the CUDA plugin failed: {}", escaped(error.what(), 1024));
  } catch (...) {
    result.why_not = "the CUDA plugin failed: it threw an exception of unknown type";
  }
  return result;
}

Mutex& mutex = *new Mutex;

/// A refusal is cached for the life of the process, and not destroyed at exit.
const Opened& opened() {
  static const Opened* result = nullptr;
  const std::lock_guard lock(mutex);
  if (result == nullptr) result = new Opened(open());
  return *result;
}

}  // namespace

std::string why_no_cuda_backend() { return opened().backend != nullptr ? std::string() : opened().why_not; }

Backend& cuda_backend() {
  if (opened().backend == nullptr) throw DeviceError(ErrorCode::device, core::format("[cuda] {}", opened().why_not));
  return *opened().backend;
}

}  // namespace lamella::core
