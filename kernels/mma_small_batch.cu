// SPDX-License-Identifier: Apache-2.0
#include "kernels/activation.hpp"
#include "kernels/kernels.hpp"
#include "kernels/mma.hpp"
#include "kernels/mma_layout.hpp"
#include "kernels/mma_tiles.hpp"
#include "kernels/slices.hpp"

namespace lamella::kernels {
namespace {

/// A block computes kRows x kUnits results, kRowTiles x kUnitTiles tiles of the tensor cores. Its warps divide the chunks of 32
/// inputs; kStages of a warp's chunks are in shared memory or on their way there.
template <int kUnitTilesOfWarp, int kRowTilesOfWarp, int kWarpsOfBlock, int kStagesOfWarp>
struct FewTiling {
  static constexpr int kUnitTiles = kUnitTilesOfWarp;
  static constexpr int kRowTiles = kRowTilesOfWarp;
  static constexpr int kWarps = kWarpsOfBlock;
  static constexpr int kStages = kStagesOfWarp;
  static constexpr int kThreads = kWarps * static_cast<int>(kWarp);
  static constexpr int kUnits = kUnitTiles * 16;
  static constexpr int kRows = kRowTiles * 8;
  static constexpr int kPacks = 2 * kUnitTiles + kRowTiles;  ///< a lane's packs of 16 bytes per chunk: weights, then src
  union Shared {
    uint4 stages[kStages][kPacks][kThreads];  ///< each thread's own
    float partial[kWarps][kRows][kUnits];     ///< sums per warp
  };
  static_assert(sizeof(Shared) <= 48 << 10);  // the default limit; every GPU holds two such blocks
  static_assert(kThreads % kUnits == 0);
};

template <typename T>
struct Few {
  const T* src;
  const T* kernel;
  const float* bias;
  T* dst;
  float* sums;  ///< (slices, batch, units), or null if there is only one slice
  std::int64_t batch, units, padded_units;
  int inputs, chunks, slice;  ///< chunks in all inputs, and in a slice
  bool src_packs;             ///< rows of src are made of aligned packs of 16 bytes
  ActivationKind activation;
  Parameters<float> parameters;
};

/// One lane's part of its warp's chunks. It passes through a ring of stages in shared memory that belongs to the lane, so that no
/// lane waits for another.
template <typename T, typename Tiles>
class Stream {
 public:
  /// Every kWarps-th chunk from `chunk` to before `end`.
  LAMELLA_DEVICE Stream(const Few<T>& g, std::int64_t row0, std::int64_t unit0, int chunk, int end)
      : g_(g), end_(end), chunk_(chunk) {
    const auto lane = static_cast<int>(thread_index() % kWarp);
    const auto part = static_cast<int>(unit0 % MmaLayout::kUnits) / Tiles::kUnits;
    input_ = chunk * static_cast<int>(MmaLayout::kInputs) + lane % 4 * kWidth;
    row_ = row0 + lane / 4;
    src_ = g.src + row_ * g.inputs + input_;
    kernel_ = g.kernel + (chunk * g.padded_units + unit0 / MmaLayout::kUnits * MmaLayout::kUnits) * MmaLayout::kInputs +
              (part * Tiles::kUnitTiles * static_cast<int>(kWarp) + lane) * kWidth;
    LAMELLA_UNROLL
    for (int n = 0; n < Tiles::kStages; ++n) bring_weights(stages()[n], n);
    wait_for_previous();
    LAMELLA_UNROLL
    for (int n = 0; n < Tiles::kStages; ++n) bring_src(stages()[n]);
  }

  /// The products of the next chunk.
  LAMELLA_DEVICE void add_next(float (&sums)[Tiles::kUnitTiles][Tiles::kRowTiles][4]) {
    wait_for_copies<Tiles::kStages - 1>();
    auto& stage = stages()[stage_];
    uint4 x[Tiles::kRowTiles];
    LAMELLA_UNROLL
    for (int n = 0; n < Tiles::kRowTiles; ++n) x[n] = stage[2 * Tiles::kUnitTiles + n][thread_index()];
    LAMELLA_UNROLL
    for (int product = 0; product < 2 * Tiles::kUnitTiles; ++product) {
      const uint4 w = stage[product][thread_index()];
      const bool low = product < Tiles::kUnitTiles;
      LAMELLA_UNROLL
      for (int n = 0; n < Tiles::kRowTiles; ++n)
        multiply_add<T>(sums[product % Tiles::kUnitTiles][n], w, low ? uint2{x[n].x, x[n].y} : uint2{x[n].z, x[n].w});
    }
    bring_weights(stage, 0);
    bring_src(stage);
    stage_ = stage_ == Tiles::kStages - 1 ? 0 : stage_ + 1;
  }

 private:
  static constexpr int kWidth = 16 / static_cast<int>(sizeof(T));
  LAMELLA_DEVICE static auto& stages() { return shared_memory<typename Tiles::Shared>().stages; }

