// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include <cuda_runtime_api.h>

#include "core/math.hpp"

// At least 512 threads per multiprocessor, so at most 128 registers each. By default, ptxas aims at more threads, and
// spills.
#define LAMELLA_KERNEL(threads) __global__ void __launch_bounds__(threads, (threads) < 512 ? 512 / (threads) : 1)
#define LAMELLA_DEVICE __device__ __forceinline__
#define LAMELLA_UNROLL _Pragma("unroll")
#define LAMELLA_NO_UNROLL _Pragma("unroll 1")

namespace lamella::kernels {

struct Launch {
  dim3 grid{1, 1, 1};
  unsigned threads = 256;  ///< of a block
  std::size_t shared = 0;  ///< bytes of shared memory
  cudaStream_t stream = nullptr;
  bool overlaps = false;  ///< may begin once all blocks of the kernel before it on the stream have called let_next_begin()
};

inline constexpr std::int64_t kMaxGridX = 0x7FFF'FFFF;
inline constexpr std::int64_t kMaxGridY = 0xFFFF;

/// ceil(n / size)
LAMELLA_HD constexpr std::int64_t tiles(std::int64_t n, std::int64_t size) { return n / size + (n % size != 0 ? 1 : 0); }

/// That many blocks, or the maximum: kernels stride over the rest.
constexpr unsigned blocks(std::int64_t wanted, std::int64_t most = kMaxGridX) {
  return static_cast<unsigned>(wanted < most ? wanted : most);
}

/// The one way to launch.
template <typename... Parameters>
cudaError_t launch(const Launch& how, void (*kernel)(Parameters...), Parameters... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = how.grid;
  config.blockDim = dim3(how.threads, 1, 1);
  config.dynamicSmemBytes = how.shared;
  config.stream = how.stream;
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &attribute;
  config.numAttrs = how.overlaps ? 1 : 0;
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

}  // namespace lamella::kernels
