// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "ops/desc.hpp"

/// What Dense engines are expected to take on a GPU, in microseconds, inside a graph. Counted, and never measured on one:
/// docs/performance.md says from what.
namespace lamella::cuda {

/// Bytes of sums that are still in the second-level cache when the pass after a product reads them.
inline constexpr std::int64_t kSumsInSecondCache = 24'000'000;

inline constexpr double kLaunchUs = 1.6;  ///< of a kernel that is a node of a graph
inline constexpr double kStartUs = 0.8;   ///< from a kernel's first load to its first sum, and its last stores

/// What the predictions know of a GPU.
struct Hardware {
  int architecture = 90;  ///< compute capability, as 90 for 9.0
  int multiprocessors = 132;
  double gigahertz = 1.83;
  double gigabytes_per_second = 4300;  ///< of a copy: bytes read and written
  int shared_bytes = 227 << 10;        ///< of shared memory that a block may ask for

  /// The hardware of a device; what its driver does not say is taken from the number of its multiprocessors.
  [[nodiscard]] static Hardware of(int device);
};

/// cuBLASLt's product, written once in the compute type or, with `fused`, after bias and activation in the dtype.
[[nodiscard]] double predicted_library_us(const ops::DenseDesc& d, const Hardware& on, bool fused);
/// One more pass over the results: bias, activation or both.
[[nodiscard]] double predicted_pass_us(const ops::DenseDesc& d, const Hardware& on);
/// What a layer of few rows takes less if it begins before the one before it has ended.
inline constexpr double kOverlapSavesUs = 1.2;
/// `mma`: by tensor cores.
[[nodiscard]] double predicted_small_batch_us(const ops::DenseDesc& d, const Hardware& on, bool mma);
/// Whether mma_gemm divides the inputs among warps and blocks, by the kernel for few rows, which makes a row's bits depend on the
/// batch: where so few blocks would take them in order that a large GPU had little on its way (docs/performance.md).
[[nodiscard]] bool mma_gemm_divides_inputs(const ops::DenseDesc& d);
[[nodiscard]] double predicted_mma_gemm_us(const ops::DenseDesc& d, const Hardware& on);
[[nodiscard]] double predicted_mma_gemm_float32_us(const ops::DenseDesc& d, const Hardware& on);
[[nodiscard]] double predicted_tiled_us(const ops::DenseDesc& d, const Hardware& on);

/// A quantized layer, which has one way to be computed.
[[nodiscard]] double predicted_quantized_us(const ops::QuantizedDenseDesc& d, const Hardware& on);

/// A layer by itself: the least of the above that take it.
[[nodiscard]] double predicted_alone_us(const ops::DenseDesc& d, const Hardware& on);

/// Multiply-adds of one multiprocessor in one cycle of `stack`.
[[nodiscard]] double stack_rate(DType dtype, const Hardware& on);
/// All layers by `stack`.
[[nodiscard]] double predicted_stack_us(const ops::StackDesc& d, const Hardware& on);
/// Few rows of float32 through all layers by `cluster`.
[[nodiscard]] double predicted_cluster_us(const ops::StackDesc& d, const Hardware& on);
/// The layers one by one; `overlaps`: CudaDevice::overlaps.
[[nodiscard]] double predicted_apart_us(const ops::StackDesc& d, const Hardware& on, bool overlaps);

}  // namespace lamella::cuda
