// SPDX-License-Identifier: Apache-2.0
#include "kernels/activation.hpp"
#include "kernels/mma.hpp"
#include "kernels/mma_float32.hpp"

namespace lamella::kernels {
namespace {

constexpr int kRowTiles = 4;   ///< of a warp, 8 rows each
constexpr int kUnitTiles = 2;  ///< of a warp, 16 units each
constexpr int kParts = static_cast<int>(MmaFloat32Layout::kParts);
constexpr int kSrcPacks = 4;      ///< of 16 bytes: a row's inputs in a chunk
constexpr int kGroupPacks = 192;  ///< of a group of 32 units in a chunk
constexpr int kFinished = 4;      ///< of a thread's packs of results: those in shared memory at a time

/// A warp computes 32 x 32 results, a block kRowWarps x kUnitWarps times as many, stepping along the inputs in chunks of 16, of
/// which kStages are in shared memory; one is multiplied while the others are being copied.
template <int kRowWarps, int kUnitWarps, int kStagesOfAll>
struct Float32Tiling {
  static constexpr int kAcross = kUnitWarps;
  static constexpr int kStages = kStagesOfAll;
  static constexpr int kThreads = kRowWarps * kUnitWarps * static_cast<int>(kWarp);
  static constexpr int kRows = kRowWarps * 32;
  static constexpr int kUnits = kUnitWarps * 32;
  static constexpr int kSrcCopies = kRows * kSrcPacks / kThreads;
  static constexpr int kKernelPacks = kUnitWarps * kGroupPacks;
  static_assert(kRows * kSrcPacks % kThreads == 0);

  struct Chunk {
    uint4 src[kRows * kSrcPacks];
    uint4 kernel[kKernelPacks];
  };
  union Shared {
    Chunk stages[kStages];
    float4 sums[kFinished][kThreads];  ///< each thread's own
  };
  static_assert(sizeof(Shared) <= 48 << 10);  // what a kernel gets without asking for more
};

struct Float32Product {
  const float* src;
  const uint16_t* kernel;
  const float* bias;
  float* dst;
  std::int64_t batch;
  MmaFloat32Layout layout;
  bool src_packs, dst_packs;  ///< rows are made of aligned packs of 16 bytes
  ActivationKind activation;
  Parameters<float> parameters;
};

/// The part of every chunk that a thread copies.
template <typename Tiles, bool kPacked>
class Float32Bringing {
 public:
  LAMELLA_DEVICE Float32Bringing(const Float32Product& g, std::int64_t row0, std::int64_t unit0) {
    const int thread = static_cast<int>(thread_index());
    const std::int64_t row = row0 + thread / kSrcPacks;
    const int input = thread % kSrcPacks * 4;
    src_ = g.src + row * g.layout.inputs + input;
    inputs_ = static_cast<int>(g.layout.inputs) - input;
    rows_ = at_most(g.batch - row, Tiles::kRows);
    const std::int64_t group = unit0 / MmaFloat32Layout::kUnits;
    kernel_ = reinterpret_cast<const uint4*>(g.kernel) + group * kGroupPacks + thread;
    packs_ = at_most((g.layout.groups() - group) * kGroupPacks, Tiles::kKernelPacks) - thread;
  }

  /// Starts copying the next chunk if there is one.
  LAMELLA_DEVICE void operator()(typename Tiles::Chunk& stage, const Float32Product& g) {
    constexpr int kApart = Tiles::kThreads / kSrcPacks;
    const int thread = static_cast<int>(thread_index());
    if (inputs_ + thread % kSrcPacks * 4 <= 0) return;
    LAMELLA_UNROLL
    for (int n = 0; n < Tiles::kSrcCopies; ++n) {
      uint4* const to = &stage.src[thread + n * Tiles::kThreads];
      const float* const from = src_ + n * kApart * g.layout.inputs;
      const bool some = n * kApart < rows_;
      if constexpr (kPacked) {
        copy_async(to, from, some && inputs_ > 0 ? 16 : 0);
      } else {
        LAMELLA_UNROLL
        for (int k = 0; k < 4; ++k) copy_async(reinterpret_cast<float*>(to) + k, from + k, some && k < inputs_);
      }
    }
    LAMELLA_UNROLL
    for (int at = 0; at < Tiles::kKernelPacks; at += Tiles::kThreads) {
      if (at + thread < Tiles::kKernelPacks) copy_async(&stage.kernel[at + thread], kernel_ + at, at < packs_ ? 16 : 0);
    }
    src_ += MmaFloat32Layout::kInputs;
    inputs_ -= static_cast<int>(MmaFloat32Layout::kInputs);
    kernel_ += g.layout.groups() * kGroupPacks;
  }

