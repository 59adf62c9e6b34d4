// SPDX-License-Identifier: Apache-2.0
#include "kernels/activation.hpp"
#include "kernels/kernels.hpp"
#include "kernels/mma.hpp"
#include "kernels/mma_layout.hpp"
#include "kernels/mma_tiles.hpp"

namespace lamella::kernels {
namespace {

/// A block computes kRows x kUnits results, a warp kRowTiles * 8 rows and 64 units of these, stepping along the inputs in chunks
/// of 32. kStages stages of kChunks chunks are in shared memory; one is multiplied while the others are being copied.
template <int kRowWarps, int kUnitWarps, int kRowTilesOfWarp, int kStagesOfAll, int kChunksOfStage>
struct MmaTiling {
  static constexpr int kAcross = kUnitWarps;
  static constexpr int kRowTiles = kRowTilesOfWarp;
  static constexpr int kStages = kStagesOfAll;
  static constexpr int kChunks = kChunksOfStage;
  static constexpr int kThreads = kRowWarps * kUnitWarps * static_cast<int>(kWarp);
  static constexpr int kRows = kRowWarps * kRowTiles * 8;
  static constexpr int kUnits = kUnitWarps * static_cast<int>(MmaLayout::kUnits);
  static constexpr int kPacks = 4;  ///< of 16 bytes: a row's or a unit's inputs in a chunk
  static constexpr int kSrcCopies = kRows * kPacks / kThreads;
  static constexpr int kKernelCopies = kUnits * kPacks / kThreads;
  static_assert(kRows * kPacks % kThreads == 0 && kUnits * kPacks % kThreads == 0);
  /// The number of a thread's rows whose sums are in shared memory at a time.
  static constexpr int kFinished = 2 * kRowTiles < 6 ? 2 * kRowTiles : 6;

  struct Chunk {
    uint4 src[kRows * kPacks];
    uint4 kernel[kUnits * kPacks];
  };
  union Shared {
    Chunk stages[kStages][kChunks];
    float4 sums[2 * kFinished][kThreads];  ///< each thread's own
  };
  static_assert(sizeof(Shared) <= 48 << 10);  // what a kernel gets without asking for more, and twice that on every GPU
};

template <typename T>
struct Mma {
  const T* src;
  const T* kernel;
  const float* bias;
  T* dst;
  std::int64_t batch, inputs, units, padded_units;
  bool src_packs, dst_packs;  ///< rows are made of aligned packs, of 16 and of 8 bytes
  ActivationKind activation;
  Parameters<float> parameters;
};

/// The part of every chunk that a thread copies.
template <typename T, typename Tiles, bool kSrcPacks>
class Bringing {
 public:
  LAMELLA_DEVICE Bringing(const Mma<T>& g, std::int64_t row0, std::int64_t unit0) {
    const int thread = static_cast<int>(thread_index());
    const std::int64_t row = row0 + thread / Tiles::kPacks;
    const int input = thread % Tiles::kPacks * kWidth;
    src_ = g.src + row * g.inputs + input;
    inputs_ = static_cast<int>(g.inputs) - input;
    rows_ = static_cast<int>(at_most(g.batch - row, Tiles::kRows));
    kernel_ = g.kernel + unit0 * MmaLayout::kInputs + thread * kWidth;
    units_ = static_cast<int>(at_most(g.padded_units - unit0, Tiles::kUnits)) - thread / Tiles::kPacks;
  }

  /// Starts copying a stage: the chunks from number `first` on, as far as they exist.
  LAMELLA_DEVICE void operator()(typename Tiles::Chunk (&stage)[Tiles::kChunks], const Mma<T>& g, int first, int chunks) {
    LAMELLA_UNROLL
    for (int n = 0; n < Tiles::kChunks; ++n) {
      if (first + n < chunks) bring(stage[n], g);
    }
  }