  /// The weights of the chunk after the next `ahead` ones.
  LAMELLA_DEVICE void bring_weights(uint4 (&stage)[Tiles::kPacks][Tiles::kThreads], int ahead) {
    const int bytes = chunk_ + ahead * Tiles::kWarps < end_ ? 16 : 0;
    const T* const from = kernel_ + ahead * g_.padded_units * kApart;
    LAMELLA_UNROLL
    for (int product = 0; product < 2 * Tiles::kUnitTiles; ++product) {
      const int number = product / Tiles::kUnitTiles * 4 + product % Tiles::kUnitTiles;  // among the eight of a group
      copy_async(&stage[product][thread_index()], from + number * static_cast<int>(kWarp) * kWidth, bytes);
    }
  }

  /// The next chunk's part of src; the chunk is complete then.
  LAMELLA_DEVICE void bring_src(uint4 (&stage)[Tiles::kPacks][Tiles::kThreads]) {
    const bool exists = chunk_ < end_;
    LAMELLA_UNROLL
    for (int n = 0; n < Tiles::kRowTiles; ++n) {
      uint4* const to = &stage[2 * Tiles::kUnitTiles + n][thread_index()];
      const T* const from = src_ + n * 8 * std::int64_t{g_.inputs};
      const bool some = exists && row_ + n * 8 < g_.batch;
      if (g_.src_packs) {
        copy_async(to, from, some && input_ < g_.inputs ? 16 : 0);
      } else {
        Pack<T, kWidth> pack;
        LAMELLA_UNROLL
        for (int k = 0; k < kWidth; ++k) pack.at[k] = some && input_ + k < g_.inputs ? from[k] : T{};
        *reinterpret_cast<Pack<T, kWidth>*>(to) = pack;
      }
    }
    commit_copies();
    chunk_ += Tiles::kWarps;
    input_ += kApart;
    src_ += kApart;
    kernel_ += g_.padded_units * kApart;
  }

  static constexpr int kApart = Tiles::kWarps * static_cast<int>(MmaLayout::kInputs);

