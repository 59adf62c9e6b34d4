// SPDX-License-Identifier: Apache-2.0
#include "kernels/activation.hpp"
#include "kernels/copy_async.hpp"
#include "kernels/kernels.hpp"
#include "kernels/lanes.hpp"
#include "kernels/slices.hpp"

namespace lamella::kernels {
namespace {

constexpr int kSmallThreads = 256;
constexpr int kWarps = kSmallThreads / static_cast<int>(kWarp);
constexpr int kMostAcross = 8;
constexpr int kStages = 8;       ///< a thread's packs on their way
constexpr int kValues = 4096;    ///< of src in shared memory at a time
constexpr int kSliceStep = 128;  ///< the most inputs that a block's threads process at once

template <typename T>
struct Small {
  const T* src;
  const T* kernel;
  const float* bias;
  T* dst;
  float* sums;  ///< (slices, batch, units), or null if there is only one slice
  std::int64_t batch, units, kernel_stride;
  int inputs, slice;  ///< inputs in all, and in a slice
  ActivationKind activation;
  Parameters<float> parameters;
  int across_log2;  ///< log2 of the packs of units that a block computes
};

/// A pack of a kernel's row is 16 bytes.
template <typename T>
inline constexpr int kPack = 16 / static_cast<int>(sizeof(T));

template <typename T, int kRows>
struct SmallTiling {
  static constexpr int kAtOnce = kRows < 4 ? kRows : 4;        ///< rows of src that are read together
  static constexpr int kInputs = kValues / kRows;              ///< of src in shared memory at a time
  static constexpr int kInputsEach = kInputs / kSmallThreads;  ///< of those, copied by one thread
  using Src = Pack<float, kAtOnce>[kRows / kAtOnce][kInputs];
  struct Streams {
    uint4 stages[kStages][kSmallThreads];
    Src src;
  };
  union Shared {
    Streams streams;
    float partial[kWarps][kMostAcross][kRows * kPack<T>];  ///< sums per warp
  };
  static_assert(sizeof(Shared) <= 48 << 10);  // the default limit; a multiprocessor from 8.0 on holds two such blocks
};

/// The weights of one thread: those of its pack of units, for every kDown-th input of the slice. They pass through a ring of
/// stages in shared memory that belongs to the thread, so that no thread waits for another.
template <typename T>
class Weights {
 public:
  /// `left`: inputs from the thread's first one, at `from`, to the end of the slice; `down` is the distance between two of its
  /// inputs.
  LAMELLA_DEVICE Weights(uint4 (&stages)[kStages][kSmallThreads], const T* from, std::int64_t stride, int left, int down)
      : stages_(stages), from_(from), step_(stride * down), left_(left), down_(down) {
    LAMELLA_UNROLL
    for (int n = 0; n < kStages; ++n) bring(n);
  }

  /// The next input's weights, or zeros after the last one.
  LAMELLA_DEVICE Pack<T, kPack<T>> next() {
    wait_for_copies<kStages - 1>();
    const auto weights = *reinterpret_cast<const Pack<T, kPack<T>>*>(&stages_[stage_][thread_index()]);
    bring(stage_);
    stage_ = (stage_ + 1) % kStages;
    return weights;
  }

 private:
  LAMELLA_DEVICE void bring(int stage) {
    copy_async(&stages_[stage][thread_index()], from_, left_ > 0 ? 16 : 0);
    commit_copies();
    from_ += step_;
    left_ -= down_;
  }

  uint4 (&stages_)[kStages][kSmallThreads];
  const T* from_;
  std::int64_t step_;
  int left_;
  int down_;
  int stage_ = 0;
};

/// The part of src that a thread copies to shared memory: from its first input up to `end`.
template <typename T, int kRows>
struct SmallSrc {
  using Tiles = SmallTiling<T, kRows>;
  T at[Tiles::kInputsEach][kRows];