 private:
  LAMELLA_DEVICE void bring(typename Tiles::Chunk& stage, const Mma<T>& g) {
    constexpr int kApart = Tiles::kThreads / Tiles::kPacks;
    const int thread = static_cast<int>(thread_index());
    LAMELLA_UNROLL
    for (int n = 0; n < Tiles::kSrcCopies; ++n) {
      uint4* const to = &stage.src[thread + n * Tiles::kThreads];
      const T* const from = src_ + n * kApart * g.inputs;
      const bool some = n * kApart < rows_;
      if constexpr (kSrcPacks) {
        copy_async(to, from, some && inputs_ > 0 ? 16 : 0);
      } else {
        Pack<T, kWidth> pack;
        LAMELLA_UNROLL
        for (int k = 0; k < kWidth; ++k) pack.at[k] = some && k < inputs_ ? from[k] : T{};
        *reinterpret_cast<Pack<T, kWidth>*>(to) = pack;
      }
    }
    LAMELLA_UNROLL
    for (int n = 0; n < Tiles::kKernelCopies; ++n) {
      copy_async(&stage.kernel[thread + n * Tiles::kThreads], kernel_ + n * Tiles::kThreads * kWidth,
                 n * kApart < units_ ? 16 : 0);
    }
    src_ += MmaLayout::kInputs;
    inputs_ -= static_cast<int>(MmaLayout::kInputs);
    kernel_ += g.padded_units * MmaLayout::kInputs;
  }

  static constexpr int kWidth = 16 / static_cast<int>(sizeof(T));
  LAMELLA_DEVICE static std::int64_t at_most(std::int64_t n, std::int64_t most) { return n < most ? n : most; }

