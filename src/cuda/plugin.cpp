// SPDX-License-Identifier: Apache-2.0
// The entry point of liblamella_cuda.so.
#include <string_view>

#include <lamella/export.hpp>
#include <lamella/version.hpp>

#include "core/check.hpp"
#include "cuda/backend.hpp"
#include "cuda/status.hpp"

extern "C" LAMELLA_API lamella::core::Backend* lamella_cuda_plugin_1(const char* version, std::string& why_not) {
  using lamella::cuda::CudaBackend;
  if (version != lamella::version()) {
    why_not = lamella::core::format("the CUDA plugin has version {}, lamella has version {}", lamella::version(), version);
    return nullptr;
  }
  const int devices = lamella::cuda::usable_devices(why_not);
  if (devices == 0) return nullptr;
  try {
    // Never destroyed: CUDA may be unloaded before static objects are destroyed, and callers' static objects may hold memory
    // after main().
    static auto* const backend = new CudaBackend(devices);
    return backend;
  } catch (const std::exception& error) {
    why_not = lamella::core::without_code(error.what());
    return nullptr;
  }
}
