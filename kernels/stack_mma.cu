// SPDX-License-Identifier: Apache-2.0
#include "kernels/mma.hpp"
#include "kernels/row_groups.hpp"
#include "kernels/stacked.hpp"

namespace lamella::kernels {
namespace {

constexpr int kChunk = static_cast<int>(StackLayout::inputs_of_chunk(DType::float16));
constexpr int kRowsOfWarp = 16;

/// A warp runs 16 rows through all layers and keeps each layer's results in registers. Of rows g and g + 8, lane 4g + t holds
/// elements 8t to 8t + 7 of each 32, of a layer's inputs as of its results. The warps of a block share the weights, which arrive
/// in chunks, kStages of them in flight, across the borders of layers.
template <int kWarpsOfBlock, int kWidthOfLayers>
struct MmaStackTiling {
  static constexpr int kThreads = kWarpsOfBlock * static_cast<int>(kWarp);
  static constexpr int kRows = kWarpsOfBlock * kRowsOfWarp;
  static constexpr int kWidth = kWidthOfLayers;
  /// Blocks that a multiprocessor holds. Wide results need more registers than LAMELLA_KERNEL allows.
  static constexpr int kTogether = (kWidth <= 64 ? 512 : 256) / kThreads;
  static constexpr int kParts = kWidth / kChunk;  ///< parts of 32 elements in a row
  static constexpr int kStages = 4;
  static constexpr int kPacks = kChunk * kWidth / 8;  ///< packs of 16 bytes in a chunk
  static_assert(kPacks % kThreads == 0);

  struct Shared {
    uint4 stages[kStages][kPacks];
    float4 sums[4][kThreads];  ///< private to each thread: its part of row g, then of row g + 8
  };
  static_assert(sizeof(Shared) <= 48 << 10);  // the limit without an opt-in
};

/// Eight neighbouring elements of a row; in registers a uint4, with two elements to a word.
template <typename T>
using Eight = Pack<T, 8>;
template <typename T>
LAMELLA_DEVICE uint4 words(const Eight<T>& x) {
  uint4 result;
  static_assert(sizeof(result) == sizeof(x));
  memcpy(&result, &x, sizeof(result));
  return result;
}
template <typename T>
LAMELLA_DEVICE Eight<T> elements(const uint4& x) {
  Eight<T> result;
  memcpy(&result, &x, sizeof(result));
  return result;
}

/// Streams the weights of all layers to shared memory.
template <typename T, typename Tiles>
class MmaChunks {
 public:
  LAMELLA_DEVICE explicit MmaChunks(const Stacked<T>& g) : from_(g.weights + thread_index() * 8), left_(g.chunks) {
    LAMELLA_UNROLL
    for (int n = 0; n < Tiles::kStages - 1; ++n) bring(n);
  }

  /// Waits until the next chunk is visible to all threads, and returns it; the preceding one may then be overwritten.
  LAMELLA_DEVICE const uint4* next() {
    wait_for_copies<Tiles::kStages - 2>();
    barrier();
    bring(stage_ == 0 ? Tiles::kStages - 1 : stage_ - 1);
    const uint4* const chunk = shared_memory<typename Tiles::Shared>().stages[stage_];
    stage_ = stage_ == Tiles::kStages - 1 ? 0 : stage_ + 1;
    return chunk;
  }

 private:
  LAMELLA_DEVICE void bring(int stage) {
    if (left_ > 0) {
      uint4* const to = shared_memory<typename Tiles::Shared>().stages[stage] + thread_index();
      LAMELLA_UNROLL
      for (int n = 0; n < Tiles::kPacks; n += Tiles::kThreads) copy_async(to + n, from_ + n * 8, 16);
    }
    commit_copies();
    from_ += kChunk * Tiles::kWidth;
    --left_;
  }

  const T* from_;
  int left_;
  int stage_ = 0;
};

/// Reads and writes a lane's two rows of an array, without those that do not exist.
template <typename T>
struct LaneRows {
  std::int64_t stride;
  std::int64_t row;   ///< row g; the other is row + 8
  std::int64_t rows;  ///< of the array
  int width;          ///< elements in a row
  bool packs;         ///< rows consist of aligned packs