  const Few<T>& g_;
  const T* src_;  ///< of the next chunk, like all members here
  const T* kernel_;
  std::int64_t row_;
  int end_;
  int chunk_;
  int input_;
  int stage_ = 0;
};

/// The index in a group of 64 units of unit `local` of part `part`; a part has kUnits.
template <typename Tiles>
LAMELLA_DEVICE int unit_of(int part, int local) {
  if constexpr (Tiles::kUnitTiles == 1) return part / 2 * 32 + local / 2 * 4 + part % 2 * 2 + local % 2;
  return part * Tiles::kUnits + local;
}

/// A block's sums, warp by warp.
template <typename T, typename Tiles>
LAMELLA_DEVICE void add_slice(const Few<T>& g, std::int64_t row0, std::int64_t unit0, int first, int end) {
  const int warp = static_cast<int>(thread_index() / kWarp);
  const int lane = static_cast<int>(thread_index() % kWarp);
  float sums[Tiles::kUnitTiles][Tiles::kRowTiles][4] = {};
  Stream<T, Tiles> stream(g, row0, unit0, first + warp, end);
  LAMELLA_NO_UNROLL
  for (int chunk = first + warp; chunk < end; chunk += Tiles::kWarps) stream.add_next(sums);
  wait_for_copies<0>();
  barrier();
  auto& partial = shared_memory<typename Tiles::Shared>().partial[warp];
  LAMELLA_UNROLL
  for (int u = 0; u < Tiles::kUnitTiles; ++u) {
    const int pair = Tiles::kUnitTiles == 1 ? lane / 4 * 2 : u / 2 * 32 + lane / 4 * 4 + u % 2 * 2;  // of neighbouring units
    LAMELLA_UNROLL
    for (int n = 0; n < Tiles::kRowTiles; ++n) {
      LAMELLA_UNROLL
      for (int k = 0; k < 4; ++k) partial[n * 8 + lane % 4 * 2 + k % 2][pair + k / 2] = sums[u][n][k];
    }
  }
  barrier();
}

template <typename T, typename Tiles>
LAMELLA_DEVICE void block_of_results(const Few<T>& g) {
  const std::int64_t unit0 = block_x() * Tiles::kUnits;
  const std::int64_t row0 = std::int64_t{blockIdx.z} * Tiles::kRows;
  const int local = static_cast<int>(thread_index()) % Tiles::kUnits;
  const auto part = static_cast<int>(unit0 % MmaLayout::kUnits) / Tiles::kUnits;
  const std::int64_t group = unit0 / MmaLayout::kUnits * MmaLayout::kUnits;
  const std::int64_t unit = group + unit_of<Tiles>(part, local);
  if (group + unit_of<Tiles>(part, 0) >= g.units) return wait_for_previous();              // padding only
  const float bias = g.bias != nullptr && unit < g.units ? __ldcg(g.bias + unit) : -0.0F;  // x + -0 is x
  const int first = static_cast<int>(block_y()) * g.slice;
  add_slice<T, Tiles>(g, row0, unit0, first, g.chunks - first < g.slice ? g.chunks : first + g.slice);
  if (unit >= g.units) return;
  const auto& partial = shared_memory<typename Tiles::Shared>().partial;
  LAMELLA_NO_UNROLL
  for (int r = static_cast<int>(thread_index()) / Tiles::kUnits; r < Tiles::kRows && row0 + r < g.batch;
       r += Tiles::kThreads / Tiles::kUnits) {
    float sum = 0;
    LAMELLA_UNROLL
    for (int w = 0; w < Tiles::kWarps; ++w) sum = sum + partial[w][r][local];
    const std::int64_t at = (row0 + r) * g.units + unit;
    if (g.sums != nullptr) {
      g.sums[block_y() * g.batch * g.units + at] = sum;
    } else {
      g.dst[at] = narrow<T>(activate<FormulaOf<T>>(g.activation, sum + bias, g.parameters));
    }
  }
}

template <typename T, typename Tiles>
LAMELLA_KERNEL(Tiles::kThreads)
mma_small_batch_kernel(const __grid_constant__ Few<T> g) {
  if (LAMELLA_HAS_MMA != 0) {
    let_next_begin();
    block_of_results<T, Tiles>(g);
  } else {
    __trap();
  }
}

using EightRows = FewTiling<1, 1, 8, 4>;  ///< as many blocks as possible
using MoreRows = FewTiling<2, 4, 4, 3>;   ///< 32 rows by 32 units: reads src half as often

/// Reading src less often pays if there are units enough for most of a large GPU and src is more than a fourth of what a block
/// reads.
bool fit_eight_rows(const Dense& args) { return args.batch <= (args.units < 2048 ? 8 : 4); }

/// Blocks of a slice, and the bytes that one reads of a chunk.
template <typename Tiles>
std::int64_t blocks_of_slice(const Dense& args) {
  return MmaLayout{args.inputs, args.units}.padded_units() / Tiles::kUnits * tiles(args.batch, Tiles::kRows);
}
template <typename Tiles>
std::int64_t bytes_of_chunk(const Dense& args) {
  return (Tiles::kUnits + (args.batch < Tiles::kRows ? args.batch : Tiles::kRows)) * MmaLayout::kInputs * 2;
}

/// In chunks.
template <typename Tiles>
Slices chunk_slices(const Dense& args) {
  return slices_of(MmaLayout{args.inputs, args.units}.chunks(), Tiles::kWarps, blocks_of_slice<Tiles>(args),
                   bytes_of_chunk<Tiles>(args));
}

template <typename Tiles>
MmaSmallBatchBlocks division_of(const Dense& args) {
  const Slices slices = chunk_slices<Tiles>(args);
  return {blocks_of_slice<Tiles>(args) * slices.count, bytes_of_chunk<Tiles>(args) * slices.inputs, slices.count};
}

template <typename T, typename Tiles>
cudaError_t launch_few(const Dense& args, cudaStream_t stream) {
  const MmaLayout layout{args.inputs, args.units};
  const Slices slices = chunk_slices<Tiles>(args);
  const Few<T> g{static_cast<const T*>(args.src),
                 static_cast<const T*>(args.kernel),
                 static_cast<const float*>(args.bias),
                 static_cast<T*>(args.dst),
                 slices.count > 1 ? static_cast<float*>(args.workspace) : nullptr,
                 args.batch,
                 args.units,
                 layout.padded_units(),
                 static_cast<int>(args.inputs),
                 static_cast<int>(layout.chunks()),
                 slices.inputs,
                 aligned(args.src) && args.inputs % 8 == 0,
                 args.activation.kind,
                 Parameters<float>(args.activation)};
  const dim3 grid(blocks(layout.padded_units() / Tiles::kUnits), blocks(slices.count), blocks(tiles(args.batch, Tiles::kRows)));
  const cudaError_t status = launch({.grid = grid,
                                     .threads = Tiles::kThreads,
                                     .shared = sizeof(typename Tiles::Shared),
                                     .stream = stream,
                                     .overlaps = args.overlap == Overlap::all},
                                    mma_small_batch_kernel<T, Tiles>, g);
  return status != cudaSuccess || slices.count == 1 ? status : add_slices(args, slices.count, g.sums, stream);
}

}  // namespace

std::size_t mma_small_batch_workspace(const Dense& args) {
  const Slices slices = fit_eight_rows(args) ? chunk_slices<EightRows>(args) : chunk_slices<MoreRows>(args);
  return slices.workspace(args);
}

MmaSmallBatchBlocks mma_small_batch_blocks(const Dense& args) {
  return fit_eight_rows(args) ? division_of<EightRows>(args) : division_of<MoreRows>(args);
}

cudaError_t mma_small_batch(const Dense& args, cudaStream_t stream) {
  if (args.batch == 0 || args.units == 0) return cudaSuccess;
  if (is_rowwise(args.activation.kind) || !aligned(args.kernel) || args.inputs > kMostSmallBatchInputs ||
      args.units > MmaLayout::kMostUnits || tiles(args.batch, MoreRows::kRows) > kMaxGridY)
    return cudaErrorInvalidValue;
  return visit_16_bits(args.dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    return fit_eight_rows(args) ? launch_few<T, EightRows>(args, stream) : launch_few<T, MoreRows>(args, stream);
  });
}

}  // namespace lamella::kernels
