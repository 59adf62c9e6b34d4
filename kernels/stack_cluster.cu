// SPDX-License-Identifier: Apache-2.0
#include "kernels/stack_cluster.hpp"

#include <type_traits>

#include "kernels/cluster.hpp"
#include "kernels/copy_async.hpp"
#include "kernels/lanes.hpp"
#include "kernels/row_groups.hpp"
#include "kernels/stacked.hpp"

namespace lamella::kernels {
namespace {

constexpr int kClusterThreads = 256;
constexpr int kClusterWarps = kClusterThreads / static_cast<int>(kWarp);
constexpr int kClusterStages = 16;  ///< a thread's packs of weights on their way
constexpr int kClusterPacks = static_cast<int>(kMostClusterWidth) / kClusterBlocks / 4;  ///< of units of a block, at most
static_assert(kClusterPacks <= static_cast<int>(kWarp));

struct ClusterLayer : LayerValues {
  int weights;  ///< the index of the first one
  int bias;     ///< of the first one; kNothing: the layer is not Dense
  int inputs;
  int units;
  int each;         ///< units of a block, padded
  int across_log2;  ///< log2 of the threads that lie side by side along a block's packs of units
  int steps;        ///< packs of weights that a thread takes
  ActivationKind activation;
  float parameters[3];
};

struct Clustered {
  const float* src;
  const float* weights;
  const float* bias;
  float* dst;
  float* workspace;  ///< places, each of `batch` rows
  int batch;
  int inputs;
  int layers;
  bool softmax;
  ClusterLayer layer[kMostStackLayers];
};

/// Every block has the inputs of the current layer, all rows of one input side by side, and makes its units of all rows. It gives
/// them to all blocks, as inputs of the next layer, in the other of two buffers: one barrier of the cluster a layer is enough.
template <int kRows>
struct ClusterShared {
  uint4 stages[kClusterStages][kClusterThreads];           ///< each thread's own
  float partial[kClusterWarps][kClusterPacks][kRows * 4];  ///< sums per warp
  alignas(16) float values[2][kMostClusterWidth][kRows];
};

/// The weights of one thread, of one layer after the other: those of its pack of units, for the inputs that fall to it. They pass
/// through a ring of stages, across the borders of layers, so that those of the next layer arrive while this one's results go
/// round.
template <int kRows>
class ClusterWeights {
 public:
  LAMELLA_DEVICE explicit ClusterWeights(const Clustered& g) : g_(g) {
    enter(0);
    LAMELLA_NO_UNROLL
    for (int n = 0; n < kClusterStages; ++n) bring(n);
  }

  /// The next pack; zeros where the thread has no input or no units.
  LAMELLA_DEVICE Pack<float, 4> next() {
    wait_for_copies<kClusterStages - 1>();
    const auto weights = *reinterpret_cast<const Pack<float, 4>*>(&stage(stage_));
    bring(stage_);
    stage_ = (stage_ + 1) % kClusterStages;
    return weights;
  }

 private:
  LAMELLA_DEVICE static uint4& stage(int n) { return shared_memory<ClusterShared<kRows>>().stages[n][thread_index()]; }

  LAMELLA_DEVICE void enter(int layer) {
    while (layer < g_.layers && g_.layer[layer].bias == kNothing) ++layer;
    layer_ = layer;
    if (layer == g_.layers) return;
    const ClusterLayer& l = g_.layer[layer];
    const int pack = static_cast<int>(thread_index()) & ((1 << l.across_log2) - 1);
    const int part = static_cast<int>(thread_index()) >> l.across_log2;
    from_ = g_.weights + l.weights + (static_cast<int>(cluster_rank()) * l.inputs + part) * l.each + pack * 4;
    steps_ = l.steps;
    left_ = 4 * pack < l.each ? l.inputs - part : 0;
    down_ = kClusterThreads >> l.across_log2;
    apart_ = down_ * l.each;
  }
  LAMELLA_DEVICE void bring(int to) {
    if (layer_ < g_.layers) {
      copy_async(&stage(to), from_, left_ > 0 ? 16 : 0);
      from_ += apart_;
      left_ -= down_;
      if (--steps_ == 0) enter(layer_ + 1);
    }
    commit_copies();
  }

