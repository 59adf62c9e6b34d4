// SPDX-License-Identifier: Apache-2.0
#include "kernels/activation.hpp"
#include "kernels/kernels.hpp"

namespace lamella::kernels {
namespace {

constexpr int kTiledThreads = 256;

/// A block computes kBatch x kUnits results, stepping along the inputs by kInputs. Of these a thread computes every (kBatch /
/// kRowsOfThread)-th row and every (kUnits / kColumnsOfThread)-th column, so that a warp's reads of shared memory are broadcasts
/// or adjacent.
template <int kBatchTile, int kUnitsTile, int kInputsTile, int kRowsOfThread, int kColumnsOfThread>
struct Tiling {
  static constexpr int kBatch = kBatchTile;
  static constexpr int kUnits = kUnitsTile;
  static constexpr int kInputs = kInputsTile;
  static constexpr int kRows = kRowsOfThread;
  static constexpr int kColumns = kColumnsOfThread;
  static constexpr int kAcross = kUnits / kColumns;
  static constexpr int kDown = kBatch / kRows;
  static_assert(kAcross * kDown == kTiledThreads && kBatch * kInputs % kTiledThreads == 0 &&
                kInputs * kUnits % kTiledThreads == 0);
  static constexpr int kSrcLoads = kBatch * kInputs / kTiledThreads;
  static constexpr int kKernelLoads = kInputs * kUnits / kTiledThreads;

  template <typename C>
  struct Shared {
    C src[kBatch][kInputs + 1];  // one extra column, so that rows start in different banks
    C kernel[kInputs][kUnits];
  };
  /// Reuses that memory after the last product is added, so that the code contains the activation once, not once per result.
  template <typename C>
  using Sums = C[kBatch][kUnits];
  template <typename C>
  static constexpr std::size_t kSharedBytes = sizeof(Shared<C>) > sizeof(Sums<C>) ? sizeof(Shared<C>) : sizeof(Sums<C>);
};

template <typename T>
struct Gemm {
  using C = ComputeOf<T>;
  const T* src;
  const T* kernel;
  const C* bias;
  T* dst;
  std::int64_t batch, inputs, units, kernel_stride;
  ActivationKind activation;
  Parameters<C> parameters;
};

/// The elements of the next step, in transit from global to shared memory.
template <typename T, typename Tiles>
struct Step {
  using C = ComputeOf<T>;
  T src[Tiles::kSrcLoads];
  T kernel[Tiles::kKernelLoads];

  LAMELLA_DEVICE void load(const Gemm<T>& g, std::int64_t batch0, std::int64_t units0, std::int64_t inputs0) {
    LAMELLA_UNROLL
    for (int n = 0; n < Tiles::kSrcLoads; ++n) {
      const int at = static_cast<int>(thread_index()) + n * kTiledThreads;
      const std::int64_t b = batch0 + at / Tiles::kInputs;
      const std::int64_t i = inputs0 + at % Tiles::kInputs;
      src[n] = b < g.batch && i < g.inputs ? g.src[b * g.inputs + i] : T{};
    }
    LAMELLA_UNROLL
    for (int n = 0; n < Tiles::kKernelLoads; ++n) {
      const int at = static_cast<int>(thread_index()) + n * kTiledThreads;
      const std::int64_t i = inputs0 + at / Tiles::kUnits;
      const std::int64_t u = units0 + at % Tiles::kUnits;
      kernel[n] = i < g.inputs && u < g.units ? g.kernel[i * g.kernel_stride + u] : T{};
    }
  }

