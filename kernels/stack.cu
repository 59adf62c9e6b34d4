// SPDX-License-Identifier: Apache-2.0
#include "kernels/activation.hpp"
#include "kernels/copy_async.hpp"
#include "kernels/kernels.hpp"
#include "kernels/row_groups.hpp"
#include "kernels/stack_layout.hpp"

namespace lamella::kernels {
namespace {

constexpr int kStackThreads = 256;
constexpr int kStackWarps = kStackThreads / static_cast<int>(kWarp);
constexpr int kChunk = static_cast<int>(StackLayout::kInputs);

/// A block takes kRows rows through all layers, and keeps in shared memory what they are after each. Of a layer's results a
/// thread makes kRowsEach rows, kDown apart, and of each of them kColumns neighbours. Weights come chunk by chunk, kStages of
/// them at a time, whichever layers they are of.
template <int kRowsOfBlock, int kWidthOfLayers, int kRowsOfThread, int kColumnsOfThread, int kStagesOfAll>
struct StackTiling {
  static constexpr int kRows = kRowsOfBlock;
  static constexpr int kWidth = kWidthOfLayers;
  static constexpr int kRowsEach = kRowsOfThread;
  static constexpr int kColumns = kColumnsOfThread;
  static constexpr int kStages = kStagesOfAll;
  static constexpr int kAcross = kWidth / kColumns;
  static constexpr int kDown = kRows / kRowsEach;
  static constexpr int kPacks = kChunk * kWidth / 4;  ///< of 16 bytes in a chunk
  static_assert(kAcross * kDown == kStackThreads && kPacks <= kStackThreads);

  using Values = float[kRows][kWidth + 4];  ///< rows start in different banks
  using Chunk = float[kChunk][kWidth];
  struct Shared {
    Values values;
    Chunk stages[kStages];
  };
  static_assert(sizeof(Shared) <= 48 << 10);  // what a kernel gets without asking for more
};

struct StackedLayer {
  int chunks;
  int units;
  ActivationKind activation;
  float parameters[3];
};

struct Stacked {
  const float* src;
  const float* weights;
  const float* bias;
  float* dst;
  std::int64_t batch;
  int inputs;
  int chunks;  ///< of all layers
  int layers;
  bool softmax;
  StackedLayer layer[kMostStackLayers];
};

/// The weights of all layers, streamed to shared memory.
template <typename Tiles>
class Chunks {
 public:
  LAMELLA_DEVICE explicit Chunks(const Stacked& g) : from_(g.weights + thread_index() * 4), left_(g.chunks) {
    LAMELLA_UNROLL
    for (int n = 0; n < Tiles::kStages - 1; ++n) bring(n);
  }

  /// The next chunk, when it is there for all threads. None of them reads the one before it any more, and all see what the others
  /// have written to shared memory until now.
  LAMELLA_DEVICE const typename Tiles::Chunk& next() {
    wait_for_copies<Tiles::kStages - 2>();
    barrier();
    bring(stage_ == 0 ? Tiles::kStages - 1 : stage_ - 1);
    const auto& chunk = shared_memory<typename Tiles::Shared>().stages[stage_];
    stage_ = stage_ == Tiles::kStages - 1 ? 0 : stage_ + 1;
    return chunk;
  }

 private:
  LAMELLA_DEVICE void bring(int stage) {
    if (left_ > 0 && (Tiles::kPacks == kStackThreads || thread_index() < Tiles::kPacks)) {
      auto* const to = reinterpret_cast<uint4*>(shared_memory<typename Tiles::Shared>().stages[stage]);
      copy_async(to + thread_index(), from_, 16);
    }
    commit_copies();
    from_ += kChunk * Tiles::kWidth;
    --left_;
  }

