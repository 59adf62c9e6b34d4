// SPDX-License-Identifier: Apache-2.0
#include "kernels/copy_async.hpp"
#include "kernels/dequantize.hpp"

namespace lamella::kernels {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * static_cast<int>(kWarp);
constexpr int kUnits = static_cast<int>(QuantizedLayout::kUnits);  ///< of a block

/// A warp's rows of src in shared memory, a chunk of inputs at a time: four lanes' parts, in different banks.
template <typename C, int kRows>
using RowsOfChunk = C[kRows][4][kLaneInputs + 16 / sizeof(C)];

template <typename T, bool kInt4, int kRowsOfBlock>
struct DequantizedTiling {
  using C = ComputeOf<T>;
  static constexpr int kRows = kRowsOfBlock;
  static constexpr int kPacks = kInt4 ? 1 : 2;  ///< of 16 bytes, of a lane in a chunk
  static constexpr int kStages = 6 / kPacks;    ///< chunks of a warp on their way
  struct Streams {
    uint4 stages[kStages][kPacks][kThreads];  ///< each thread's own
    RowsOfChunk<C, kRows> src[kWarps];
  };
  union Shared {
    Streams streams;
    C sums[kWarps][kRows][kUnits];
  };
  static_assert(sizeof(Shared) <= kMostShared);
};

/// One lane's packs of its warp's chunks, every kWarps-th. They pass through a ring of stages in shared memory that belongs to
/// the lane, so that no lane waits for another.
template <typename T, typename Tiles>
class Packs {
 public:
  LAMELLA_DEVICE Packs(const Dequantized<T>& g, std::int64_t tile, int chunk)
      : from_(g.weights + chunk * g.chunk_bytes + tile * Tiles::kPacks * 512 + thread_index() % kWarp * 16),
        step_(kWarps * g.chunk_bytes),
        left_(g.chunks - chunk) {
    LAMELLA_UNROLL
    for (int n = 0; n < Tiles::kStages; ++n) bring(n);
  }
  LAMELLA_DEVICE void wait() { wait_for_copies<Tiles::kStages - 1>(); }
  /// Words of the chunk waited for, of inputs 8 * half to 8 * half + 7 of the lane: four of the first unit, four of the second,
  /// and the next four of each.
  LAMELLA_DEVICE uint4 words(int half) const {
    if constexpr (Tiles::kPacks > 1) return stages()[stage_][half][thread_index()];
    const uint4 pack = stages()[stage_][0][thread_index()];
    return half == 0 ? unpacked(pack.x, pack.y) : unpacked(pack.z, pack.w);
  }
  /// The next chunk.
  LAMELLA_DEVICE void advance() {
    bring(stage_);
    stage_ = stage_ == Tiles::kStages - 1 ? 0 : stage_ + 1;
  }

 private:
  LAMELLA_DEVICE static auto& stages() { return shared_memory<typename Tiles::Shared>().streams.stages; }
  LAMELLA_DEVICE void bring(int stage) {
    LAMELLA_UNROLL
    for (int n = 0; n < Tiles::kPacks; ++n) copy_async(&stages()[stage][n][thread_index()], from_ + n * 512, left_ > 0 ? 16 : 0);
    commit_copies();
    from_ += step_;
    left_ -= kWarps;
  }

  const std::uint8_t* from_;  ///< of the next chunk
  std::int64_t step_;
  int left_;
  int stage_ = 0;
};

/// A warp's part of src, of the next chunk, on its way to shared memory.
template <typename T, int kRows>
struct ChunkOfSrc {
  using C = ComputeOf<T>;
  static constexpr int kEach = static_cast<int>(QuantizedLayout::kInputs / kWarp);
  T at[kRows][kEach];