  LAMELLA_DEVICE void put(typename Tiles::template Shared<C>& shared) const {
    LAMELLA_UNROLL
    for (int n = 0; n < Tiles::kSrcLoads; ++n) {
      const int at = static_cast<int>(thread_index()) + n * kTiledThreads;
      shared.src[at / Tiles::kInputs][at % Tiles::kInputs] = widen<C>(src[n]);
    }
    LAMELLA_UNROLL
    for (int n = 0; n < Tiles::kKernelLoads; ++n) {
      const int at = static_cast<int>(thread_index()) + n * kTiledThreads;
      shared.kernel[at / Tiles::kUnits][at % Tiles::kUnits] = widen<C>(kernel[n]);
    }
  }
};

/// Adds the products of `count` inputs, one after another.
template <typename Tiles, typename C>
LAMELLA_DEVICE void multiply(C (&sums)[Tiles::kRows][Tiles::kColumns], const typename Tiles::template Shared<C>& shared, int down,
                             int across, int count) {
  for (int i = 0; i < count; ++i) {
    C x[Tiles::kRows];
    C w[Tiles::kColumns];
    LAMELLA_UNROLL
    for (int r = 0; r < Tiles::kRows; ++r) x[r] = shared.src[down + r * Tiles::kDown][i];
    LAMELLA_UNROLL
    for (int c = 0; c < Tiles::kColumns; ++c) w[c] = shared.kernel[i][across + c * Tiles::kAcross];
    LAMELLA_UNROLL
    for (int r = 0; r < Tiles::kRows; ++r) {
      LAMELLA_UNROLL
      for (int c = 0; c < Tiles::kColumns; ++c) sums[r][c] = core::math::fma(x[r], w[c], sums[r][c]);
    }
  }
}

/// Bias and activation; adjacent threads take adjacent elements.
template <typename Tiles, typename T, typename C>
LAMELLA_DEVICE void finish(const Gemm<T>& g, const C (&sums)[Tiles::kBatch][Tiles::kUnits], std::int64_t batch0,
                           std::int64_t units0) {
  LAMELLA_NO_UNROLL
  for (int n = 0; n < Tiles::kBatch * Tiles::kUnits / kTiledThreads; ++n) {
    const int at = static_cast<int>(thread_index()) + n * kTiledThreads;
    const std::int64_t b = batch0 + at / Tiles::kUnits;
    const std::int64_t u = units0 + at % Tiles::kUnits;
    if (b >= g.batch || u >= g.units) continue;
    const C bias = g.bias != nullptr ? g.bias[u] : C(-0.0);  // x + -0 is x
    const C sum = sums[at / Tiles::kUnits][at % Tiles::kUnits];
    g.dst[b * g.units + u] = narrow<T>(activate<FormulaOf<T>>(g.activation, sum + bias, g.parameters));
  }
}

template <typename T, typename Tiles>
LAMELLA_DEVICE void block_of_results(const Gemm<T>& g, std::int64_t batch0, std::int64_t units0) {
  using C = ComputeOf<T>;
  auto& shared = shared_memory<typename Tiles::template Shared<C>>();
  const int down = static_cast<int>(thread_index()) / Tiles::kAcross;
  const int across = static_cast<int>(thread_index()) % Tiles::kAcross;
  C sums[Tiles::kRows][Tiles::kColumns] = {};
  Step<T, Tiles> step;
  step.load(g, batch0, units0, 0);
  for (std::int64_t i = 0; i < g.inputs; i += Tiles::kInputs) {
    step.put(shared);
    barrier();
    if (i + Tiles::kInputs < g.inputs) step.load(g, batch0, units0, i + Tiles::kInputs);
    const std::int64_t left = g.inputs - i;
    if (left >= Tiles::kInputs) {
      multiply<Tiles>(sums, shared, down, across, Tiles::kInputs);
    } else {
      multiply<Tiles>(sums, shared, down, across, static_cast<int>(left));
    }
    barrier();
  }
  auto& results = shared_memory<typename Tiles::template Sums<C>>();
  LAMELLA_UNROLL
  for (int r = 0; r < Tiles::kRows; ++r) {
    LAMELLA_UNROLL
    for (int c = 0; c < Tiles::kColumns; ++c) results[down + r * Tiles::kDown][across + c * Tiles::kAcross] = sums[r][c];
  }
  barrier();
  finish<Tiles>(g, results, batch0, units0);
  barrier();
}

template <typename T, typename Tiles>
LAMELLA_KERNEL(kTiledThreads)
tiled_gemm_kernel(Gemm<T> g) {
  for (std::int64_t u = block_y() * Tiles::kUnits; u < g.units; u += grid_y() * Tiles::kUnits) {
    for (std::int64_t b = block_x() * Tiles::kBatch; b < g.batch; b += grid_x() * Tiles::kBatch)
      block_of_results<T, Tiles>(g, b, u);
  }
}

template <typename Tiles, typename T>
cudaError_t launch_gemm(const Gemm<T>& g, cudaStream_t stream) {
  const dim3 grid(blocks(tiles(g.batch, Tiles::kBatch)), blocks(tiles(g.units, Tiles::kUnits), kMaxGridY));
  return launch({.grid = grid, .threads = kTiledThreads, .shared = Tiles::template kSharedBytes<ComputeOf<T>>, .stream = stream},
                tiled_gemm_kernel<T, Tiles>, g);
}

}  // namespace

/// Every sum runs over the inputs in order, so both tilings give the same bits.
cudaError_t tiled_gemm(const Dense& args, std::int64_t kernel_stride, cudaStream_t stream) {
  if (args.batch == 0 || args.units == 0) return cudaSuccess;
  if (is_rowwise(args.activation.kind)) return cudaErrorInvalidValue;
  return visit_floating(args.dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    using C = ComputeOf<T>;
    const Gemm<T> g{static_cast<const T*>(args.src),
                    static_cast<const T*>(args.kernel),
                    static_cast<const C*>(args.bias),
                    static_cast<T*>(args.dst),
                    args.batch,
                    args.inputs,
                    args.units,
                    kernel_stride,
                    args.activation.kind,
                    Parameters<C>(args.activation)};
    if (args.batch <= 16) return launch_gemm<Tiling<16, 32, 64, 2, 1>>(g, stream);
    return launch_gemm<Tiling<64, 64, 16, 4, 4>>(g, stream);
  });
}

}  // namespace lamella::kernels