  const float* from_;
  int left_;
  int stage_ = 0;
};

/// The block's rows of src, with zeros to the end of the last chunk and in place of rows that do not exist.
template <typename Tiles>
LAMELLA_DEVICE void read_rows(typename Tiles::Values& values, const Stacked& g, std::int64_t row0, int rows) {
  constexpr int kRowsOfWarp = Tiles::kRows / kStackWarps;
  const int warp = static_cast<int>(thread_index() / kWarp);
  const int end = g.layer[0].chunks * kChunk;
  LAMELLA_NO_UNROLL
  for (int i = static_cast<int>(thread_index() % kWarp); i < end; i += static_cast<int>(kWarp)) {
    const float* const src = g.src + row0 * g.inputs + i;
    float x[kRowsOfWarp];
    LAMELLA_UNROLL
    for (int n = 0; n < kRowsOfWarp; ++n) {
      const int row = warp + n * kStackWarps;
      x[n] = row < rows && i < g.inputs ? src[row * g.inputs] : 0.0F;
    }
    LAMELLA_UNROLL
    for (int n = 0; n < kRowsOfWarp; ++n) values[warp + n * kStackWarps][i] = x[n];
  }
}

/// Adds the products of a chunk, one input after another.
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

/// The activation of what this thread has put into shared memory, as far as there are units.
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
  switch (layer.activation) {  // once for all of them
#define LAMELLA_ELEMENTWISE(Name, ...) \
  case ActivationKind::Name:           \
    return activate<core::ActivationOp<ActivationKind::Name>, Tiles>(values, layer, down, column);
#include <lamella/activation.def>
    default:
      return;
  }
}

/// A layer: values become what it makes of them, with zeros behind its units.
template <typename Tiles>
LAMELLA_DEVICE void apply(typename Tiles::Values& values, Chunks<Tiles>& chunks, const StackedLayer& layer, const float* bias) {
  const int down = static_cast<int>(thread_index()) / Tiles::kAcross;
  const int column = static_cast<int>(thread_index()) % Tiles::kAcross * Tiles::kColumns;
  float sums[Tiles::kRowsEach][Tiles::kColumns] = {};
  LAMELLA_NO_UNROLL
  for (int n = 0; n < layer.chunks; ++n) multiply<Tiles>(sums, values, chunks.next(), n * kChunk, down, column);
  float added[Tiles::kColumns];
  LAMELLA_UNROLL
  for (int c = 0; c < Tiles::kColumns; ++c) added[c] = bias[column + c];
  barrier();  // all have read what the layer was given
  LAMELLA_UNROLL
  for (int r = 0; r < Tiles::kRowsEach; ++r) {
    LAMELLA_UNROLL
    for (int c = 0; c < Tiles::kColumns; ++c) values[down + r * Tiles::kDown][column + c] = sums[r][c] + added[c];
  }
  activate<Tiles>(values, layer, down, column);
}

/// exp(x) over the sum of them, of a warp's row; what is behind the last unit is -infinity.
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
LAMELLA_DEVICE void write_rows(const typename Tiles::Values& values, const Stacked& g, std::int64_t row0, int rows) {
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
stack_kernel(const __grid_constant__ Stacked g) {
  auto& values = shared_memory<typename Tiles::Shared>().values;
  const std::int64_t row0 = block_x() * Tiles::kRows;
  const int rows = static_cast<int>(g.batch - row0 < Tiles::kRows ? g.batch - row0 : Tiles::kRows);
  Chunks<Tiles> chunks(g);
  read_rows<Tiles>(values, g, row0, rows);
  LAMELLA_NO_UNROLL
  for (int n = 0; n < g.layers; ++n) apply<Tiles>(values, chunks, g.layer[n], g.bias + n * Tiles::kWidth);
  barrier();
  write_rows<Tiles>(values, g, row0, rows);
}

template <typename Tiles>
cudaError_t launch_stack(const Stacked& g, cudaStream_t stream) {
  return launch({.grid = dim3(blocks(tiles(g.batch, Tiles::kRows))),
                 .threads = kStackThreads,
                 .shared = sizeof(typename Tiles::Shared),
                 .stream = stream},
                stack_kernel<Tiles>, g);
}

/// `Many` has eight rows of results a thread, which hides the reads of shared memory behind the products; `Few` has blocks enough
/// for a large GPU where there are few rows, and more weights on their way.
template <typename Few, typename Many>
cudaError_t launch_stack(const Stacked& g, StackTile tile, cudaStream_t stream) {
  constexpr std::int64_t kBlocks = 64;  // fewer large blocks leave half of a large GPU idle
  if (tile == StackTile::automatic) tile = tiles(g.batch, Many::kRows) < kBlocks ? StackTile::few_rows : StackTile::many_rows;
  return tile == StackTile::few_rows ? launch_stack<Few>(g, stream) : launch_stack<Many>(g, stream);
}

constexpr int kNarrow = static_cast<int>(StackLayout::kNarrow);
constexpr int kWide = static_cast<int>(kMostStackWidth);
using FewNarrowRows = StackTiling<16, kNarrow, 4, 1, 12>;
using ManyNarrowRows = StackTiling<128, kNarrow, 8, 4, 6>;
using FewWideRows = StackTiling<8, kWide, 4, 1, 8>;
using ManyWideRows = StackTiling<64, kWide, 8, 4, 3>;

bool is_possible(const Stack& args) {
  if (args.layers.empty() || args.layers.size() > kMostStackLayers || !aligned(args.weights)) return false;
  for (std::size_t n = 0; n < args.layers.size(); ++n) {
    const StackLayer& layer = args.layers[n];
    if (is_rowwise(layer.activation.kind) || layer.inputs > kMostStackWidth || layer.units > kMostStackWidth) return false;
    if (n > 0 && layer.inputs != args.layers[n - 1].units) return false;
  }
  return tiles(args.batch, FewWideRows::kRows) <= kMaxGridX;
}

}  // namespace

cudaError_t stack(const Stack& args, cudaStream_t stream) {
  if (!is_possible(args)) return cudaErrorInvalidValue;
  if (args.batch == 0 || args.layers.back().units == 0) return cudaSuccess;
  Stacked g{};
  g.src = args.src;
  g.weights = args.weights;
  g.bias = args.bias;
  g.dst = args.dst;
  g.batch = args.batch;
  g.inputs = static_cast<int>(args.layers.front().inputs);
  g.softmax = args.softmax;
  for (const StackLayer& layer : args.layers) {
    const auto chunks = static_cast<int>(StackLayout::chunks(layer));
    StackedLayer& to = g.layer[g.layers++];
    to = {chunks, static_cast<int>(layer.units), layer.activation.kind, {}};
    std::copy_n(layer.activation.parameters.begin(), 3, to.parameters);
    g.chunks += chunks;
  }
  if (StackLayout(args.layers).width() == kNarrow) return launch_stack<FewNarrowRows, ManyNarrowRows>(g, args.tile, stream);
  return launch_stack<FewWideRows, ManyWideRows>(g, args.tile, stream);
}

}  // namespace lamella::kernels