  const T* src_;  ///< of the next chunk, like all members
  const T* kernel_;
  int inputs_;  ///< inputs left, counted from the first that this thread copies
  int rows_;
  int units_;
};

/// Adds the products of a chunk. For tensor cores, rows are columns and units are rows.
template <typename T, typename Tiles>
LAMELLA_DEVICE void multiply(float (&sums)[4][Tiles::kRowTiles][4], const typename Tiles::Chunk& stage) {
  const int lane = static_cast<int>(thread_index() % kWarp);
  const int warp = static_cast<int>(thread_index() / kWarp);
  const uint4* const src = &stage.src[warp / Tiles::kAcross * Tiles::kRowTiles * 8 * Tiles::kPacks + lane];
  const uint4* const kernel = &stage.kernel[warp % Tiles::kAcross * static_cast<int>(MmaLayout::kUnits) * Tiles::kPacks + lane];
  uint4 x[Tiles::kRowTiles];
  LAMELLA_UNROLL
  for (int n = 0; n < Tiles::kRowTiles; ++n) x[n] = src[n * static_cast<int>(kWarp)];
  LAMELLA_UNROLL
  for (int product = 0; product < 8; ++product) {
    const uint4 w = kernel[product * static_cast<int>(kWarp)];
    LAMELLA_UNROLL
    for (int n = 0; n < Tiles::kRowTiles; ++n)
      multiply_add<T>(sums[product % 4][n], w, product < 4 ? uint2{x[n].x, x[n].y} : uint2{x[n].z, x[n].w});
  }
}

/// All chunks in order, so that the order of a sum is always the same.
template <typename T, typename Tiles, bool kSrcPacks>
LAMELLA_DEVICE void add_products(float (&sums)[4][Tiles::kRowTiles][4], const Mma<T>& g, std::int64_t row0, std::int64_t unit0) {
  auto& shared = shared_memory<typename Tiles::Shared>();
  const int chunks = static_cast<int>(tiles(g.inputs, MmaLayout::kInputs));
  Bringing<T, Tiles, kSrcPacks> bring(g, row0, unit0);
  LAMELLA_UNROLL
  for (int n = 0; n < Tiles::kStages - 1; ++n) {
    bring(shared.stages[n], g, n * Tiles::kChunks, chunks);
    commit_copies();
  }
  int stage = 0;
  LAMELLA_NO_UNROLL
  for (int chunk = 0; chunk < chunks; chunk += Tiles::kChunks) {
    wait_for_copies<Tiles::kStages - 2>();
    barrier();  // the stage has arrived for all threads, and all have read the previous one
    const int free = stage == 0 ? Tiles::kStages - 1 : stage - 1;
    bring(shared.stages[free], g, chunk + (Tiles::kStages - 1) * Tiles::kChunks, chunks);
    commit_copies();
    LAMELLA_UNROLL
    for (int n = 0; n < Tiles::kChunks; ++n) {
      if (n == 0 || chunk + n < chunks) multiply<T, Tiles>(sums, shared.stages[stage][n]);
    }
    stage = stage == Tiles::kStages - 1 ? 0 : stage + 1;
  }
}

/// Applies the activation to a thread's sums in shared memory, four neighbours at a time: in a row those from `unit` on and those
/// 32 units later; then the same in the next row, and in both rows 8 rows later.
template <typename Op, typename T, typename Tiles>
LAMELLA_DEVICE void finish(const Mma<T>& g, std::int64_t row0, std::int64_t unit0, int count) {
  const auto& shared = shared_memory<typename Tiles::Shared>();
  LAMELLA_NO_UNROLL
  for (int n = 0; n < count; ++n) {
    const std::int64_t row = row0 + n / 4 * 8 + n / 2 % 2;
    const std::int64_t unit = unit0 + n % 2 * 32;
    if (row >= g.batch || unit >= g.units) continue;
    const float4 sums = shared.sums[n][thread_index()];
    const auto apply = [&](float x) { return narrow<T>(activated<Op, FormulaOf<T>>(x, g.parameters)); };
    const Pack<T, 4> results{apply(sums.x), apply(sums.y), apply(sums.z), apply(sums.w)};
    T* const dst = g.dst + row * g.units + unit;
    if (g.dst_packs) {
      *reinterpret_cast<Pack<T, 4>*>(dst) = results;
      continue;
    }
    LAMELLA_UNROLL
    for (int k = 0; k < 4; ++k) {
      if (unit + k < g.units) dst[k] = results.at[k];
    }
  }
}

template <typename T, typename Tiles>
LAMELLA_DEVICE void finish(const Mma<T>& g, std::int64_t row0, std::int64_t unit0, int count) {
  switch (g.activation) {  // once for all sums
#define LAMELLA_ELEMENTWISE(Name, ...) \
  case ActivationKind::Name:           \
    return finish<core::ActivationOp<ActivationKind::Name>, T, Tiles>(g, row0, unit0, count);
#include <lamella/activation.def>
    default:
      return;
  }
}

template <typename T, typename Tiles>
LAMELLA_DEVICE void block_of_results(const Mma<T>& g, std::int64_t row0, std::int64_t unit0) {
  auto& shared = shared_memory<typename Tiles::Shared>();
  float sums[4][Tiles::kRowTiles][4] = {};
  if (g.src_packs) {
    add_products<T, Tiles, true>(sums, g, row0, unit0);
  } else {
    add_products<T, Tiles, false>(sums, g, row0, unit0);
  }
  const int lane = static_cast<int>(thread_index() % kWarp);
  const int warp = static_cast<int>(thread_index() / kWarp);
  const std::int64_t unit = unit0 + warp % Tiles::kAcross * MmaLayout::kUnits + lane / 4 * 4;
  const std::int64_t row = row0 + warp / Tiles::kAcross * Tiles::kRowTiles * 8 + lane % 4 * 2;
  barrier();
  LAMELLA_NO_UNROLL
  for (int first = 0; first < 2 * Tiles::kRowTiles; first += Tiles::kFinished) {
    LAMELLA_UNROLL
    for (int half = 0; half < 2; ++half) {
      float bias[4];
      LAMELLA_UNROLL
      for (int k = 0; k < 4; ++k) {
        const std::int64_t u = unit + half * 32 + k;
        bias[k] = g.bias != nullptr && u < g.units ? g.bias[u] : -0.0F;  // x + -0 is x
      }
      LAMELLA_UNROLL
      for (int n = 0; n < 2 * Tiles::kRowTiles; ++n) {
        if (n / Tiles::kFinished * Tiles::kFinished != first) continue;
        const auto& low = sums[2 * half][n / 2];
        const auto& high = sums[2 * half + 1][n / 2];
        shared.sums[n % Tiles::kFinished * 2 + half][thread_index()] =
            float4{low[n % 2] + bias[0], low[2 + n % 2] + bias[1], high[n % 2] + bias[2], high[2 + n % 2] + bias[3]};
      }
    }
    const int left = 2 * Tiles::kRowTiles - first;
    finish<T, Tiles>(g, row + first / 2 * 8, unit, 2 * (left < Tiles::kFinished ? left : Tiles::kFinished));
  }
}

template <typename T, typename Tiles>
LAMELLA_KERNEL(Tiles::kThreads)
mma_gemm_kernel(Mma<T> g) {
  if (LAMELLA_HAS_MMA != 0) {
    block_of_results<T, Tiles>(g, block_x() * Tiles::kRows, block_y() * Tiles::kUnits);
  } else {
    __trap();
  }
}

using ManyRows = MmaTiling<4, 2, 4, 3, 1>;  ///< tile of 128 x 128
using FewRows = MmaTiling<4, 1, 1, 4, 2>;   ///< 32 x 64; one chunk between two barriers would be too little work for a warp
static_assert(ManyRows::kRows == mma_block(MmaTile::many_rows).rows && ManyRows::kUnits == mma_block(MmaTile::many_rows).units);
static_assert(FewRows::kRows == mma_block(MmaTile::few_rows).rows && FewRows::kUnits == mma_block(MmaTile::few_rows).units);

template <typename Tiles, typename T>
cudaError_t launch_mma(const Mma<T>& g, cudaStream_t stream) {
  const dim3 grid(blocks(tiles(g.batch, Tiles::kRows)), blocks(tiles(g.units, Tiles::kUnits)));
  return launch({.grid = grid, .threads = Tiles::kThreads, .shared = sizeof(typename Tiles::Shared), .stream = stream},
                mma_gemm_kernel<T, Tiles>, g);
}

template <typename T>
cudaError_t mma_gemm_as(const Dense& args, MmaTile tile, cudaStream_t stream) {
  const Mma<T> g{static_cast<const T*>(args.src),
                 static_cast<const T*>(args.kernel),
                 static_cast<const float*>(args.bias),
                 static_cast<T*>(args.dst),
                 args.batch,
                 args.inputs,
                 args.units,
                 MmaLayout{args.inputs, args.units}.padded_units(),
                 aligned(args.src) && args.inputs % 8 == 0,
                 reinterpret_cast<std::uintptr_t>(args.dst) % 8 == 0 && args.units % 4 == 0,
                 args.activation.kind,
                 Parameters<float>(args.activation)};
  if (tile == MmaTile::automatic) tile = mma_tile(args.batch, args.units);
  return tile == MmaTile::few_rows ? launch_mma<FewRows>(g, stream) : launch_mma<ManyRows>(g, stream);
}

}  // namespace

/// Both tilings sum over the inputs in the same order with the same instruction, so they give the same bits.
cudaError_t mma_gemm(const Dense& args, MmaTile tile, cudaStream_t stream) {
  if (args.batch == 0 || args.units == 0) return cudaSuccess;
  if (is_rowwise(args.activation.kind) || !aligned(args.kernel) || args.inputs > kMostMmaInputs ||
      args.units > MmaLayout::kMostUnits || tiles(args.batch, FewRows::kRows) > kMaxGridX)
    return cudaErrorInvalidValue;
  return visit_16_bits(args.dtype, [&](auto t) { return mma_gemm_as<typename decltype(t)::type>(args, tile, stream); });
}

}  // namespace lamella::kernels