 private:
  LAMELLA_DEVICE static int at_most(std::int64_t n, int most) { return n < most ? static_cast<int>(n) : most; }

  const float* src_;  ///< of the next chunk, like all members
  const uint4* kernel_;
  int inputs_;  ///< inputs left, counted from the first that this thread copies
  int rows_;
  int packs_;
};

LAMELLA_DEVICE unsigned rounded_pair(float low, float high) {
  unsigned pair = 0;
#if LAMELLA_HAS_MMA
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
#endif
  return pair;
}

/// The parts of two neighbouring inputs, which become two halves of a word each; they are scaled, by way of a factor that makes
/// numbers from kMmaInputLimit on infinite.
LAMELLA_DEVICE void split(float low, float high, unsigned& first, unsigned& second, unsigned& third) {
  constexpr float kOver = 0x1p127F / kMmaInputLimit * 2;
  low = low * kOver * (kMmaScale / kOver);
  high = high * kOver * (kMmaScale / kOver);
  first = rounded_pair(low, high);
  low = low - __uint_as_float(first << 16);
  high = high - __uint_as_float(first & 0xFFFF'0000U);
  second = rounded_pair(low, high);
  third = rounded_pair(low - __uint_as_float(second << 16), high - __uint_as_float(second & 0xFFFF'0000U));
}

/// Adds the products of a chunk. Tensor cores cut what they add to the last bit of the largest term, so their sums begin at zero
/// in each chunk and are added to the others in float32: first all but the highest products, which are small, then those, whose
/// 16 bits leave room for eight more. For tensor cores rows are columns, and units are rows.
template <typename Tiles>
LAMELLA_DEVICE void multiply(float (&sums)[kUnitTiles][kRowTiles][4], const typename Tiles::Chunk& stage) {
  const int lane = static_cast<int>(thread_index() % kWarp);
  const int warp = static_cast<int>(thread_index() / kWarp);
  const uint4* const src = &stage.src[warp / Tiles::kAcross * 32 * kSrcPacks + lane];
  const uint4* const kernel = &stage.kernel[warp % Tiles::kAcross * kGroupPacks + lane];
  uint2 x[kParts][kRowTiles];
  LAMELLA_UNROLL
  for (int n = 0; n < kRowTiles; ++n) {
    const float4 pack = reinterpret_cast<const float4&>(src[n * static_cast<int>(kWarp)]);
    split(pack.x, pack.y, x[0][n].x, x[1][n].x, x[2][n].x);
    split(pack.z, pack.w, x[0][n].y, x[1][n].y, x[2][n].y);
  }
  LAMELLA_UNROLL
  for (int u = 0; u < kUnitTiles; ++u) {
    uint4 w[kParts];
    LAMELLA_UNROLL
    for (int p = 0; p < kParts; ++p) w[p] = kernel[(u * kParts + p) * static_cast<int>(kWarp)];
    float small[kRowTiles][4] = {};
    const auto add = [&](float(&to)[kRowTiles][4], int weights, int inputs) {
      LAMELLA_UNROLL
      for (int n = 0; n < kRowTiles; ++n) multiply_add<__nv_bfloat16>(to[n], w[weights], x[inputs][n]);
    };
    add(small, 2, 0);
    add(small, 1, 1);
    add(small, 0, 2);
    add(small, 1, 0);
    add(small, 0, 1);
    float large[kRowTiles][4] = {};
    add(large, 0, 0);
    LAMELLA_UNROLL
    for (int n = 0; n < kRowTiles; ++n) {
      LAMELLA_UNROLL
      for (int k = 0; k < 4; ++k) sums[u][n][k] = (sums[u][n][k] + small[n][k]) + large[n][k];
    }
  }
}

/// All chunks in order, so that the order of a sum is always the same.
template <typename Tiles, bool kPacked>
LAMELLA_DEVICE void add_products(float (&sums)[kUnitTiles][kRowTiles][4], const Float32Product& g, std::int64_t row0,
                                 std::int64_t unit0) {
  auto& shared = shared_memory<typename Tiles::Shared>();
  const int chunks = static_cast<int>(tiles(g.layout.inputs, MmaFloat32Layout::kInputs));
  Float32Bringing<Tiles, kPacked> bring(g, row0, unit0);
  LAMELLA_UNROLL
  for (int n = 0; n < Tiles::kStages - 1; ++n) {
    bring(shared.stages[n], g);
    commit_copies();
  }
  int stage = 0;
  LAMELLA_NO_UNROLL
  for (int chunk = 0; chunk < chunks; ++chunk) {
    wait_for_copies<Tiles::kStages - 2>();
    barrier();  // the stage has arrived for all threads, and all have read the previous one
    bring(shared.stages[stage == 0 ? Tiles::kStages - 1 : stage - 1], g);
    commit_copies();
    multiply<Tiles>(sums, shared.stages[stage]);
    stage = stage == Tiles::kStages - 1 ? 0 : stage + 1;
  }
}

LAMELLA_DEVICE float weight(const Float32Product& g, std::int64_t input, std::int64_t unit) {
  const uint16_t* const parts = g.kernel + g.layout.at(input, unit);
  const unsigned middle = unsigned{parts[MmaFloat32Layout::kPart]} << 16;
  const unsigned low = parts[2 * MmaFloat32Layout::kPart];
  const float high = __uint_as_float(unsigned{parts[0]} << 16);
  if (high != high) return __uint_as_float(middle | low);
  return (high + __uint_as_float(middle) + __uint_as_float(low << 16)) * (1 / kMmaScale);
}

/// Computes again what is not finite among a thread's sums in shared memory, whose order is that of finish().
template <typename Tiles>
LAMELLA_DEVICE void mend(const Float32Product& g, std::int64_t row0, std::int64_t unit0) {
  auto& shared = shared_memory<typename Tiles::Shared>();
  LAMELLA_NO_UNROLL
  for (int n = 0; n < kFinished * 4; ++n) {
    const std::int64_t row = row0 + n / 8 * 8 + n / 4 % 2;
    const std::int64_t unit = unit0 + n % 4;
    if (row >= g.batch || unit >= g.layout.units) continue;
    float& result = reinterpret_cast<float*>(&shared.sums[n / 4][thread_index()])[n % 4];
    if (fabsf(result) < kInfinity<float>) continue;
    float sum = 0;
    LAMELLA_NO_UNROLL
    for (std::int64_t i = 0; i < g.layout.inputs; ++i)
      sum = core::math::fma(g.src[row * g.layout.inputs + i], weight(g, i, unit), sum);
    result = g.bias != nullptr ? sum + g.bias[unit] : sum;
  }
}

/// Applies the activation to a thread's sums in shared memory, four neighbours at a time, in a row and the next one; then in both
/// rows 8 rows later.
template <typename Op, typename Tiles>
LAMELLA_DEVICE void finish(const Float32Product& g, std::int64_t row0, std::int64_t unit) {
  const auto& shared = shared_memory<typename Tiles::Shared>();
  if (unit >= g.layout.units) return;
  LAMELLA_NO_UNROLL
  for (int n = 0; n < kFinished; ++n) {
    const std::int64_t row = row0 + n / 2 * 8 + n % 2;
    if (row >= g.batch) return;
    const float4 sums = shared.sums[n][thread_index()];
    const auto apply = [&](float x) { return activated<Op, float>(x, g.parameters); };
    const Pack<float, 4> results{apply(sums.x), apply(sums.y), apply(sums.z), apply(sums.w)};
    float* const dst = g.dst + row * g.layout.units + unit;
    if (g.dst_packs) {
      *reinterpret_cast<Pack<float, 4>*>(dst) = results;
      continue;
    }
    LAMELLA_UNROLL
    for (int k = 0; k < 4; ++k) {
      if (unit + k < g.layout.units) dst[k] = results.at[k];
    }
  }
}

template <typename Tiles>
LAMELLA_DEVICE void finish(const Float32Product& g, std::int64_t row0, std::int64_t unit) {
  switch (g.activation) {  // once for all sums
#define LAMELLA_ELEMENTWISE(Name, ...) \
  case ActivationKind::Name:           \
    return finish<core::ActivationOp<ActivationKind::Name>, Tiles>(g, row0, unit);
#include <lamella/activation.def>
    default:
      return;
  }
}

template <typename Tiles>
LAMELLA_DEVICE void block_of_results(const Float32Product& g, std::int64_t row0, std::int64_t unit0) {
  auto& shared = shared_memory<typename Tiles::Shared>();
  float sums[kUnitTiles][kRowTiles][4] = {};
  if (g.src_packs) {
    add_products<Tiles, true>(sums, g, row0, unit0);
  } else {
    add_products<Tiles, false>(sums, g, row0, unit0);
  }
  const int lane = static_cast<int>(thread_index() % kWarp);
  const int warp = static_cast<int>(thread_index() / kWarp);
  const std::int64_t unit = unit0 + warp % Tiles::kAcross * 32 + lane / 4 * 4;
  const std::int64_t row = row0 + warp / Tiles::kAcross * 32 + lane % 4 * 2;
  float bias[4];
  LAMELLA_UNROLL
  for (int k = 0; k < 4; ++k) bias[k] = g.bias != nullptr && unit + k < g.layout.units ? g.bias[unit + k] : -0.0F;  // x + -0 is x
  barrier();
  constexpr float kBack = 1 / (kMmaScale * kMmaScale);
  LAMELLA_UNROLL
  for (int first = 0; first < 2 * kRowTiles; first += kFinished) {
    LAMELLA_UNROLL
    for (int n = 0; n < kFinished; ++n) {
      const int tile = (first + n) / 2;
      const int k = n % 2;
      const auto result = [&](float x, int of) { return x * kBack + bias[of]; };
      shared.sums[n][thread_index()] = float4{result(sums[0][tile][k], 0), result(sums[0][tile][2 + k], 1),
                                              result(sums[1][tile][k], 2), result(sums[1][tile][2 + k], 3)};
    }
    mend<Tiles>(g, row + first / 2 * 8, unit);
    finish<Tiles>(g, row + first / 2 * 8, unit);
  }
}

template <typename Tiles>
LAMELLA_KERNEL(Tiles::kThreads)
mma_gemm_float32_kernel(const __grid_constant__ Float32Product g) {
  if (LAMELLA_HAS_MMA != 0) {
    block_of_results<Tiles>(g, block_x() * Tiles::kRows, block_y() * Tiles::kUnits);
  } else {
    __trap();
  }
}

using ManyRows = Float32Tiling<4, 4, 2>;
using FewRows = Float32Tiling<2, 2, 4>;
static_assert(ManyRows::kRows == mma_float32_block(MmaTile::many_rows).rows &&
              ManyRows::kUnits == mma_float32_block(MmaTile::many_rows).units);
static_assert(FewRows::kRows == mma_float32_block(MmaTile::few_rows).rows &&
              FewRows::kUnits == mma_float32_block(MmaTile::few_rows).units);

template <typename Tiles>
cudaError_t launch_float32(const Float32Product& g, cudaStream_t stream) {
  const dim3 grid(blocks(tiles(g.batch, Tiles::kRows)), blocks(tiles(g.layout.units, Tiles::kUnits)));
  return launch({.grid = grid, .threads = Tiles::kThreads, .shared = sizeof(typename Tiles::Shared), .stream = stream},
                mma_gemm_float32_kernel<Tiles>, g);
}

}  // namespace

/// Both tilings sum over the inputs in the same order with the same instructions, so they give the same bits.
cudaError_t mma_gemm_float32(const Dense& args, MmaTile tile, cudaStream_t stream) {
  if (args.batch == 0 || args.units == 0) return cudaSuccess;
  if (args.dtype != DType::float32 || is_rowwise(args.activation.kind) || !aligned(args.kernel) || args.inputs > kMostMmaInputs ||
      args.units > MmaFloat32Layout::kMostUnits || tiles(args.batch, FewRows::kRows) > kMaxGridX)
    return cudaErrorInvalidValue;
  const Float32Product g{static_cast<const float*>(args.src),
                         static_cast<const uint16_t*>(args.kernel),
                         static_cast<const float*>(args.bias),
                         static_cast<float*>(args.dst),
                         args.batch,
                         {args.inputs, args.units},
                         aligned(args.src) && args.inputs % 4 == 0,
                         aligned(args.dst) && args.units % 4 == 0,
                         args.activation.kind,
                         Parameters<float>(args.activation)};
  if (tile == MmaTile::automatic) tile = mma_tile(args.batch, args.units);
  return tile == MmaTile::few_rows ? launch_float32<FewRows>(g, stream) : launch_float32<ManyRows>(g, stream);
}

}  // namespace lamella::kernels