  /// Elements `first` to `first + 7`; zeros for those that do not exist.
  LAMELLA_DEVICE uint4 load(const T* src, int half, int first) const {
    const std::int64_t n = row + half * 8;
    if (n >= rows || first >= width) return uint4{};
    const T* const from = src + n * stride + first;
    if (packs) return *reinterpret_cast<const uint4*>(from);
    Eight<T> result;
    LAMELLA_UNROLL
    for (int k = 0; k < 8; ++k) result.at[k] = first + k < width ? from[k] : T{};
    return words(result);
  }
  LAMELLA_DEVICE void store(T* dst, int half, int first, const uint4& x) const {
    const std::int64_t n = row + half * 8;
    if (n >= rows || first >= width) return;
    T* const to = dst + n * stride + first;
    if (packs) {
      *reinterpret_cast<uint4*>(to) = x;
      return;
    }
    const Eight<T> each = elements<T>(x);
    LAMELLA_UNROLL
    for (int k = 0; k < 8; ++k) {
      if (first + k < width) to[k] = each.at[k];
    }
  }
};

/// A lane's 8 of 32 elements, in each of its two rows.
struct Part {
  uint4 of[2];
};

/// Adds the products of a chunk: for every eight units first half of the lane's inputs, then the other half.
template <typename T, typename Tiles>
LAMELLA_DEVICE void multiply(float (&sums)[Tiles::kParts * 4][4], const Part& x, const uint4* chunk) {
  const uint4& upper = x.of[0];
  const uint4& lower = x.of[1];
  const unsigned lane = thread_index() % kWarp;
  LAMELLA_UNROLL
  for (int n = 0; n < Tiles::kParts * 4; ++n) {
    const uint4 w = chunk[n * static_cast<int>(kWarp) + lane];
    multiply_add<T>(sums[n], {upper.x, lower.x, upper.y, lower.y}, {w.x, w.y});
    multiply_add<T>(sums[n], {upper.z, lower.z, upper.w, lower.w}, {w.z, w.w});
  }
}

/// Applies the activation, by the formulas for T, to the sums that this thread stored in shared memory.
template <typename Op, typename T, typename Tiles>
LAMELLA_DEVICE void activate_sums(const StackedLayer& layer) {
  using F = FormulaOf<T>;
  auto& sums = shared_memory<typename Tiles::Shared>().sums;
  const F p0(layer.parameters[0]);
  const F p1(layer.parameters[1]);
  const F p2(layer.parameters[2]);
  const auto apply = [&](float x) { return static_cast<float>(Op::apply(static_cast<F>(x), p0, p1, p2)); };
  LAMELLA_NO_UNROLL
  for (int n = 0; n < 4; ++n) {
    const float4 x = sums[n][thread_index()];
    sums[n][thread_index()] = float4{apply(x.x), apply(x.y), apply(x.z), apply(x.w)};
  }
}
template <typename T, typename Tiles>
LAMELLA_DEVICE void activate_sums(const StackedLayer& layer) {
  if (layer.activation == ActivationKind::Linear) return;
  switch (layer.activation) {  // outside the loops over elements
#define LAMELLA_ELEMENTWISE(Name, ...) \
  case ActivationKind::Name:           \
    return activate_sums<core::ActivationOp<ActivationKind::Name>, T, Tiles>(layer);
#include <lamella/activation.def>
    default:
      return;
  }
}

/// Eight of the sums that this thread stored in shared memory, rounded to T; zeros from element `left` on.
template <typename T, typename Tiles>
LAMELLA_DEVICE Eight<T> rounded(int half, int left) {
  auto& sums = shared_memory<typename Tiles::Shared>().sums;
  const float4 low = sums[half * 2][thread_index()];
  const float4 high = sums[half * 2 + 1][thread_index()];
  const float all[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
  Eight<T> result;
  LAMELLA_UNROLL
  for (int k = 0; k < 8; ++k) result.at[k] = k < left ? narrow<T>(all[k]) : T{};
  return result;
}

/// The rows of one warp on their way through the stack.
template <typename T, typename Tiles>
class WarpRows {
 public:
  LAMELLA_DEVICE WarpRows(const Stacked<T>& g, bool src_packs, bool dst_packs)
      : g_(g),
        row_(block_x() * Tiles::kRows + thread_index() / kWarp * kRowsOfWarp + thread_index() % kWarp / 4),
        first_(static_cast<int>(thread_index()) % 4 * 8),
        src_packs_(src_packs),
        dst_packs_(dst_packs) {}

  LAMELLA_DEVICE void run() {
    MmaChunks<T, Tiles> chunks(g_);
    LAMELLA_NO_UNROLL
    for (int n = 0; n < g_.layers; ++n) {
      const StackedLayer& layer = g_.layer[n];
      float sums[Tiles::kParts * 4][4] = {};
      if (layer.bias != kNothing) {
        if (n == 0) {
          add_products_of_src(sums, chunks, layer);
        } else {
          add_products(sums, chunks, layer);
        }
      }
      finish(sums, layer);
    }
    if (g_.softmax) softmax();
    const int units = g_.layer[g_.layers - 1].units;
    const LaneRows<T> dst{units, row_, g_.batch, units, dst_packs_};
    LAMELLA_UNROLL
    for (int p = 0; p < Tiles::kParts; ++p) {
      LAMELLA_UNROLL
      for (int half = 0; half < 2; ++half) dst.store(g_.dst, half, p * kChunk + first_, x_[p].of[half]);
    }
  }

 private:
  using Sums = float[Tiles::kParts * 4][4];

  LAMELLA_DEVICE uint4 load_src(int half, int first) const {
    return LaneRows<T>{g_.inputs, row_, g_.batch, g_.inputs, src_packs_}.load(g_.src, half, first);
  }
  /// Rows of a kept result. They are padded, so packs are always whole.
  LAMELLA_DEVICE LaneRows<T> kept_rows() const { return {Tiles::kWidth, row_, g_.batch, Tiles::kWidth, true}; }
  LAMELLA_DEVICE T* place(int n) const { return g_.workspace + n * g_.batch * Tiles::kWidth; }

  LAMELLA_DEVICE void add_products_of_src(Sums& sums, MmaChunks<T, Tiles>& chunks, const StackedLayer& layer) {
    const auto load = [&](int n) { return Part{{load_src(0, n * kChunk + first_), load_src(1, n * kChunk + first_)}}; };
    Part ahead = load(0);
    LAMELLA_NO_UNROLL
    for (int n = 0; n < layer.chunks; ++n) {
      const Part x = ahead;
      ahead = load(n + 1);
      multiply<T, Tiles>(sums, x, chunks.next());
    }
  }

  LAMELLA_DEVICE void add_products(Sums& sums, MmaChunks<T, Tiles>& chunks, const StackedLayer& layer) {
    LAMELLA_UNROLL
    for (int p = 0; p < Tiles::kParts; ++p) {
      if (p < layer.chunks) multiply<T, Tiles>(sums, x_[p], chunks.next());
    }
  }

  /// Bias, activation and residual sum, 32 elements at a time in a loop, so that the code of the activations exists once.
  LAMELLA_DEVICE void finish(const Sums& sums, const StackedLayer& layer) {
    auto& shared = shared_memory<typename Tiles::Shared>().sums;
    const bool joins = layer.joined[0] != kNothing;
    if (joins) barrier();  // other lanes have kept the values
    LAMELLA_NO_UNROLL
    for (int part = 0; part < Tiles::kParts && part * kChunk < layer.units; ++part) {
      const int first = part * kChunk + first_;
      LAMELLA_UNROLL
      for (int p = 0; p < Tiles::kParts; ++p) {
        if (p != part) continue;
        LAMELLA_UNROLL
        for (int n = 0; n < 4; ++n) {
          float four[4];
          LAMELLA_UNROLL
          for (int k = 0; k < 4; ++k) {
            const int element = n % 2 * 4 + k;
            const float sum = sums[p * 4 + element / 2][n / 2 * 2 + element % 2];
            four[k] = layer.bias != kNothing ? sum + g_.bias[layer.bias + first + element]
                      : joins                ? joined(layer, n / 2, first + element)
                                             : widen<float>(elements<T>(x_[p].of[n / 2]).at[element]);
          }
          shared[n][thread_index()] = float4{four[0], four[1], four[2], four[3]};
        }
      }
      activate_sums<T, Tiles>(layer);
      Part y;
      LAMELLA_UNROLL
      for (int half = 0; half < 2; ++half) y.of[half] = mixed(rounded<T, Tiles>(half, layer.units - first), layer, half, first);
      LAMELLA_UNROLL
      for (int p = 0; p < Tiles::kParts; ++p) {
        if (p == part) x_[p] = y;
      }
    }
    LAMELLA_UNROLL
    for (int p = 0; p < Tiles::kParts; ++p) {
      if (p * kChunk >= layer.units) x_[p] = Part{};
    }
    if (joins) barrier();  // their places are free
  }

  /// An element of two earlier values side by side; zero if it does not exist.
  LAMELLA_DEVICE float joined(const StackedLayer& layer, int half, int unit) const {
    const std::int64_t row = row_ + half * 8;
    if (row >= g_.batch || unit >= layer.units) return 0;
    const JoinedElement from = joined_element(layer, unit);
    const T* const values = from.place == kSource ? g_.src + row * g_.inputs : place(from.place) + row * Tiles::kWidth;
    return widen<float>(values[from.unit]);
  }

  /// Adds the addend. A result that a later layer adds is kept in the workspace, at a place that only this thread reads.
  LAMELLA_DEVICE uint4 mixed(Eight<T> y, const StackedLayer& layer, int half, int first) const {
    if (layer.added != kNothing) {
      const uint4 from = layer.added == kSource ? load_src(half, first) : kept_rows().load(place(layer.added), half, first);
      const Eight<T> other = elements<T>(from);
      LAMELLA_UNROLL
      for (int k = 0; k < 8; ++k) y.at[k] = narrow<T>(widen<float>(y.at[k]) + widen<float>(other.at[k]));
    }
    const uint4 result = words(y);
    if (layer.kept != kNothing) kept_rows().store(place(layer.kept), half, first, result);
    return result;
  }

  /// Softmax of each row, which is spread over four lanes.
  LAMELLA_DEVICE void softmax() {
    LAMELLA_UNROLL
    for (int half = 0; half < 2; ++half) {
      float shift = -kInfinity<float>;
      each(half, [&](float x) { return shift = Largest::of(shift, x), x; });
      shift = butterfly<Largest, 4>(shift);
      float total = 0;
      each(half, [&](float x) { return total += core::math::exp(x - shift), x; });
      total = butterfly<Sum, 4>(total);
      each(half, [&](float x) { return core::math::exp(x - shift) / total; });
    }
  }
  /// Replaces x by f(x) for each element of the row that exists.
  template <typename F>
  LAMELLA_DEVICE void each(int half, const F& f) {
    const int units = g_.layer[g_.layers - 1].units;
    LAMELLA_UNROLL
    for (int p = 0; p < Tiles::kParts; ++p) {
      Eight<T> x = elements<T>(x_[p].of[half]);
      LAMELLA_UNROLL
      for (int k = 0; k < 8; ++k) {
        if (p * kChunk + first_ + k < units) x.at[k] = narrow<T>(f(widen<float>(x.at[k])));
      }
      x_[p].of[half] = words(x);
    }
  }

  const Stacked<T>& g_;
  std::int64_t row_;
  int first_;
  bool src_packs_, dst_packs_;
  Part x_[Tiles::kParts] = {};
};

template <typename T, typename Tiles>
__global__ void __launch_bounds__(Tiles::kThreads, Tiles::kTogether)
    stack_mma_kernel(const __grid_constant__ Stacked<T> g, bool src_packs, bool dst_packs) {
  if (LAMELLA_HAS_MMA != 0) {
    WarpRows<T, Tiles>(g, src_packs, dst_packs).run();
  } else {
    __trap();
  }
}

template <typename T, typename Tiles>
cudaError_t launch_stack(const Stacked<T>& g, cudaStream_t stream) {
  const auto packs = [](const void* pointer, int width) { return aligned(pointer) && width % 8 == 0; };
  return launch({.grid = dim3(blocks(tiles(g.batch, Tiles::kRows))),
                 .threads = Tiles::kThreads,
                 .shared = sizeof(typename Tiles::Shared),
                 .stream = stream},
                stack_mma_kernel<T, Tiles>, g, packs(g.src, g.inputs), packs(g.dst, g.layer[g.layers - 1].units));
}

/// With many rows eight warps share the weights that a block reads; with fewer rows small blocks occupy more of a large GPU.
template <typename T, int kWidth>
cudaError_t launch_stack(const Stacked<T>& g, StackTile tile, cudaStream_t stream) {
  constexpr DType k16Bits = DType::float16;
  constexpr auto warps = [](StackTile of) { return static_cast<int>(stack_rows(k16Bits, kWidth, of)) / kRowsOfWarp; };
  if (tile == StackTile::automatic) tile = stack_tile(k16Bits, kWidth, g.batch);
  return tile == StackTile::many_rows ? launch_stack<T, MmaStackTiling<warps(StackTile::many_rows), kWidth>>(g, stream)
                                      : launch_stack<T, MmaStackTiling<warps(StackTile::few_rows), kWidth>>(g, stream);
}

}  // namespace

cudaError_t stack_16_bits(const Stack& args, cudaStream_t stream) {
  if (!is_possible(args, stack_rows(args.dtype, kMostStackWidth, StackTile::few_rows))) return cudaErrorInvalidValue;
  if (args.batch == 0 || args.layers.back().units == 0) return cudaSuccess;
  return visit_16_bits(args.dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    const auto g = stacked<T>(args);
    return StackLayout(args.layers, args.dtype).width() == StackLayout::kNarrow
               ? launch_stack<T, static_cast<int>(StackLayout::kNarrow)>(g, args.tile, stream)
               : launch_stack<T, static_cast<int>(kMostStackWidth)>(g, args.tile, stream);
  });
}

}  // namespace lamella::kernels
