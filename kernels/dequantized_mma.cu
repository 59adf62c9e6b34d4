// SPDX-License-Identifier: Apache-2.0
#include "kernels/dequantized_mma.hpp"

#include "kernels/dequantize.hpp"
#include "kernels/mma.hpp"
#include "kernels/mma_tiles.hpp"
#include "kernels/quantized_stages.hpp"

namespace lamella::kernels {
namespace {

/// A block computes kRows x kUnits results, a warp all rows and kUnitTiles * 16 units of these. kInputWarps warps have the same
/// results and divide the chunks of 64 inputs, always as many, so that all tilings add in the same order: a stage is one chunk
/// for each. kStages stages are in shared memory; one is multiplied while the others are being copied.
template <int kUnitWarpsOfBlock, int kUnitTilesOfWarp, int kRowTilesOfWarp, int kStagesOfAll>
struct FloatTiling {
  static constexpr int kInputWarps = 4;
  static constexpr int kUnitWarps = kUnitWarpsOfBlock;
  static constexpr int kUnitTiles = kUnitTilesOfWarp;
  static constexpr int kRowTiles = kRowTilesOfWarp;
  static constexpr int kStages = kStagesOfAll;
  static constexpr int kThreads = kInputWarps * kUnitWarps * static_cast<int>(kWarp);
  static constexpr int kRows = kRowTiles * 8;
  static constexpr int kUnits = kUnitWarps * kUnitTiles * 16;
  static constexpr int kColumns = kUnits + 4;  ///< of sums in shared memory, so that a warp's are in different banks
  static constexpr int kSrcPacks = kRows * 8;  ///< of 16 bytes in a chunk: the first half of each lane's inputs, then the second
  template <bool kInt4>
  static constexpr int kWeightPacks = kUnits*(kInt4 ? 2 : 4);
  static_assert(kThreads % kUnits == 0);

  template <bool kInt4>
  struct Stage {
    uint4 src[kInputWarps * kSrcPacks];
    uint4 weights[kInputWarps * kWeightPacks<kInt4>];
  };
  template <bool kInt4>
  union Shared {
    Stage<kInt4> stages[kStages];
    float sums[kInputWarps][8][kColumns];
  };
  static_assert(sizeof(Shared<false>) <= 96 << 10);  // what every GPU with these tensor cores gives a block
};

/// The part of src that a thread copies of every stage.
template <typename T, typename Tiles>
class BringingSrc {
 public:
  LAMELLA_DEVICE BringingSrc(const Dequantized<T>& g, std::int64_t row0) {
    LAMELLA_UNROLL
    for (int n = 0; n < kEach; ++n) {
      const int pack = static_cast<int>(thread_index()) + n * Tiles::kThreads;
      const int part = pack % Tiles::kSrcPacks;
      const std::int64_t row = row0 + part / 4 % Tiles::kRows;
      const int input = pack / Tiles::kSrcPacks * kChunk + part % 4 * kLaneInputs + part / (4 * Tiles::kRows) * kWidth;
      from_[n] = g.src + row * g.inputs + input;
      left_[n] = row < g.batch ? g.inputs - input : 0;
    }
  }

  LAMELLA_DEVICE void operator()(uint4 (&to)[Tiles::kInputWarps * Tiles::kSrcPacks], bool packs) {
    LAMELLA_UNROLL
    for (int n = 0; n < kEach; ++n) {
      uint4* const place = &to[thread_index() + n * Tiles::kThreads];
      if (packs) {
        copy_async(place, from_[n], left_[n] > 0 ? 16 : 0);
      } else {
        Pack<T, kWidth> pack;
        LAMELLA_UNROLL
        for (int k = 0; k < kWidth; ++k) pack.at[k] = k < left_[n] ? from_[n][k] : T{};
        *reinterpret_cast<Pack<T, kWidth>*>(place) = pack;
      }
      from_[n] += Tiles::kInputWarps * kChunk;
      left_[n] -= Tiles::kInputWarps * kChunk;
    }
  }

 private:
  static constexpr int kChunk = static_cast<int>(QuantizedLayout::kInputs);
  static constexpr int kWidth = 8;
  static constexpr int kEach = Tiles::kInputWarps * Tiles::kSrcPacks / Tiles::kThreads;

  const T* from_[kEach];  ///< of the next stage
  int left_[kEach];       ///< inputs from there on
};

template <typename T>
LAMELLA_DEVICE unsigned pair_of(float low, float high) {
  return __builtin_bit_cast(unsigned, Pack<T, 2>{narrow<T>(low), narrow<T>(high)});
}

/// A warp's sums, and what it knows of its units.
template <typename T, typename Tiles, bool kInt4>
struct Sums {
  float at[Tiles::kUnitTiles][Tiles::kRowTiles][4] = {};
  Runs<T, Tiles::kInputWarps> runs[Tiles::kUnitTiles];

