// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <lamella/device.hpp>
#include <lamella/dtype.hpp>
#include <lamella/export.hpp>

namespace lamella {

/// How float32 products are computed. Exact is the default; anything less is requested by name.
enum class Math {
  exact,  ///< float32 operands are multiplied and added as float32
  tf32,   ///< float32 operands may be rounded to TensorFloat-32 (CUDA only; the CPU computes exactly)
  /// float32 operands may be split into three bfloat16, of whose nine products tensor cores add the six largest: errors are about
  /// those of float32, docs/accuracy.md says when (CUDA only).
  bf16x6,
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
  batch_invariant,  ///< and a row's bits depend on that row alone: not on the batch, its position in it or its neighbours. Slower
};

/// How the engine of a Dense layer is chosen among those that do not refuse, and on a GPU whether consecutive layers run in one
/// launch. `cached` and `measure` have no effect if an engine is forced, or with Determinism::batch_invariant, because the
/// fastest engine depends on the batch.
enum class Tuning {
  off,      ///< by rule: the one predicted to be the fastest. Nothing is run, nothing is read
  cached,   ///< the fastest in earlier measurements on this machine, if there are any; else by rule
  measure,  ///< as `cached`, but measures what is missing when a batch size is first seen, in some tens of milliseconds per layer
};

/// Keras 2's hard_sigmoid is clip(0.2x + 0.5), Keras 3's clip(x/6 + 0.5).
enum class HardSigmoid {
  as_written,  ///< the formula of the version of Keras that wrote the file
  keras2,
  keras3,
};

/// The enumerator's name; "none of Math" and so on for a number outside the enumeration.
[[nodiscard]] LAMELLA_API std::string_view to_string(Math math) noexcept;
[[nodiscard]] LAMELLA_API std::string_view to_string(Fusion fusion) noexcept;
[[nodiscard]] LAMELLA_API std::string_view to_string(Determinism determinism) noexcept;
[[nodiscard]] LAMELLA_API std::string_view to_string(Tuning tuning) noexcept;
[[nodiscard]] LAMELLA_API std::string_view to_string(HardSigmoid hard_sigmoid) noexcept;

/// How a model is compiled. Plain data; every field has the default that most callers want.
struct Options {
  Device device = Device::automatic();  ///< resolved once, when the Model is made
  /// Compute type of every layer: float32, bfloat16, float16 or float64; unset: the layers' own dtype policies.
  std::optional<DType> dtype = std::nullopt;
  Math math = Math::exact;
  Fusion fusion = Fusion::automatic;
  Determinism determinism = Determinism::run_to_run;
  std::string engine = {};  ///< the name of one Dense engine to force; empty: see `tuning`
  /// CPU threads that a call may use; 0: LAMELLA_THREADS, else the processors of the process's affinity mask, or fewer if its
  /// control group (a container's CPU limit) allows fewer. Fewer also if the system cannot create more.
  int threads = 0;
  std::int64_t max_batch = 4096;     ///< rows that run at once; larger inputs are split. The CPU takes fewer where that is faster
  std::size_t cached_programs = 32;  ///< programs (one per batch size) kept per model; the least recently used is dropped first
  /// Bytes of device memory that the model and its copies may hold, weights and buffers; 0: no limit. CUDA only.
  std::size_t memory_limit = 0;
  bool graphs = true;  ///< repeated calls replay a CUDA graph; false: every call enqueues step by step
  /// NVTX ranges around steps, named after their layers; turns graphs off. On the CPU steps are timed, and explain() shows it.
  bool profile = false;
  HardSigmoid hard_sigmoid = HardSigmoid::as_written;
  /// Measurements are stored in LAMELLA_TUNING_FILE, else lamella/tuning.json under XDG_CACHE_HOME or ~/.cache, and apply to this
  /// machine, device, and version of lamella and the libraries: with them the choice, and so the bits, are the same in each run.
  Tuning tuning = Tuning::off;
  /// Allows Model::update_weights(): the model keeps its own copy of all weights, and so does every model made from it. `tuning`
  /// then has no effect.
  alignas(std::uint64_t) bool updatable = false;
  /// Zeros. Room for options of later versions, whose defaults are zeros: programs need not be recompiled for these.
  std::array<std::uint64_t, 6> reserved = {};
};

/// The values that Options::engine accepts on a device. Throws DeviceError.
[[nodiscard]] LAMELLA_API std::vector<std::string> engine_names(Device device);

}  // namespace lamella