  /// From the lane's first input on; `rows` and `left`: how many rows and inputs there are.
  LAMELLA_DEVICE void read(const T* from, int rows, int left, int stride) {
    LAMELLA_UNROLL
    for (int r = 0; r < kRows; ++r) {
      LAMELLA_UNROLL
      for (int n = 0; n < kEach; ++n) {
        const int i = n * static_cast<int>(kWarp);
        at[r][n] = r < rows && i < left ? from[std::int64_t{r} * stride + i] : T{};
      }
    }
  }
  LAMELLA_DEVICE void write(RowsOfChunk<C, kRows>& to) const {
    const auto lane = static_cast<int>(thread_index() % kWarp);
    LAMELLA_UNROLL
    for (int r = 0; r < kRows; ++r) {
      LAMELLA_UNROLL
      for (int n = 0; n < kEach; ++n)
        to[r][(n * static_cast<int>(kWarp) + lane) / kLaneInputs][lane % kLaneInputs] = widen<C>(at[r][n]);
    }
  }
};

/// Adds the products of a lane's inputs.
template <typename C>
LAMELLA_DEVICE void add(C (&sums)[kLaneUnits], const C (&weights)[kLaneUnits][kLaneAtOnce], const C* src) {
  LAMELLA_UNROLL
  for (int j = 0; j < kLaneAtOnce; j += 4) {
    const auto x = *reinterpret_cast<const Pack<C, 4>*>(src + j);
    LAMELLA_UNROLL
    for (int k = 0; k < 4; ++k) {
      LAMELLA_UNROLL
      for (int h = 0; h < kLaneUnits; ++h) sums[h] = core::math::fma(x.at[k], weights[h][j + k], sums[h]);
    }
  }
}

/// A lane's sums over its inputs of its warp's chunks, in order.
template <typename T, bool kInt4, int kRows>
LAMELLA_DEVICE void add_products(ComputeOf<T> (&sums)[kRows][kLaneUnits], const Dequantized<T>& g, std::int64_t row0,
                                 std::int64_t tile) {
  using C = ComputeOf<T>;
  using Tiles = DequantizedTiling<T, kInt4, kRows>;
  const auto warp = static_cast<int>(thread_index() / kWarp);
  const auto lane = static_cast<int>(thread_index() % kWarp);
  const std::int64_t unit = tile * kUnits + lane / 4;
  Packs<T, Tiles> packs(g, tile, warp);
  wait_for_previous();
  Runs<T, kWarps> runs;
  runs.start(g, unit, warp);
  ChunkOfSrc<T, kRows> src;
  const int rows = g.batch - row0 < kRows ? static_cast<int>(g.batch - row0) : kRows;
  const auto read = [&](int chunk) {
    const int input = chunk * static_cast<int>(QuantizedLayout::kInputs) + lane;
    src.read(g.src + row0 * g.inputs + input, rows, g.inputs - input, g.inputs);
  };
  read(warp);
  auto& x = shared_memory<typename Tiles::Shared>().streams.src[warp];
  LAMELLA_NO_UNROLL
  for (int chunk = warp; chunk < g.chunks; chunk += kWarps) {
    __syncwarp();  // the previous values have been read
    src.write(x);
    __syncwarp();
    read(chunk + kWarps);
    packs.wait();
    const OfRun<C> run = runs.next(g);
    LAMELLA_NO_UNROLL
    for (int first = 0; first < kLaneInputs; first += kLaneAtOnce) {
      LaneWeights<T> w;
      w.dequantize(g, packs.words(first / kLaneAtOnce), run,
                   chunk * static_cast<int>(QuantizedLayout::kInputs) + lane % 4 * kLaneInputs + first, unit);
      LAMELLA_UNROLL
      for (int r = 0; r < kRows; ++r) add<C>(sums[r], w.at, &x[r][lane % 4][first]);
    }
    packs.advance();
  }
  wait_for_copies<0>();
}

/// Sums of lanes, then of warps, always in the same order, so a row's bits do not depend on the other rows.
template <typename T, bool kInt4, int kRows>
LAMELLA_KERNEL(kThreads)
dequantized_gemm_kernel(const __grid_constant__ Dequantized<T> g) {
  using C = ComputeOf<T>;
  let_next_begin();
  const std::int64_t row0 = block_x() % g.row_blocks * kRows;
  const std::int64_t tile = block_x() / g.row_blocks;
  C sums[kRows][kLaneUnits] = {};
  add_products<T, kInt4, kRows>(sums, g, row0, tile);
  barrier();
  auto& all = shared_memory<typename DequantizedTiling<T, kInt4, kRows>::Shared>().sums;
  const auto thread = static_cast<int>(thread_index());
  const auto lane = thread % static_cast<int>(kWarp);
  LAMELLA_UNROLL
  for (int r = 0; r < kRows; ++r) {
    LAMELLA_UNROLL
    for (int h = 0; h < kLaneUnits; ++h) {
      C sum = sums[r][h] + shuffle_xor(sums[r][h], 1);
      sum = sum + shuffle_xor(sum, 2);
      if (lane % 4 == 0) all[thread / static_cast<int>(kWarp)][r][lane / 4 + 8 * h] = sum;
    }
  }
  barrier();
  const int r = thread / kUnits;
  const std::int64_t unit = tile * kUnits + thread % kUnits;
  if (r >= kRows || row0 + r >= g.batch || unit >= g.units) return;
  C sum = 0;
  LAMELLA_UNROLL
  for (int w = 0; w < kWarps; ++w) sum = sum + all[w][r][thread % kUnits];
  if (g.groups == 0) sum = sum / g.scale[unit];
  if (g.bias != nullptr) sum = sum + g.bias[unit];
  g.dst[(row0 + r) * g.units + unit] = narrow<T>(activate<FormulaOf<T>>(g.activation, sum, g.parameters));
}

template <typename T, bool kInt4, int kRows>
cudaError_t launch_dequantized(const QuantizedDense& a, cudaStream_t stream) {
  const QuantizedLayout weights{a.inputs, a.units, kInt4};
  const auto g = dequantized<T>(a, weights, kRows);
  return launch({.grid = dim3(blocks(g.row_blocks * weights.tiles())),
                 .threads = kThreads,
                 .shared = sizeof(typename DequantizedTiling<T, kInt4, kRows>::Shared),
                 .stream = stream,
                 .overlaps = a.overlap == Overlap::all},
                dequantized_gemm_kernel<T, kInt4, kRows>, g);
}

template <typename T, bool kInt4>
cudaError_t dequantized_gemm_as(const QuantizedDense& a, cudaStream_t stream) {
  if constexpr (sizeof(T) == sizeof(double)) {
    return launch_dequantized<T, kInt4, 1>(a, stream);
  } else {
    if (a.batch == 1) return launch_dequantized<T, kInt4, 1>(a, stream);
    return a.batch <= 4 ? launch_dequantized<T, kInt4, 4>(a, stream) : launch_dequantized<T, kInt4, 8>(a, stream);
  }
}

}  // namespace

cudaError_t dequantized_gemm(const QuantizedDense& args, cudaStream_t stream) {
  return visit_floating(args.dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    return args.int4 ? dequantized_gemm_as<T, true>(args, stream) : dequantized_gemm_as<T, false>(args, stream);
  });
}

}  // namespace lamella::kernels