  const Clustered& g_;
  const float* from_ = nullptr;  ///< of the next pack to bring, like all members here
  int layer_ = 0;
  int steps_ = 0;  ///< left in the layer
  int left_ = 0;   ///< inputs from the thread's next one on
  int down_ = 0;
  int apart_ = 0;
  int stage_ = 0;
};

/// The sums of a Dense layer over the inputs of each warp.
template <int kRows>
LAMELLA_DEVICE void multiply(ClusterWeights<kRows>& weights, const ClusterLayer& layer,
                             const float (&values)[kMostClusterWidth][kRows]) {
  constexpr int kAtOnce = kRows < 4 ? kRows : 4;
  const int thread = static_cast<int>(thread_index());
  const int across = 1 << layer.across_log2;
  float sums[kRows * 4] = {};
  int input = thread >> layer.across_log2;
  LAMELLA_NO_UNROLL
  for (int step = 0; step < layer.steps; ++step) {
    const Pack<float, 4> w = weights.next();
    if (input < layer.inputs) {
      LAMELLA_UNROLL
      for (int r = 0; r < kRows; r += kAtOnce) {
        const auto x = *reinterpret_cast<const Pack<float, kAtOnce>*>(&values[input][r]);
        LAMELLA_UNROLL
        for (int n = 0; n < kAtOnce; ++n) {
          LAMELLA_UNROLL
          for (int k = 0; k < 4; ++k) sums[(r + n) * 4 + k] = core::math::fma(x.at[n], w.at[k], sums[(r + n) * 4 + k]);
        }
      }
    }
    input += kClusterThreads >> layer.across_log2;
  }
  auto& partial = shared_memory<ClusterShared<kRows>>().partial[thread / static_cast<int>(kWarp)];
  add_lanes(sums, partial[thread & (across - 1)], kWarp / 2, static_cast<unsigned>(across));
  barrier();
}

LAMELLA_DEVICE float activate(const ClusterLayer& layer, float x) {
  switch (layer.activation) {
#define LAMELLA_ELEMENTWISE(Name, ...) \
  case ActivationKind::Name:           \
    return core::ActivationOp<ActivationKind::Name>::apply(x, layer.parameters[0], layer.parameters[1], layer.parameters[2]);
#include <lamella/activation.def>
    default:
      return x;
  }
}

/// An element of an earlier value, which may have been kept by another block: barriers of the cluster lie between.
LAMELLA_DEVICE float value_of(const Clustered& g, int place, int row, int unit) {
  if (place == kSource) return g.src[row * g.inputs + unit];
  return g.workspace[(static_cast<std::int64_t>(place) * g.batch + row) * kMostClusterWidth + unit];
}

/// Makes one result of a layer.
template <int kRows>
LAMELLA_DEVICE float result_of(const Clustered& g, const ClusterLayer& layer, int local, int row, int turn) {
  const auto& shared = shared_memory<ClusterShared<kRows>>();
  const int unit = static_cast<int>(cluster_rank()) * layer.each + local;
  float y = 0;
  if (layer.joined[0] != kNothing) {
    const JoinedElement from = joined_element(layer, unit);
    if (row < g.batch) y = value_of(g, from.place, row, from.unit);
  } else if (layer.bias == kNothing) {
    y = shared.values[turn][unit][row];
  } else {
    LAMELLA_UNROLL
    for (int w = 0; w < kClusterWarps; ++w) y = y + shared.partial[w][local / 4][row * 4 + local % 4];
    y = y + g.bias[layer.bias + unit];
  }
  y = activate(layer, y);
  if (row >= g.batch) return y;
  if (layer.added != kNothing) y += value_of(g, layer.added, row, unit);
  if (layer.kept != kNothing) g.workspace[(static_cast<std::int64_t>(layer.kept) * g.batch + row) * kMostClusterWidth + unit] = y;
  return y;
}

/// Applies a layer to the values of `turn`; the results are the other values of all blocks, or dst.
template <int kRows>
LAMELLA_DEVICE void apply(const Clustered& g, ClusterWeights<kRows>& weights, int number, int turn) {
  const ClusterLayer& layer = g.layer[number];
  auto& shared = shared_memory<ClusterShared<kRows>>();
  if (layer.bias != kNothing) multiply<kRows>(weights, layer, shared.values[turn]);
  if (number == 0) cluster_wait();  // all blocks have begun
  const bool to_dst = number == g.layers - 1 && !g.softmax;
  LAMELLA_NO_UNROLL
  for (int at = static_cast<int>(thread_index()); at < layer.each * kRows; at += kClusterThreads) {
    const int local = at % layer.each;
    const int row = at / layer.each;
    const int unit = static_cast<int>(cluster_rank()) * layer.each + local;
    if (unit >= layer.units) continue;
    const float y = result_of<kRows>(g, layer, local, row, turn);
    if (!to_dst) {
      LAMELLA_UNROLL
      for (unsigned rank = 0; rank < kClusterBlocks; ++rank) store_in_block(rank, &shared.values[1 - turn][unit][row], y);
    } else if (row < g.batch) {
      g.dst[row * layer.units + unit] = y;
    }
  }
  if (to_dst) return;
  cluster_arrive();
  cluster_wait();
}

/// A warp makes one row.
template <int kRows>
LAMELLA_DEVICE void write_softmax(const Clustered& g, const float (&values)[kMostClusterWidth][kRows]) {
  const int units = g.layer[g.layers - 1].units;
  const int lane = static_cast<int>(thread_index() % kWarp);
  const int row = static_cast<int>(thread_index() / kWarp);
  if (row >= g.batch) return;
  float shift = -kInfinity<float>;
  for (int u = lane; u < units; u += static_cast<int>(kWarp)) shift = Largest::of(shift, values[u][row]);
  shift = butterfly<Largest, kWarp>(shift);
  float total = 0;
  for (int u = lane; u < units; u += static_cast<int>(kWarp)) total += core::math::exp(values[u][row] - shift);
  total = butterfly<Sum, kWarp>(total);
  for (int u = lane; u < units; u += static_cast<int>(kWarp))
    g.dst[row * units + u] = core::math::exp(values[u][row] - shift) / total;
}

template <int kRows>
LAMELLA_KERNEL(kClusterThreads)
stack_cluster_kernel(const __grid_constant__ Clustered g) {
  if (LAMELLA_HAS_CLUSTERS == 0) __trap();
  auto& shared = shared_memory<ClusterShared<kRows>>();
  cluster_arrive();
  ClusterWeights<kRows> weights(g);
  LAMELLA_NO_UNROLL
  for (int at = static_cast<int>(thread_index()); at < g.inputs * kRows; at += kClusterThreads) {
    const int input = at % g.inputs;
    const int row = at / g.inputs;
    shared.values[0][input][row] = row < g.batch ? g.src[at] : 0.0F;
  }
  barrier();
  LAMELLA_NO_UNROLL
  for (int n = 0; n < g.layers; ++n) apply<kRows>(g, weights, n, n % 2);
  if (g.softmax && cluster_rank() == 0) write_softmax<kRows>(g, shared.values[g.layers % 2]);
}

ClusterLayer layer_of(const StackLayer& layer) {
  ClusterLayer to{};
  to.inputs = static_cast<int>(layer.inputs);
  to.units = static_cast<int>(layer.units);
  to.each = static_cast<int>(ClusterLayout::units_each(layer));
  to.across_log2 = 1;  // add_lanes() wants two
  while (4 << to.across_log2 < to.each) ++to.across_log2;
  to.steps = static_cast<int>(tiles(layer.inputs, kClusterThreads >> to.across_log2));
  to.activation = layer.activation.kind;
  std::copy_n(layer.activation.parameters.begin(), 3, to.parameters);
  return to;
}

Clustered clustered(const Stack& args) {
  Clustered g{};
  g.src = static_cast<const float*>(args.src);
  g.weights = static_cast<const float*>(args.weights);
  g.bias = args.bias;
  g.dst = static_cast<float*>(args.dst);
  g.workspace = static_cast<float*>(args.workspace);
  g.batch = static_cast<int>(args.batch);
  g.inputs = static_cast<int>(args.layers.front().inputs);
  g.softmax = args.softmax;
  const StackPlaces places(args.layers);
  const ClusterLayout layout(args.layers);
  for (const StackLayer& layer : args.layers) {
    const auto n = static_cast<std::size_t>(g.layers++);
    ClusterLayer& to = g.layer[n] = layer_of(layer);
    to.weights = static_cast<int>(layout.kernel(n));
    to.bias = layer.is_dense ? static_cast<int>(layout.bias(n)) : kNothing;
    static_cast<LayerValues&>(to) = values_of(args.layers, places, n);
  }
  return g;
}

template <int kRows>
cudaError_t launch_cluster(const Clustered& g, cudaStream_t stream) {
  return launch({.grid = dim3(kClusterBlocks),
                 .threads = kClusterThreads,
                 .shared = sizeof(ClusterShared<kRows>),
                 .stream = stream,
                 .cluster = kClusterBlocks},
                stack_cluster_kernel<kRows>, g);
}

template <int kRows>
cudaError_t clusters_at_once(int& count) {
  const auto* const kernel = reinterpret_cast<const void*>(stack_cluster_kernel<kRows>);
  cudaLaunchAttribute size{};
  size.id = cudaLaunchAttributeClusterDimension;
  size.val.clusterDim = {kClusterBlocks, 1, 1};
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(kClusterBlocks);
  config.blockDim = dim3(kClusterThreads);
  config.dynamicSmemBytes = sizeof(ClusterShared<kRows>);
  config.attrs = &size;
  config.numAttrs = 1;
  const cudaError_t status =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(config.dynamicSmemBytes));
  return status != cudaSuccess ? status : cudaOccupancyMaxActiveClusters(&count, kernel, &config);
}

/// f(the rows that the kernel for a batch has, as a type).
template <typename F>
auto with_rows(std::int64_t batch, const F& f) {
  if (batch <= 1) return f(std::integral_constant<int, 1>());
  if (batch <= 2) return f(std::integral_constant<int, 2>());
  if (batch <= 4) return f(std::integral_constant<int, 4>());
  return f(std::integral_constant<int, static_cast<int>(kMostClusterRows)>());
}

}  // namespace

std::size_t stack_cluster_shared(std::int64_t batch) {
  return with_rows(batch, [](auto rows) { return sizeof(ClusterShared<decltype(rows)::value>); });
}

std::size_t stack_cluster_workspace(const Stack& args) {
  return static_cast<std::size_t>(StackPlaces(args.layers).count() * args.batch * kMostClusterWidth) * sizeof(float);
}

cudaError_t stack_clusters_at_once(std::int64_t batch, int& clusters) {
  clusters = 0;
  return with_rows(batch, [&](auto rows) { return clusters_at_once<decltype(rows)::value>(clusters); });
}

cudaError_t stack_cluster(const Stack& args, cudaStream_t stream) {
  if (args.dtype != DType::float32 || args.batch > kMostClusterRows || !is_connected(args, kMostClusterWidth, kMostClusterWidth))
    return cudaErrorInvalidValue;
  for (const StackLayer& layer : args.layers) {
    if (layer.inputs == 0 || layer.units == 0) return cudaErrorInvalidValue;
  }
  if (args.batch == 0) return cudaSuccess;
  const Clustered g = clustered(args);
  return with_rows(args.batch, [&](auto rows) { return launch_cluster<decltype(rows)::value>(g, stream); });
}

}  // namespace lamella::kernels
