// SPDX-License-Identifier: Apache-2.0
#include "core/quantize.hpp"
#include "kernels/activation.hpp"
#include "kernels/mma.hpp"
#include "kernels/mma_tiles.hpp"
#include "kernels/quantized.hpp"
#include "kernels/quantized_stages.hpp"

namespace lamella::kernels {
namespace {

/// A block computes kRows x kUnits results, a warp kRowTiles * 8 rows and kUnitTiles * 16 units of these. kInputWarps warps have
/// the same results and divide the chunks of 64 inputs: a stage is one chunk for each. kStages stages are in shared memory; one
/// is multiplied while the others are being copied.
template <int kInputWarpsOfBlock, int kRowWarpsOfBlock, int kUnitWarpsOfBlock, int kRowTilesOfWarp, int kUnitTilesOfWarp,
          int kStagesOfAll>
struct IntegerTiling {
  static constexpr int kInputWarps = kInputWarpsOfBlock;
  static constexpr int kUnitWarps = kUnitWarpsOfBlock;
  static constexpr int kRowTiles = kRowTilesOfWarp;
  static constexpr int kUnitTiles = kUnitTilesOfWarp;
  static constexpr int kStages = kStagesOfAll;
  static constexpr int kThreads = kInputWarps * kRowWarpsOfBlock * kUnitWarps * static_cast<int>(kWarp);
  static constexpr int kRowsOfPass = kRowWarpsOfBlock * 8;  ///< whose sums are in shared memory at a time
  static constexpr int kRows = kRowsOfPass * kRowTiles;
  static constexpr int kUnits = kUnitWarps * kUnitTiles * 16;
  static constexpr int kColumns = kUnits + 4;   ///< of sums in shared memory, so that a warp's are in different banks
  static constexpr int kCodePacks = kRows * 4;  ///< of 16 bytes in a chunk
  template <bool kInt4>
  static constexpr int kWeightPacks = kUnits*(kInt4 ? 2 : 4);
  static_assert(kThreads % kUnits == 0);

