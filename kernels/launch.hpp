// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include <cuda_runtime_api.h>

#include "core/math.hpp"

#ifndef __CUDACC__
#include <functional>
#include <tuple>

#include "tests/fake_cuda/grid.hpp"
#endif

/// The one way to launch. Under nvcc it is CUDA's; under a plain host compiler the same kernel is C++, and the whole grid becomes
/// one function that is handed to submit().

#ifdef __CUDACC__
// At least 512 threads of a multiprocessor: at most 128 registers each. Told nothing, ptxas aims at more threads, and spills for
// them.
#define LAMELLA_KERNEL(threads) __global__ void __launch_bounds__(threads, (threads) < 512 ? 512 / (threads) : 1)
#define LAMELLA_DEVICE __device__ __forceinline__
#define LAMELLA_UNROLL _Pragma("unroll")
#define LAMELLA_NO_UNROLL _Pragma("unroll 1")
#else
#define LAMELLA_KERNEL(threads) void
#define LAMELLA_DEVICE inline
#define LAMELLA_UNROLL
#define LAMELLA_NO_UNROLL
#endif

namespace lamella::kernels {

struct Launch {
  dim3 grid{1, 1, 1};
  unsigned threads = 256;  ///< of a block
  std::size_t shared = 0;  ///< bytes of shared memory
  bool barriers = false;   ///< the kernel has barriers, shuffles or votes; then `threads` is a multiple of 32
  cudaStream_t stream = nullptr;
};

inline constexpr std::int64_t kMaxGridX = 0x7FFF'FFFF;
inline constexpr std::int64_t kMaxGridY = 0xFFFF;

/// ceil(n / size)
LAMELLA_HD constexpr std::int64_t tiles(std::int64_t n, std::int64_t size) { return n / size + (n % size != 0 ? 1 : 0); }

/// As many blocks as that, or as many as there may be: kernels stride over the rest.
constexpr unsigned blocks(std::int64_t wanted, std::int64_t most = kMaxGridX) {
  return static_cast<unsigned>(wanted < most ? wanted : most);
}

#ifdef __CUDACC__

template <typename... Parameters>
cudaError_t launch(const Launch& how, void (*kernel)(Parameters...), Parameters... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = how.grid;
  config.blockDim = dim3(how.threads, 1, 1);
  config.dynamicSmemBytes = how.shared;
  config.stream = how.stream;
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

#else

/// Enqueues the whole grid. Defined by whoever links the kernels under a host compiler, as is touch_argument(), which is told of
/// every argument before. `kernel` tells kernels apart.
cudaError_t submit(cudaStream_t stream, std::function<void()> run_grid, const void* kernel);
void touch_argument(const void* bytes, std::size_t size);

template <typename... Parameters>
cudaError_t launch(const Launch& how, void (*kernel)(Parameters...), Parameters... arguments) {
  const host_grid::GridConfig config{{how.grid.x, how.grid.y, how.grid.z}, how.threads, how.shared, how.barriers};
  if (!host_grid::legal(config)) return cudaErrorInvalidConfiguration;
  (touch_argument(&arguments, sizeof(arguments)), ...);
  return submit(
      how.stream,
      [config, kernel, held = std::tuple(arguments...)] { host_grid::run_grid(config, [&] { std::apply(kernel, held); }); },
      reinterpret_cast<const void*>(kernel));
}

#endif

}  // namespace lamella::kernels
