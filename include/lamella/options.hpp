// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <lamella/device.hpp>
#include <lamella/dtype.hpp>
#include <lamella/export.hpp>

namespace lamella {

/// How float32 products are computed. Exact is the default; anything less is requested by name.
enum class Math {
  exact,  ///< float32 operands are multiplied and added as float32
  tf32,   ///< float32 operands may be rounded to TensorFloat-32 (CUDA only; the CPU computes exactly)
};

/// What may happen to a product before it is stored.
enum class Fusion {
  automatic,  ///< the best engine that does not refuse
  none,       ///< three passes: product, bias, activation. The baseline of the bench
  epilogue,   ///< product, then bias and activation in one pass of lamella's own
  library,    ///< bias and activation inside the vendor's product, where its formula is Keras' formula
};

/// What may change the bits of a result. At every level sums have a fixed order, without atomics.
enum class Determinism {
  run_to_run,       ///< the same call gives the same bits on the same machine, run after run
  batch_invariant,  ///< and a row's bits depend on that row alone: not on the batch, its place in it or its neighbours. Slower
};

/// Keras 2's hard_sigmoid is clip(0.2x + 0.5), Keras 3's clip(x/6 + 0.5).
enum class HardSigmoid {
  as_written,  ///< the formula of the Keras that wrote the file: what its author measured
  keras2,
  keras3,
};

/// How a model is compiled. Plain data; every field has the default that most callers want.
struct Options {
  Device device = Device::automatic();  ///< resolved once, when the Model is made
  /// Compute type of every layer: float32, bfloat16, float16 or float64; unset: the layers' own dtype policies.
  std::optional<DType> dtype = std::nullopt;
  Math math = Math::exact;
  Fusion fusion = Fusion::automatic;
  Determinism determinism = Determinism::run_to_run;
  std::string engine = {};  ///< the name of one Dense engine to force; empty: the first of the list that does not refuse
  int threads = 0;  ///< CPU threads a call may use; 0: LAMELLA_THREADS, else one per core. Fewer where the system makes no more
  std::int64_t max_batch = 4096;     ///< rows that run at once; larger inputs are split. The CPU takes fewer where that is faster
  std::size_t cached_programs = 32;  ///< programs (one per batch size) kept per model; the least recently used goes first
  /// Bytes of device memory that the model and its copies may hold, weights and buffers; 0: no limit. CUDA only.
  std::size_t memory_limit = 0;
  bool graphs = true;  ///< repeated calls replay a CUDA graph; false: every call enqueues step by step
  /// An NVTX range around each step, named after its layers, so that a profile reads like the model; no graphs then.
  bool profile = false;
  HardSigmoid hard_sigmoid = HardSigmoid::as_written;
};

/// What Options::engine may be on a device, best first. Throws DeviceError.
[[nodiscard]] LAMELLA_API std::vector<std::string> engine_names(Device device);

}  // namespace lamella