  template <bool kInt4>
  struct Stage {
    uint4 codes[kInputWarps * kCodePacks];
    uint4 weights[kInputWarps * kWeightPacks<kInt4>];
  };
  template <bool kInt4>
  union Shared {
    Stage<kInt4> stages[kStages];
    std::int32_t sums[kInputWarps][kRowsOfPass][kColumns];
  };
  static_assert(sizeof(Shared<false>) <= kMostShared);
};

template <typename T>
struct Integers {
  using C = ComputeOf<T>;
  const std::uint8_t* codes;
  const C* factors;
  const std::uint8_t* weights;
  const C* scale;
  const C* bias;
  T* dst;
  std::int64_t batch, units, row_blocks;
  std::int64_t code_bytes, weight_bytes;  ///< of a row of codes, and of a chunk of weights
  int chunks;
  ActivationKind activation;
  Parameters<C> parameters;
};

/// Adds the products of the warp's chunk of a stage. For tensor cores, rows are columns and units are rows.
template <typename Tiles, bool kInt4>
LAMELLA_DEVICE void multiply(std::int32_t (&sums)[Tiles::kUnitTiles][Tiles::kRowTiles][4],
                             const typename Tiles::template Stage<kInt4>& stage) {
  constexpr int kLanes = static_cast<int>(kWarp);
  constexpr int kTilePacks = kInt4 ? kLanes : 2 * kLanes;
  const int lane = static_cast<int>(thread_index()) % kLanes;
  const int warp = static_cast<int>(thread_index()) / kLanes;
  const int chunk = warp % Tiles::kInputWarps;
  const int across = warp / Tiles::kInputWarps % Tiles::kUnitWarps;
  const int down = warp / Tiles::kInputWarps / Tiles::kUnitWarps;
  const uint4* const codes = &stage.codes[chunk * Tiles::kCodePacks + down * Tiles::kRowTiles * kLanes + lane];
  const uint4* const weights =
      &stage.weights[chunk * Tiles::template kWeightPacks<kInt4> + across * Tiles::kUnitTiles * kTilePacks + lane];
  uint4 x[Tiles::kRowTiles];
  LAMELLA_UNROLL
  for (int n = 0; n < Tiles::kRowTiles; ++n) x[n] = codes[n * kLanes];
  LAMELLA_UNROLL
  for (int u = 0; u < Tiles::kUnitTiles; ++u) {
    uint4 w[2];
    w[0] = weights[u * kTilePacks];
    if constexpr (kInt4) {
      w[1] = unpacked(w[0].z, w[0].w);
      w[0] = unpacked(w[0].x, w[0].y);
    } else {
      w[1] = weights[u * kTilePacks + kLanes];
    }
    LAMELLA_UNROLL
    for (int n = 0; n < Tiles::kRowTiles; ++n) {
      multiply_add(sums[u][n], w[0], uint2{x[n].x, x[n].y});
      multiply_add(sums[u][n], w[1], uint2{x[n].z, x[n].w});
    }
  }
}

template <typename T, typename Tiles, bool kInt4>
LAMELLA_DEVICE void add_products(std::int32_t (&sums)[Tiles::kUnitTiles][Tiles::kRowTiles][4], const Integers<T>& g,
                                 std::int64_t row0, std::int64_t unit0) {
  constexpr int kWeightPacks = Tiles::template kWeightPacks<kInt4>;
  auto& stages = shared_memory<typename Tiles::template Shared<kInt4>>().stages;
  const std::int64_t first_byte = unit0 / QuantizedLayout::kUnits * (kInt4 ? 512 : 1024);
  Bringing<Tiles, kWeightPacks> weights(g.chunks, g.weight_bytes, [&](int pack) {
    const std::int64_t byte = first_byte + pack * 16;
    return byte < g.weight_bytes ? g.weights + byte : nullptr;
  });
  Bringing<Tiles, Tiles::kCodePacks> codes(g.chunks, QuantizedLayout::kInputs, [&](int pack) {
    const std::int64_t row = row0 + pack / 4;
    return row < g.batch ? g.codes + row * g.code_bytes + pack % 4 * 16 : nullptr;
  });
  LAMELLA_UNROLL
  for (int n = 0; n < Tiles::kStages - 1; ++n) weights(stages[n].weights);
  wait_for_previous();
  LAMELLA_UNROLL
  for (int n = 0; n < Tiles::kStages - 1; ++n) {
    codes(stages[n].codes);
    commit_copies();
  }
  const int own = static_cast<int>(thread_index() / kWarp) % Tiles::kInputWarps;
  int stage = 0;
  LAMELLA_NO_UNROLL
  for (int chunk = 0; chunk < g.chunks; chunk += Tiles::kInputWarps) {
    wait_for_copies<Tiles::kStages - 2>();
    barrier();  // the stage has arrived for all threads, and all have read the previous one
    const int free = stage == 0 ? Tiles::kStages - 1 : stage - 1;
    weights(stages[free].weights);
    codes(stages[free].codes);
    commit_copies();
    if (chunk + own < g.chunks) multiply<Tiles, kInt4>(sums, stages[stage]);
    stage = stage == Tiles::kStages - 1 ? 0 : stage + 1;
  }
  wait_for_copies<0>();
}

/// What becomes of the sums of a unit.
template <typename T>
struct Finish {
  using C = ComputeOf<T>;
  C scale, bias;

