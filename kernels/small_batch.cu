// SPDX-License-Identifier: Apache-2.0
#include "kernels/activation.hpp"
#include "kernels/kernels.hpp"

namespace lamella::kernels {
namespace {

constexpr int kSmallBatchThreads = 256;
constexpr int kWarps = kSmallBatchThreads / static_cast<int>(kWarp);
constexpr int kMostAcross = 8;

template <typename T>
struct Small {
  const T* src;
  const T* kernel;
  const float* bias;
  T* dst;
  std::int64_t batch, inputs, units, kernel_stride;
  ActivationKind activation;
  Parameters<float> parameters;
  int across_log2;  ///< packs of units that a block makes
};

/// A pack of a kernel's row is 16 bytes.
template <typename T>
inline constexpr int kPack = 16 / static_cast<int>(sizeof(T));

/// Sums of the warps, row by row.
template <typename T, int kRows>
struct SmallShared {
  float partial[kWarps][kRows][kMostAcross * kPack<T>];
};

/// One thread's part of the sums of kRows rows and one pack of units: every `splits`-th input from `first` on.
template <int kRows, typename T>
LAMELLA_DEVICE void add_products(float (&sums)[kRows][kPack<T>], const Small<T>& g, std::int64_t unit, std::int64_t first,
                                 std::int64_t splits) {
  constexpr int kWidth = kPack<T>;
  constexpr int kInFlight = kRows * kWidth > 32 ? 2 : 4;
  for (std::int64_t i0 = first; i0 < g.inputs; i0 += splits * kInFlight) {
    Pack<T, kWidth> w[kInFlight];
    T x[kInFlight][kRows];
    LAMELLA_UNROLL
    for (int n = 0; n < kInFlight; ++n) {
      const std::int64_t i = i0 + n * splits;
      const bool there = i < g.inputs;
      load(w[n], g.kernel + (there ? i * g.kernel_stride + unit : 0), there ? kWidth : 0);
      LAMELLA_UNROLL
      for (int r = 0; r < kRows; ++r) x[n][r] = there && r < g.batch ? g.src[r * g.inputs + i] : T{};
    }
    LAMELLA_UNROLL
    for (int n = 0; n < kInFlight; ++n) {
      LAMELLA_UNROLL
      for (int r = 0; r < kRows; ++r) {
        LAMELLA_UNROLL
        for (int k = 0; k < kWidth; ++k)
          sums[r][k] = core::math::fma(widen<float>(x[n][r]), widen<float>(w[n].at[k]), sums[r][k]);
      }
    }
  }
}

/// A block makes all rows of a few packs of units. Its threads lie side by side along the packs and divide the inputs; their
/// parts are added lane by lane, then warp by warp.
template <typename T, int kRows>
LAMELLA_KERNEL(kSmallBatchThreads)
small_batch_kernel(Small<T> g) {
  constexpr int kWidth = kPack<T>;
  auto& shared = shared_memory<SmallShared<T, kRows>>();
  const int thread = static_cast<int>(thread_index());
  const int across = 1 << g.across_log2;
  const int pack = thread & (across - 1);
  const std::int64_t unit0 = block_x() * across * kWidth;
  const std::int64_t unit = unit0 + pack * kWidth;
  float sums[kRows][kWidth] = {};
  if (unit < g.units) add_products<kRows>(sums, g, unit, thread >> g.across_log2, kSmallBatchThreads >> g.across_log2);
  for (unsigned mask = kWarp / 2; mask >= static_cast<unsigned>(across); mask /= 2) {
    LAMELLA_UNROLL
    for (int r = 0; r < kRows; ++r) {
      LAMELLA_UNROLL
      for (int k = 0; k < kWidth; ++k) sums[r][k] += shuffle_xor(sums[r][k], mask);
    }
  }
  const int warp = thread / static_cast<int>(kWarp);
  if (thread % static_cast<int>(kWarp) < across) {
    LAMELLA_UNROLL
    for (int r = 0; r < kRows; ++r) {
      LAMELLA_UNROLL
      for (int k = 0; k < kWidth; ++k) shared.partial[warp][r][pack * kWidth + k] = sums[r][k];
    }
  }
  barrier();
  const int columns = across * kWidth;
  for (int at = thread; at < kRows * columns; at += kSmallBatchThreads) {
    const int r = at / columns;
    const int c = at % columns;
    const std::int64_t u = unit0 + c;
    if (r >= g.batch || u >= g.units) continue;
    float sum = shared.partial[0][r][c];
    for (int w = 1; w < kWarps; ++w) sum += shared.partial[w][r][c];
    const float bias = g.bias != nullptr ? g.bias[u] : -0.0F;  // x + -0 is x
    g.dst[r * g.units + u] = narrow<T>(activate(g.activation, sum + bias, g.parameters));
  }
}

template <int kRows, typename T>
cudaError_t launch_small(Small<T> g, cudaStream_t stream) {
  const std::int64_t packs = tiles(g.units, kPack<T>);
  g.across_log2 = packs >= 1024 ? 3 : (packs >= 512 ? 2 : 1);  // few packs a block, so that there are blocks for the whole device
  return launch({.grid = dim3(blocks(tiles(packs, std::int64_t{1} << g.across_log2))),
                 .threads = kSmallBatchThreads,
                 .shared = sizeof(SmallShared<T, kRows>),
                 .stream = stream},
                small_batch_kernel<T, kRows>, g);
}

template <typename T>
cudaError_t small_batch_as(const Dense& args, std::int64_t kernel_stride, cudaStream_t stream) {
  if (!aligned(args.kernel) || kernel_stride % kPack<T> != 0) return cudaErrorInvalidValue;
  const Small<T> g{static_cast<const T*>(args.src),
                   static_cast<const T*>(args.kernel),
                   static_cast<const float*>(args.bias),
                   static_cast<T*>(args.dst),
                   args.batch,
                   args.inputs,
                   args.units,
                   kernel_stride,
                   args.activation.kind,
                   Parameters<float>(args.activation),
                   0};
  if (args.batch == 1) return launch_small<1>(g, stream);
  if (args.batch == 2) return launch_small<2>(g, stream);
  if (args.batch <= 4) return launch_small<4>(g, stream);
  return launch_small<8>(g, stream);
}

}  // namespace

cudaError_t small_batch(const Dense& args, std::int64_t kernel_stride, cudaStream_t stream) {
  if (args.batch == 0 || args.units == 0) return cudaSuccess;
  if (args.batch > kSmallBatch || is_rowwise(args.activation.kind)) return cudaErrorInvalidValue;
  if (args.dtype == DType::float32) return small_batch_as<float>(args, kernel_stride, stream);
  return visit_16_bits(args.dtype,
                       [&](auto t) { return small_batch_as<typename decltype(t)::type>(args, kernel_stride, stream); });
}

}  // namespace lamella::kernels
