// SPDX-License-Identifier: Apache-2.0
#include "kernels/slices.hpp"

#include "kernels/activation.hpp"

namespace lamella::kernels {
namespace {

constexpr int kAddThreads = 128;

template <typename T>
struct Added {
  const float* sums;
  const float* bias;
  T* dst;
  std::int64_t results, units;
  int slices;
  ActivationKind activation;
  Parameters<float> parameters;
};

/// A thread computes one result.
template <typename T>
LAMELLA_KERNEL(kAddThreads)
add_slices_kernel(Added<T> g) {
  constexpr int kAtOnce = 8;
  let_next_begin();
  const std::int64_t at = block_x() * kAddThreads + thread_index();
  const float bias = g.bias != nullptr && at < g.results ? __ldcg(g.bias + at % g.units) : -0.0F;  // x + -0 is x
  wait_for_previous();
  if (at >= g.results) return;
  float sum = g.sums[at];
  LAMELLA_NO_UNROLL
  for (int first = 1; first < g.slices; first += kAtOnce) {
    float more[kAtOnce];
    LAMELLA_UNROLL
    for (int n = 0; n < kAtOnce; ++n) more[n] = first + n < g.slices ? g.sums[at + (first + n) * g.results] : -0.0F;
    LAMELLA_UNROLL
    for (int n = 0; n < kAtOnce; ++n) sum = sum + more[n];
  }
  g.dst[at] = narrow<T>(activate<FormulaOf<T>>(g.activation, sum + bias, g.parameters));
}

}  // namespace

cudaError_t add_slices(const Dense& args, int slices, const float* sums, cudaStream_t stream) {
  return visit_floating(args.dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    if constexpr (sizeof(T) > sizeof(float)) {
      return cudaErrorInvalidValue;
    } else {
      const Added<T> g{sums,
                       static_cast<const float*>(args.bias),
                       static_cast<T*>(args.dst),
                       args.batch * args.units,
                       args.units,
                       slices,
                       args.activation.kind,
                       Parameters<float>(args.activation)};
      return launch({.grid = dim3(blocks(tiles(g.results, kAddThreads))),
                     .threads = kAddThreads,
                     .stream = stream,
                     .overlaps = args.overlap != Overlap::none},
                    add_slices_kernel<T>, g);
    }
  });
}

}  // namespace lamella::kernels
