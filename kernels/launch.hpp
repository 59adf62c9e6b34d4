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
  unsigned cluster = 1;   ///< blocks of a cluster, along x; more than one from compute capability 9.0 on
  bool overlaps = false;  ///< may begin once all blocks of the kernel before it on the stream have called let_next_begin()
};

inline constexpr std::size_t kMostShared = 48 << 10;  ///< bytes that a block may have without asking for more
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
  cudaLaunchAttribute attributes[2] = {};
  config.attrs = attributes;
  if (how.overlaps) {
    cudaLaunchAttribute& attribute = attributes[config.numAttrs++];
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
  }
  if (how.cluster > 1) {
    cudaLaunchAttribute& attribute = attributes[config.numAttrs++];
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = how.cluster;
    attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
  }
  if (how.shared > kMostShared) {
    const cudaError_t status = cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                                    cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(how.shared));
    if (status != cudaSuccess) return status;
  }
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

}  // namespace lamella::kernels