  LAMELLA_DEVICE T operator()(const Integers<T>& g, std::int64_t row, std::uint32_t sum) const {
    const RoundToStored<T> round;
    C z = core::from_integer(static_cast<std::int32_t>(sum), scale, g.factors[row], round);
    if (g.bias != nullptr) z = round(z + bias);
    return narrow<T>(activate<FormulaOf<T>>(g.activation, z, g.parameters));
  }
};

template <typename T, typename Tiles, bool kInt4>
LAMELLA_DEVICE void block_of_results(const Integers<T>& g, std::int64_t row0, std::int64_t unit0) {
  std::int32_t sums[Tiles::kUnitTiles][Tiles::kRowTiles][4] = {};
  add_products<T, Tiles, kInt4>(sums, g, row0, unit0);
  auto& all = shared_memory<typename Tiles::template Shared<kInt4>>().sums;
  const int thread = static_cast<int>(thread_index());
  const int warp = thread / static_cast<int>(kWarp);
  const int across = warp / Tiles::kInputWarps % Tiles::kUnitWarps;
  const int down = warp / Tiles::kInputWarps / Tiles::kUnitWarps;
  auto& own = all[warp % Tiles::kInputWarps];
  const int column = thread % Tiles::kUnits;
  const std::int64_t unit = unit0 + column;
  const bool exists = unit < g.units;
  const Finish<T> finish{exists ? g.scale[unit] : 1, exists && g.bias != nullptr ? g.bias[unit] : 0};
  LAMELLA_NO_UNROLL
  for (int pass = 0; pass < Tiles::kRowTiles; ++pass) {
    barrier();
    share_row_tile<Tiles>(own, sums, pass, down, across);
    barrier();
    LAMELLA_NO_UNROLL
    for (int r = thread / Tiles::kUnits; r < Tiles::kRowsOfPass && exists; r += Tiles::kThreads / Tiles::kUnits) {
      const std::int64_t row = row0 + (r / 8 * Tiles::kRowTiles + pass) * 8 + r % 8;
      if (row >= g.batch) continue;
      std::uint32_t sum = 0;  // wraps around, as Keras' do
      LAMELLA_UNROLL
      for (int w = 0; w < Tiles::kInputWarps; ++w) sum += static_cast<std::uint32_t>(all[w][r][column]);
      g.dst[row * g.units + unit] = finish(g, row, sum);
    }
  }
}

template <typename T, typename Tiles, bool kInt4>
LAMELLA_KERNEL(Tiles::kThreads)
integer_gemm_kernel(const __grid_constant__ Integers<T> g) {
  let_next_begin();
  block_of_results<T, Tiles, kInt4>(g, block_x() % g.row_blocks * Tiles::kRows, block_x() / g.row_blocks * Tiles::kUnits);
}

using FewRows = IntegerTiling<8, 1, 1, 1, 1, 4>;   ///< tile of 8 x 16: as many blocks as possible
using SomeRows = IntegerTiling<2, 1, 2, 4, 2, 4>;  ///< 32 x 64
using ManyRows = IntegerTiling<1, 4, 2, 4, 4, 3>;  ///< 128 x 128

template <typename Tiles>
constexpr bool has_block_of(IntegerTile tile) {
  return Tiles::kRows == integer_block(tile).rows && Tiles::kUnits == integer_block(tile).units;
}
static_assert(has_block_of<FewRows>(IntegerTile::few_rows) && has_block_of<SomeRows>(IntegerTile::some_rows) &&
              has_block_of<ManyRows>(IntegerTile::many_rows));

template <typename T, typename Tiles, bool kInt4>
cudaError_t launch_integers(const QuantizedDense& a, cudaStream_t stream) {
  using C = ComputeOf<T>;
  const RowCodes layout(a);
  const QuantizedLayout weights{a.inputs, a.units, kInt4};
  const auto* const codes = static_cast<const std::uint8_t*>(a.workspace);
  const Integers<T> g{codes,
                      reinterpret_cast<const C*>(codes + layout.factors),
                      static_cast<const std::uint8_t*>(a.weights),
                      static_cast<const C*>(a.scale),
                      static_cast<const C*>(a.bias),
                      static_cast<T*>(a.dst),
                      a.batch,
                      a.units,
                      tiles(a.batch, Tiles::kRows),
                      layout.stride,
                      weights.tiles() * weights.tile_bytes(),
                      static_cast<int>(weights.chunks()),
                      a.activation.kind,
                      Parameters<C>(a.activation)};
  return launch({.grid = dim3(blocks(g.row_blocks * tiles(a.units, Tiles::kUnits))),
                 .threads = Tiles::kThreads,
                 .shared = sizeof(typename Tiles::template Shared<kInt4>),
                 .stream = stream,
                 .overlaps = a.overlap != Overlap::none},
                integer_gemm_kernel<T, Tiles, kInt4>, g);
}

template <typename T, bool kInt4>
cudaError_t integer_gemm_as(const QuantizedDense& a, cudaStream_t stream) {
  if constexpr (sizeof(T) < sizeof(double)) {
    const IntegerTile tile = integer_tile(a.batch, a.units);
    if (tile == IntegerTile::many_rows) return launch_integers<T, ManyRows, kInt4>(a, stream);
    if (tile == IntegerTile::some_rows) return launch_integers<T, SomeRows, kInt4>(a, stream);
  }
  return launch_integers<T, FewRows, kInt4>(a, stream);
}

}  // namespace

/// Sums of integers do not depend on their order, so all tilings give the same bits.
cudaError_t integer_gemm(const QuantizedDense& args, cudaStream_t stream) {
  return visit_floating(args.dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    return args.int4 ? integer_gemm_as<T, true>(args, stream) : integer_gemm_as<T, false>(args, stream);
  });
}

}  // namespace lamella::kernels
