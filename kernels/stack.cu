// SPDX-License-Identifier: Apache-2.0
#include "kernels/copy_async.hpp"
#include "kernels/row_groups.hpp"
#include "kernels/stacked.hpp"

namespace lamella::kernels {
namespace {

constexpr int kStackThreads = 256;
constexpr int kStackWarps = kStackThreads / static_cast<int>(kWarp);
constexpr int kChunk = static_cast<int>(StackLayout::inputs_of_chunk(DType::float32));
constexpr int kNarrow = static_cast<int>(StackLayout::kNarrow);
constexpr int kWide = static_cast<int>(kMostStackWidth);

/// A block runs kRows rows through all layers and keeps each layer's results in shared memory. A thread computes kColumns
/// neighbouring results in each of kRowsEach rows, which are kDown apart. Weights arrive in chunks of kChunk inputs, kStages of
/// them in flight, across the borders of layers. The inputs of the first layer arrive with its chunks; they are stored in the
/// columns that its results will overwrite.
template <int kRowsOfBlock, int kWidthOfLayers, int kRowsOfThread, int kColumnsOfThread, int kStagesOfAll>
struct StackTiling {
  static constexpr int kRows = kRowsOfBlock;
  static constexpr int kWidth = kWidthOfLayers;
  static constexpr int kRowsEach = kRowsOfThread;
  static constexpr int kColumns = kColumnsOfThread;
  static constexpr int kStages = kStagesOfAll;
  static constexpr int kAcross = kWidth / kColumns;
  static constexpr int kDown = kRows / kRowsEach;
  static constexpr int kPacks = kChunk * kWidth / 4;          ///< packs of 16 bytes in a chunk
  static constexpr int kCopiedRows = kStackThreads / kChunk;  ///< rows of inputs that the threads copy at once
  static_assert(kAcross * kDown == kStackThreads && kPacks <= kStackThreads);
  static_assert(kStages * kChunk <= kWidth);  // inputs in flight do not overlap

  using Values = float[kRows][kWidth + 4];  ///< padded: rows start in different banks
  using Chunk = float[kChunk][kWidth];
  struct Shared {
    Values values;
    Chunk stages[kStages];
  };
  static_assert(sizeof(Shared) <= 48 << 10);  // the limit without an opt-in
};

/// Streams the weights of all layers to shared memory, and with those of the first layer the block's rows of src. Inputs and
/// rows that do not exist are zeros.
template <typename Tiles>
class Chunks {
 public:
  LAMELLA_DEVICE Chunks(const Stacked<float>& g, std::int64_t row0, int rows)
      : weights_(g.weights + thread_index() * 4),
        src_(g.src + (row0 + row()) * g.inputs + input()),
        stride_(g.inputs),
        left_(g.chunks),
        inputs_(g.inputs - input()),
        rows_(rows - row()) {
    LAMELLA_UNROLL
    for (int n = 0; n < Tiles::kStages - 1; ++n) bring(n);
  }

  /// Waits until the next chunk is visible to all threads, and returns it. The barrier also frees the preceding chunk and makes
  /// earlier writes to shared memory visible.
  LAMELLA_DEVICE const typename Tiles::Chunk& next() {
    wait_for_copies<Tiles::kStages - 2>();
    barrier();
    bring(stage_ == 0 ? Tiles::kStages - 1 : stage_ - 1);
    const auto& chunk = shared_memory<typename Tiles::Shared>().stages[stage_];
    stage_ = stage_ == Tiles::kStages - 1 ? 0 : stage_ + 1;
    return chunk;
  }

 private:
  /// The element of a chunk of inputs that this thread copies.
  LAMELLA_DEVICE static int input() { return static_cast<int>(thread_index()) % kChunk; }
  LAMELLA_DEVICE static int row() { return static_cast<int>(thread_index()) / kChunk; }

  LAMELLA_DEVICE void bring(int stage) {
    auto& shared = shared_memory<typename Tiles::Shared>();
    if (left_ > 0 && (Tiles::kPacks == kStackThreads || thread_index() < Tiles::kPacks))
      copy_async(reinterpret_cast<uint4*>(shared.stages[stage]) + thread_index(), weights_, 16);
    if (inputs_ + input() > 0) bring_inputs(shared.values);
    commit_copies();
    weights_ += kChunk * Tiles::kWidth;
    --left_;
  }