  /// The first of the two units of the lane in tile `u`.
  LAMELLA_DEVICE static std::int64_t unit(std::int64_t unit0, int u) {
    const int across = static_cast<int>(thread_index() / kWarp) / Tiles::kInputWarps;
    return unit0 + (across * Tiles::kUnitTiles + u) * 16 + thread_index() % kWarp / 4;
  }

  /// Adds the products of the warp's chunk of a stage, whose first input is `input`. For tensor cores, rows are columns and units
  /// are rows.
  LAMELLA_DEVICE void add(const Dequantized<T>& g, const typename Tiles::template Stage<kInt4>& stage, int input,
                          std::int64_t unit0) {
    constexpr int kLanes = static_cast<int>(kWarp);
    constexpr int kTilePacks = kInt4 ? kLanes : 2 * kLanes;
    const int lane = static_cast<int>(thread_index()) % kLanes;
    const int warp = static_cast<int>(thread_index()) / kLanes;
    const int own = warp % Tiles::kInputWarps;
    const uint4* const src = &stage.src[own * Tiles::kSrcPacks + lane];
    const uint4* const weights = &stage.weights[own * Tiles::template kWeightPacks<kInt4> +
                                                warp / Tiles::kInputWarps * Tiles::kUnitTiles * kTilePacks + lane];
    LAMELLA_UNROLL
    for (int u = 0; u < Tiles::kUnitTiles; ++u) {
      const OfRun<float> run = runs[u].next(g);
      LAMELLA_UNROLL
      for (int half = 0; half < 2; ++half) {
        uint4 words = weights[u * kTilePacks + (kInt4 ? 0 : half * kLanes)];
        if constexpr (kInt4) words = half == 0 ? unpacked(words.x, words.y) : unpacked(words.z, words.w);
        LaneWeights<T> w;
        w.dequantize(g, words, run, input + lane % 4 * kLaneInputs + half * kLaneAtOnce, unit(unit0, u));
        uint4 a[2];
        LAMELLA_UNROLL
        for (int p = 0; p < 2; ++p) {
          a[p] = {pair_of<T>(w.at[0][4 * p], w.at[0][4 * p + 1]), pair_of<T>(w.at[1][4 * p], w.at[1][4 * p + 1]),
                  pair_of<T>(w.at[0][4 * p + 2], w.at[0][4 * p + 3]), pair_of<T>(w.at[1][4 * p + 2], w.at[1][4 * p + 3])};
        }
        LAMELLA_UNROLL
        for (int n = 0; n < Tiles::kRowTiles; ++n) {
          const uint4 x = src[half * Tiles::kRows * 4 + n * kLanes];
          multiply_add<T>(at[u][n], a[0], uint2{x.x, x.y});
          multiply_add<T>(at[u][n], a[1], uint2{x.z, x.w});
        }
      }
    }
  }
};

template <typename T, typename Tiles, bool kInt4>
LAMELLA_DEVICE void add_products(Sums<T, Tiles, kInt4>& sums, const Dequantized<T>& g, bool packs, std::int64_t row0,
                                 std::int64_t unit0) {
  auto& stages = shared_memory<typename Tiles::template Shared<kInt4>>().stages;
  const std::int64_t first_byte = unit0 / QuantizedLayout::kUnits * (kInt4 ? 512 : 1024);
  Bringing<Tiles, Tiles::template kWeightPacks<kInt4>> weights(g.chunks, g.chunk_bytes, [&](int pack) {
    const std::int64_t byte = first_byte + pack * 16;
    return byte < g.chunk_bytes ? g.weights + byte : nullptr;
  });
  LAMELLA_UNROLL
  for (int n = 0; n < Tiles::kStages - 1; ++n) weights(stages[n].weights);
  wait_for_previous();
  BringingSrc<T, Tiles> src(g, row0);
  LAMELLA_UNROLL
  for (int n = 0; n < Tiles::kStages - 1; ++n) {
    src(stages[n].src, packs);
    commit_copies();
  }
  const int own = static_cast<int>(thread_index() / kWarp) % Tiles::kInputWarps;
  LAMELLA_UNROLL
  for (int u = 0; u < Tiles::kUnitTiles; ++u) sums.runs[u].start(g, sums.unit(unit0, u), own);
  int stage = 0;
  LAMELLA_NO_UNROLL
  for (int chunk = 0; chunk < g.chunks; chunk += Tiles::kInputWarps) {
    wait_for_copies<Tiles::kStages - 2>();
    barrier();  // the stage has arrived for all threads, and all have read the previous one
    const int free = stage == 0 ? Tiles::kStages - 1 : stage - 1;
    weights(stages[free].weights);
    src(stages[free].src, packs);
    commit_copies();
    if (chunk + own < g.chunks) sums.add(g, stages[stage], (chunk + own) * static_cast<int>(QuantizedLayout::kInputs), unit0);
    stage = stage == Tiles::kStages - 1 ? 0 : stage + 1;
  }
  wait_for_copies<0>();
}

template <typename T, typename Tiles, bool kInt4>
LAMELLA_DEVICE void block_of_results(const Dequantized<T>& g, bool packs, std::int64_t row0, std::int64_t unit0) {
  Sums<T, Tiles, kInt4> sums;
  add_products<T, Tiles, kInt4>(sums, g, packs, row0, unit0);
  auto& all = shared_memory<typename Tiles::template Shared<kInt4>>().sums;
  const int thread = static_cast<int>(thread_index());
  const int warp = thread / static_cast<int>(kWarp);
  auto& own = all[warp % Tiles::kInputWarps];
  const int column = thread % Tiles::kUnits;
  const std::int64_t unit = unit0 + column;
  const bool exists = unit < g.units;
  const float scale = exists && g.groups == 0 ? g.scale[unit] : 1;
  const float bias = exists && g.bias != nullptr ? g.bias[unit] : -0.0F;  // x + -0 is x
  LAMELLA_NO_UNROLL
  for (int pass = 0; pass < Tiles::kRowTiles; ++pass) {
    barrier();
    share_row_tile<Tiles>(own, sums.at, pass, 0, warp / Tiles::kInputWarps);
    barrier();
    LAMELLA_NO_UNROLL
    for (int r = thread / Tiles::kUnits; r < 8 && exists; r += Tiles::kThreads / Tiles::kUnits) {
      const std::int64_t row = row0 + pass * 8 + r;
      if (row >= g.batch) break;
      float sum = 0;
      LAMELLA_UNROLL
      for (int w = 0; w < Tiles::kInputWarps; ++w) sum = sum + all[w][r][column];
      if (g.groups == 0) sum = sum / scale;
      g.dst[row * g.units + unit] = narrow<T>(activate<FormulaOf<T>>(g.activation, sum + bias, g.parameters));
    }
  }
}

template <typename T, typename Tiles, bool kInt4>
LAMELLA_KERNEL(Tiles::kThreads)
dequantized_mma_kernel(const __grid_constant__ Dequantized<T> g, bool packs) {
  if (LAMELLA_HAS_MMA != 0) {
    let_next_begin();
    block_of_results<T, Tiles, kInt4>(g, packs, block_x() % g.row_blocks * Tiles::kRows,
                                      block_x() / g.row_blocks * Tiles::kUnits);
  } else {
    __trap();
  }
}

using FewRows = FloatTiling<1, 1, 1, 4>;   ///< tile of 8 x 16: as many blocks as possible
using ManyRows = FloatTiling<4, 1, 4, 3>;  ///< 32 x 64

static_assert(dequantized_mma_block(1, 1).rows == FewRows::kRows && dequantized_mma_block(1, 1).units == FewRows::kUnits &&
              dequantized_mma_block(9999, 1).rows == ManyRows::kRows && dequantized_mma_block(9999, 1).units == ManyRows::kUnits);

template <typename T, typename Tiles, bool kInt4>
cudaError_t launch_floats(const QuantizedDense& a, cudaStream_t stream) {
  const auto g = dequantized<T>(a, {a.inputs, a.units, kInt4}, Tiles::kRows);
  return launch({.grid = dim3(blocks(g.row_blocks * tiles(a.units, Tiles::kUnits))),
                 .threads = Tiles::kThreads,
                 .shared = sizeof(typename Tiles::template Shared<kInt4>),
                 .stream = stream,
                 .overlaps = a.overlap == Overlap::all},
                dequantized_mma_kernel<T, Tiles, kInt4>, g, aligned(a.src) && a.inputs % 8 == 0);
}

template <typename T, bool kInt4>
cudaError_t dequantized_mma_as(const QuantizedDense& a, cudaStream_t stream) {
  const bool many = dequantized_mma_block(a.batch, a.units).rows == ManyRows::kRows;
  return many ? launch_floats<T, ManyRows, kInt4>(a, stream) : launch_floats<T, FewRows, kInt4>(a, stream);
}

}  // namespace

cudaError_t dequantized_mma(const QuantizedDense& args, cudaStream_t stream) {
  if (args.batch == 0 || args.units == 0) return cudaSuccess;
  if (args.quantizes || is_rowwise(args.activation.kind) || !aligned(args.weights) || args.inputs > kMostSmallBatchInputs)
    return cudaErrorInvalidValue;
  return visit_16_bits(args.dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    return args.int4 ? dequantized_mma_as<T, true>(args, stream) : dequantized_mma_as<T, false>(args, stream);
  });
}

}  // namespace lamella::kernels