  LAMELLA_DEVICE void read(const Small<T>& g, int first, int end) {
    LAMELLA_UNROLL
    for (int n = 0; n < Tiles::kInputsEach; ++n) {
      const int i = first + static_cast<int>(thread_index()) + n * kSmallThreads;
      LAMELLA_UNROLL
      for (int r = 0; r < kRows; ++r) at[n][r] = i < end && r < g.batch ? g.src[r * std::int64_t{g.inputs} + i] : T{};
    }
  }
  LAMELLA_DEVICE void write(typename Tiles::Src& src) const {
    LAMELLA_UNROLL
    for (int n = 0; n < Tiles::kInputsEach; ++n) {
      LAMELLA_UNROLL
      for (int r = 0; r < kRows; r += Tiles::kAtOnce) {
        Pack<float, Tiles::kAtOnce> pack;
        LAMELLA_UNROLL
        for (int k = 0; k < Tiles::kAtOnce; ++k) pack.at[k] = widen<float>(at[n][r + k]);
        src[r / Tiles::kAtOnce][thread_index() + n * kSmallThreads] = pack;
      }
    }
  }
};

/// Adds the products of an input.
template <int kRows, typename T>
LAMELLA_DEVICE void add_products(float (&sums)[kRows * kPack<T>], const Pack<T, kPack<T>>& weights,
                                 const typename SmallTiling<T, kRows>::Src& src, int input) {
  constexpr int kAtOnce = SmallTiling<T, kRows>::kAtOnce;
  LAMELLA_UNROLL
  for (int r = 0; r < kRows; r += kAtOnce) {
    const Pack<float, kAtOnce> x = src[r / kAtOnce][input];
    LAMELLA_UNROLL
    for (int n = 0; n < kAtOnce; ++n) {
      LAMELLA_UNROLL
      for (int k = 0; k < kPack<T>; ++k) {
        float& sum = sums[(r + n) * kPack<T> + k];
        sum = core::math::fma(x.at[n], widen<float>(weights.at[k]), sum);
      }
    }
  }
}

/// The thread's sums over every `down`-th input from `first` to `end`.
template <typename T, int kRows>
LAMELLA_DEVICE void add_slice(float (&sums)[kRows * kPack<T>], const Small<T>& g, std::int64_t unit, int first, int end) {
  using Tiles = SmallTiling<T, kRows>;
  auto& shared = shared_memory<typename Tiles::Shared>().streams;
  const int down = kSmallThreads >> g.across_log2;
  const int place = static_cast<int>(thread_index()) >> g.across_log2;
  Weights<T> weights(shared.stages, g.kernel + (unit < g.units ? (first + place) * g.kernel_stride + unit : 0), g.kernel_stride,
                     unit < g.units ? end - first - place : 0, down);
  wait_for_previous();
  SmallSrc<T, kRows> src;
  src.read(g, first, end);
  LAMELLA_NO_UNROLL
  for (int at = first; at < end; at += Tiles::kInputs) {
    if (at != first) barrier();  // the previous values have been read
    src.write(shared.src);
    barrier();
    if (end - at > Tiles::kInputs) src.read(g, at + Tiles::kInputs, end);
    const int inputs = end - at < Tiles::kInputs ? end - at : Tiles::kInputs;
    LAMELLA_NO_UNROLL
    for (int i = 0; i < inputs; i += down) add_products<kRows, T>(sums, weights.next(), shared.src, i + place);
  }
  wait_for_copies<0>();  // copies of zeros, to memory that is reused
  barrier();
}

/// A block computes all rows of a few packs of units, over a slice of the inputs. Its threads lie side by side along the packs
/// and divide the inputs; their parts are added lane by lane, then warp by warp.
template <typename T, int kRows>
LAMELLA_KERNEL(kSmallThreads)
small_batch_kernel(Small<T> g) {
  constexpr int kWidth = kPack<T>;
  let_next_begin();
  auto& partial = shared_memory<typename SmallTiling<T, kRows>::Shared>().partial;
  const int thread = static_cast<int>(thread_index());
  const int across = 1 << g.across_log2;
  const int pack = thread & (across - 1);
  const int columns = across * kWidth;  // the number of threads is a multiple
  const std::int64_t unit0 = block_x() * columns;
  const std::int64_t unit = unit0 + thread % columns;                                      // of this thread's results
  const float bias = g.bias != nullptr && unit < g.units ? __ldcg(g.bias + unit) : -0.0F;  // x + -0 is x
  const int first = static_cast<int>(block_y()) * g.slice;
  float sums[kRows * kWidth] = {};
  add_slice<T, kRows>(sums, g, unit0 + pack * kWidth, first, g.inputs - first < g.slice ? g.inputs : first + g.slice);
  add_lanes(sums, partial[thread / static_cast<int>(kWarp)][pack], kWarp / 2, static_cast<unsigned>(across));
  barrier();
  if (unit >= g.units) return;
  const int column = thread % columns;
  for (int r = thread / columns; r < g.batch; r += kSmallThreads / columns) {
    float sum = 0;
    LAMELLA_UNROLL
    for (int w = 0; w < kWarps; ++w) sum = sum + partial[w][column / kWidth][r * kWidth + column % kWidth];
    if (g.sums != nullptr) {
      g.sums[(block_y() * g.batch + r) * g.units + unit] = sum;
    } else {
      g.dst[r * g.units + unit] = narrow<T>(activate<FormulaOf<T>>(g.activation, sum + bias, g.parameters));
    }
  }
}

/// How a layer is divided: few packs per block, to have blocks for the whole device; more if src, which every block reads, has
/// more rows.
struct Division {
  int across_log2;
  std::int64_t blocks;
  Slices slices;
};
Division division_of(const Dense& args) {
  const auto element = static_cast<std::int64_t>(size_of(args.dtype));
  const std::int64_t packs = tiles(args.units * element, 16);
  const std::int64_t size = args.batch > 4 ? 4 * packs : packs;
  const int across_log2 = size >= 2048 ? 3 : (size >= 1024 ? 2 : 1);
  const std::int64_t blocks = tiles(packs, std::int64_t{1} << across_log2);
  return {across_log2, blocks, slices_of(args.inputs, kSliceStep, blocks, (16 << across_log2) + args.batch * element)};
}

template <typename T, int kRows>
cudaError_t launch_small(const Dense& args, std::int64_t kernel_stride, cudaStream_t stream) {
  const Division division = division_of(args);
  const bool divided = division.slices.count > 1;
  const Small<T> g{static_cast<const T*>(args.src),
                   static_cast<const T*>(args.kernel),
                   static_cast<const float*>(args.bias),
                   static_cast<T*>(args.dst),
                   divided ? static_cast<float*>(args.workspace) : nullptr,
                   args.batch,
                   args.units,
                   kernel_stride,
                   static_cast<int>(args.inputs),
                   division.slices.inputs,
                   args.activation.kind,
                   Parameters<float>(args.activation),
                   division.across_log2};
  const cudaError_t status = launch({.grid = dim3(blocks(division.blocks), blocks(division.slices.count)),
                                     .threads = kSmallThreads,
                                     .shared = sizeof(typename SmallTiling<T, kRows>::Shared),
                                     .stream = stream,
                                     .overlaps = args.overlap == Overlap::all},
                                    small_batch_kernel<T, kRows>, g);
  if (status != cudaSuccess || !divided) return status;
  return add_slices(args, division.slices.count, g.sums, stream);
}

template <typename T>
cudaError_t small_batch_as(const Dense& args, std::int64_t kernel_stride, cudaStream_t stream) {
  if (!aligned(args.kernel) || kernel_stride % kPack<T> != 0) return cudaErrorInvalidValue;
  if (args.batch == 1) return launch_small<T, 1>(args, kernel_stride, stream);
  if (args.batch <= 4) return launch_small<T, 4>(args, kernel_stride, stream);
  if constexpr (sizeof(T) == sizeof(float)) {
    if (args.batch > 8) return launch_small<T, 16>(args, kernel_stride, stream);
  }
  return launch_small<T, 8>(args, kernel_stride, stream);
}

}  // namespace

std::size_t small_batch_workspace(const Dense& args) { return division_of(args).slices.workspace(args); }

cudaError_t small_batch(const Dense& args, std::int64_t kernel_stride, cudaStream_t stream) {
  if (args.batch == 0 || args.units == 0) return cudaSuccess;
  if (args.batch > small_batch_most(args.dtype) || args.inputs > kMostSmallBatchInputs || is_rowwise(args.activation.kind))
    return cudaErrorInvalidValue;
  if (args.dtype == DType::float32) return small_batch_as<float>(args, kernel_stride, stream);
  return visit_16_bits(args.dtype,
                       [&](auto t) { return small_batch_as<typename decltype(t)::type>(args, kernel_stride, stream); });
}

}  // namespace lamella::kernels