  LAMELLA_DEVICE void bring_inputs(typename Tiles::Values& values) {
    LAMELLA_UNROLL
    for (int n = 0; n < Tiles::kRows; n += Tiles::kCopiedRows) {
      if (Tiles::kRows < Tiles::kCopiedRows && row() >= Tiles::kRows) break;
      copy_async(&values[row() + n][column_ + input()], src_ + n * stride_, n < rows_ && inputs_ > 0);
    }
    src_ += kChunk;
    inputs_ -= kChunk;
    column_ = (column_ + kChunk) % Tiles::kWidth;
  }

  const float* weights_;  ///< this and the next members are of the next chunk
  const float* src_;
  int stride_;
  int left_;    ///< chunks not requested yet
  int inputs_;  ///< from the one this thread copies to the last one
  int rows_;
  unsigned column_ = 0;
  int stage_ = 0;
};

/// Adds the products of a chunk in the order of the inputs.
template <typename Tiles>
LAMELLA_DEVICE void multiply(float (&sums)[Tiles::kRowsEach][Tiles::kColumns], const typename Tiles::Values& values,
                             const typename Tiles::Chunk& chunk, int input, int down, int column) {
  LAMELLA_UNROLL
  for (int i = 0; i < kChunk; i += 4) {
    Pack<float, 4> x[Tiles::kRowsEach];
    LAMELLA_UNROLL
    for (int r = 0; r < Tiles::kRowsEach; ++r)
      x[r] = *reinterpret_cast<const Pack<float, 4>*>(&values[down + r * Tiles::kDown][input + i]);
    LAMELLA_UNROLL
    for (int k = 0; k < 4; ++k) {
      const auto w = *reinterpret_cast<const Pack<float, Tiles::kColumns>*>(&chunk[i + k][column]);
      LAMELLA_UNROLL
      for (int r = 0; r < Tiles::kRowsEach; ++r) {
        LAMELLA_UNROLL
        for (int c = 0; c < Tiles::kColumns; ++c) sums[r][c] = core::math::fma(x[r].at[k], w.at[c], sums[r][c]);
      }
    }
  }
}

/// Applies the activation to the results that this thread stored in shared memory; columns beyond the units stay zero.
template <typename Op, typename Tiles>
LAMELLA_DEVICE void activate(typename Tiles::Values& values, const StackedLayer& layer, int down, int column) {
  const float p0 = layer.parameters[0];
  const float p1 = layer.parameters[1];
  const float p2 = layer.parameters[2];
  LAMELLA_NO_UNROLL
  for (int r = 0; r < Tiles::kRowsEach; ++r) {
    auto& pack = *reinterpret_cast<Pack<float, Tiles::kColumns>*>(&values[down + r * Tiles::kDown][column]);
    Pack<float, Tiles::kColumns> x = pack;
    LAMELLA_UNROLL
    for (int c = 0; c < Tiles::kColumns; ++c) {
      const float y = Op::apply(x.at[c], p0, p1, p2);
      if (column + c < layer.units) x.at[c] = y;
    }
    pack = x;
  }
}

template <typename Tiles>
LAMELLA_DEVICE void activate(typename Tiles::Values& values, const StackedLayer& layer, int down, int column) {
  if (layer.activation == ActivationKind::Linear) return;
  switch (layer.activation) {  // outside the loops over elements
#define LAMELLA_ELEMENTWISE(Name, ...) \
  case ActivationKind::Name:           \
    return activate<core::ActivationOp<ActivationKind::Name>, Tiles>(values, layer, down, column);
#include <lamella/activation.def>
    default:
      return;
  }
}

/// Applies the activation and the residual sum to the results that this thread stored in shared memory. A result that a later
/// layer adds is also kept in the workspace, at a place that only this thread reads.
template <typename Tiles>
LAMELLA_DEVICE void finish(typename Tiles::Values& values, const Stacked<float>& g, const StackedLayer& layer, std::int64_t row0,
                           int rows, int down, int column) {
  activate<Tiles>(values, layer, down, column);
  if (layer.added == kNothing && layer.kept == kNothing) return;
  LAMELLA_NO_UNROLL
  for (int row = down; row < Tiles::kRows && row < rows; row += Tiles::kDown) {
    const auto place = [&](int n) { return g.workspace + (n * g.batch + row0 + row) * Tiles::kWidth; };
    const float* const added = layer.added == kSource ? g.src + (row0 + row) * g.inputs : place(layer.added);
    LAMELLA_UNROLL
    for (int c = 0; c < Tiles::kColumns; ++c) {
      if (column + c >= layer.units) continue;
      float& y = values[row][column + c];
      if (layer.added != kNothing) y += added[column + c];
      if (layer.kept != kNothing) place(layer.kept)[column + c] = y;
    }
  }
}

/// Replaces `values` by two earlier values side by side, which other threads may have kept; they keep their places until the
/// second barrier.
template <typename Tiles>
LAMELLA_DEVICE void join(typename Tiles::Values& values, const Stacked<float>& g, const StackedLayer& layer, std::int64_t row0,
                         int rows, int down, int column) {
  barrier();
  LAMELLA_NO_UNROLL
  for (int row = down; row < Tiles::kRows; row += Tiles::kDown) {
    LAMELLA_UNROLL
    for (int c = 0; c < Tiles::kColumns; ++c) {
      const int unit = column + c;
      const JoinedElement from = joined_element(layer, unit);
      const bool is_source = from.place == kSource;
      const std::int64_t first = is_source ? (row0 + row) * g.inputs : (from.place * g.batch + row0 + row) * Tiles::kWidth;
      const float* const all = is_source ? g.src : g.workspace;
      values[row][unit] = row < rows && unit < layer.units ? all[first + from.unit] : 0.0F;
    }
  }
  barrier();
}

/// Applies one layer to `values` in place; columns beyond its units become zero.
template <typename Tiles>
LAMELLA_DEVICE void apply(typename Tiles::Values& values, Chunks<Tiles>& chunks, const Stacked<float>& g,
                          const StackedLayer& layer, std::int64_t row0, int rows) {
  const int down = static_cast<int>(thread_index()) / Tiles::kAcross;
  const int column = static_cast<int>(thread_index()) % Tiles::kAcross * Tiles::kColumns;
  if (layer.bias != kNothing) {
    float sums[Tiles::kRowsEach][Tiles::kColumns] = {};
    LAMELLA_NO_UNROLL
    for (int n = 0; n < layer.chunks; ++n) multiply<Tiles>(sums, values, chunks.next(), n * kChunk % Tiles::kWidth, down, column);
    float added[Tiles::kColumns];
    LAMELLA_UNROLL
    for (int c = 0; c < Tiles::kColumns; ++c) added[c] = g.bias[layer.bias + column + c];
    barrier();  // all threads have read the layer's inputs
    LAMELLA_UNROLL
    for (int r = 0; r < Tiles::kRowsEach; ++r) {
      LAMELLA_UNROLL
      for (int c = 0; c < Tiles::kColumns; ++c)
        values[down + r * Tiles::kDown][column + c] =
            column + c < layer.units ? sums[r][c] + added[c] : 0.0F;  // a padded column must not turn an infinity into NaN
    }
  } else if (layer.joined[0] != kNothing) {
    join<Tiles>(values, g, layer, row0, rows, down, column);
  }
  finish<Tiles>(values, g, layer, row0, rows, down, column);
}

/// Softmax of one row, spread over a warp; elements beyond the last unit are -infinity.
template <int kItems>
LAMELLA_DEVICE void softmax_of(float (&x)[kItems]) {
  float shift = -kInfinity<float>;
  LAMELLA_UNROLL
  for (int k = 0; k < kItems; ++k) shift = Largest::of(shift, x[k]);
  shift = butterfly<Largest, kWarp>(shift);
  float total = 0;
  LAMELLA_UNROLL
  for (int k = 0; k < kItems; ++k) {
    x[k] = core::math::exp(x[k] - shift);
    total += x[k];
  }
  total = butterfly<Sum, kWarp>(total);
  LAMELLA_UNROLL
  for (int k = 0; k < kItems; ++k) x[k] = x[k] / total;
}

/// A warp processes one row at a time.
template <typename Tiles>
LAMELLA_DEVICE void write_rows(const typename Tiles::Values& values, const Stacked<float>& g, std::int64_t row0, int rows) {
  constexpr int kItems = Tiles::kWidth / static_cast<int>(kWarp);
  const int units = g.layer[g.layers - 1].units;
  const int lane = static_cast<int>(thread_index() % kWarp);
  LAMELLA_NO_UNROLL
  for (int row = static_cast<int>(thread_index() / kWarp); row < rows; row += kStackWarps) {
    float x[kItems];
    LAMELLA_UNROLL
    for (int k = 0; k < kItems; ++k) {
      const int unit = lane + k * static_cast<int>(kWarp);
      x[k] = unit < units ? values[row][unit] : -kInfinity<float>;
    }
    if (g.softmax) softmax_of(x);
    LAMELLA_UNROLL
    for (int k = 0; k < kItems; ++k) {
      const int unit = lane + k * static_cast<int>(kWarp);
      if (unit < units) g.dst[(row0 + row) * units + unit] = x[k];
    }
  }
}

template <typename Tiles>
LAMELLA_KERNEL(kStackThreads)
stack_kernel(const __grid_constant__ Stacked<float> g) {
  auto& values = shared_memory<typename Tiles::Shared>().values;
  const std::int64_t row0 = block_x() * Tiles::kRows;
  const int rows = static_cast<int>(g.batch - row0 < Tiles::kRows ? g.batch - row0 : Tiles::kRows);
  Chunks<Tiles> chunks(g, row0, rows);
  LAMELLA_NO_UNROLL
  for (int n = 0; n < g.layers; ++n) apply<Tiles>(values, chunks, g, g.layer[n], row0, rows);
  barrier();
  write_rows<Tiles>(values, g, row0, rows);
}

template <typename Tiles>
cudaError_t launch_stack(const Stacked<float>& g, cudaStream_t stream) {
  return launch({.grid = dim3(blocks(tiles(g.batch, Tiles::kRows))),
                 .threads = kStackThreads,
                 .shared = sizeof(typename Tiles::Shared),
                 .stream = stream},
                stack_kernel<Tiles>, g);
}

/// With many rows a thread computes eight rows of results, so products hide the reads of shared memory. With fewer rows the
/// smaller tilings give enough blocks for a large GPU and keep more weights in flight. All three add in the same order.
template <int kWidth>
cudaError_t launch_stack(const Stacked<float>& g, StackTile tile, cudaStream_t stream) {
  constexpr auto rows = [](StackTile of) { return static_cast<int>(stack_rows(DType::float32, kWidth, of)); };
  using Few = StackTiling<rows(StackTile::few_rows), kWidth, 1, 1, 8>;
  using Some = StackTiling<rows(StackTile::some_rows), kWidth, 4, 1, 8>;
  using Many = StackTiling<rows(StackTile::many_rows), kWidth, 8, 4, kWidth == kNarrow ? 6 : 3>;
  switch (tile == StackTile::automatic ? stack_tile(DType::float32, kWidth, g.batch) : tile) {
    case StackTile::many_rows:
      return launch_stack<Many>(g, stream);
    case StackTile::some_rows:
      return launch_stack<Some>(g, stream);
    default:
      return launch_stack<Few>(g, stream);
  }
}

}  // namespace

std::size_t stack_workspace(const Stack& args) {
  const StackLayout layout(args.layers, args.dtype);
  return static_cast<std::size_t>(StackPlaces(args.layers).count() * args.batch * layout.width()) * size_of(args.dtype);
}

cudaError_t stack(const Stack& args, cudaStream_t stream) {
  if (args.dtype != DType::float32) return stack_16_bits(args, stream);
  if (!is_possible(args, stack_rows(args.dtype, kWide, StackTile::few_rows))) return cudaErrorInvalidValue;
  if (args.batch == 0 || args.layers.back().units == 0) return cudaSuccess;
  const auto g = stacked<float>(args);
  if (StackLayout(args.layers, args.dtype).width() == kNarrow) return launch_stack<kNarrow>(g, args.tile, stream);
  return launch_stack<kWide>(g, args.tile, stream);
}

}  // namespace lamella::kernels
