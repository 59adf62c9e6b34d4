// SPDX-License-Identifier: Apache-2.0
#include "core/quantize.hpp"
#include "kernels/groups.hpp"
#include "kernels/quantized.hpp"

namespace lamella::kernels {
namespace {

constexpr int kWidth = 4;  ///< elements of a pack
constexpr int kPacks = 4;  ///< of a thread, on their way at a time

template <typename T>
struct Rows {
  const T* src;
  std::int8_t* codes;
  ComputeOf<T>* factors;
  std::int64_t batch, inputs, stride;
  bool packs;  ///< rows are made of aligned packs
  int low, high;
  ComputeOf<T> epsilon;
};

/// A row's elements from i on, with zeros after its end.
template <bool kWhole, typename T>
LAMELLA_DEVICE Pack<T, kWidth> pack_at(const Rows<T>& g, const T* row, std::int64_t i) {
  Pack<T, kWidth> x{};
  if constexpr (kWhole) {
    if (i < g.inputs) x = *reinterpret_cast<const Pack<T, kWidth>*>(row + i);
  } else {
    LAMELLA_UNROLL
    for (int k = 0; k < kWidth; ++k) x.at[k] = i + k < g.inputs ? row[i + k] : T{};
  }
  return x;
}

/// f(i, x) for the packs of a row that belong to the thread, x the elements from i on, with zeros after the row's end.
template <typename Group, typename T, typename F>
LAMELLA_DEVICE void each_pack(const Rows<T>& g, const T* row, const F& f) {
  LAMELLA_NO_UNROLL
  for (std::int64_t first = Group::rank() * kWidth; first < g.stride; first += Group::kSize * kWidth * kPacks) {
    Pack<T, kWidth> x[kPacks];
    if (g.packs) {
      LAMELLA_UNROLL
      for (int n = 0; n < kPacks; ++n) x[n] = pack_at<true>(g, row, first + n * Group::kSize * kWidth);
    } else {
      LAMELLA_UNROLL
      for (int n = 0; n < kPacks; ++n) x[n] = pack_at<false>(g, row, first + n * Group::kSize * kWidth);
    }
    LAMELLA_UNROLL
    for (int n = 0; n < kPacks; ++n) f(first + n * Group::kSize * kWidth, x[n]);
  }
}

/// A group of threads finds the largest magnitude of a row, then writes its integers. The bits of magnitudes compare as the
/// magnitudes do, with NaN above all.
template <typename Group, typename T>
LAMELLA_KERNEL(Group::kThreads)
quantize_rows_kernel(Rows<T> g) {
  using C = ComputeOf<T>;
  using Bits = std::conditional_t<sizeof(C) == 4, std::uint32_t, std::uint64_t>;
  const RoundToStored<T> round;
  let_next_begin();
  wait_for_previous();
  for (std::int64_t b = block_x() * Group::kGroups + Group::index(); b < g.batch; b += grid_x() * Group::kGroups) {
    const T* const row = g.src + b * g.inputs;
    Bits most = 0;
    each_pack<Group>(g, row, [&](std::int64_t, const Pack<T, kWidth>& x) {
      LAMELLA_UNROLL
      for (int k = 0; k < kWidth; ++k) {
        const Bits bits = __builtin_bit_cast(Bits, widen<C>(x.at[k])) & (~Bits{0} >> 1U);
        most = bits > most ? bits : most;
      }
    });
    most = Group::template reduce<Largest>(most);
    const C factor = core::row_factor(__builtin_bit_cast(C, most), g.high, g.epsilon, round);
    each_pack<Group>(g, row, [&](std::int64_t i, const Pack<T, kWidth>& x) {
      Pack<std::int8_t, kWidth> codes;
      LAMELLA_UNROLL
      for (int k = 0; k < kWidth; ++k)
        codes.at[k] = static_cast<std::int8_t>(core::to_integer(widen<C>(x.at[k]), factor, g.low, g.high, round));
      if (i < g.stride) *reinterpret_cast<Pack<std::int8_t, kWidth>*>(g.codes + b * g.stride + i) = codes;
    });
    if (Group::rank() == 0) g.factors[b] = factor;
  }
}

template <typename Group, typename T>
cudaError_t launch_rows(const Rows<T>& g, bool overlaps, cudaStream_t stream) {
  return launch({.grid = dim3(blocks(tiles(g.batch, Group::kGroups))),
                 .threads = Group::kThreads,
                 .shared = sizeof(typename Group::Shared),
                 .stream = stream,
                 .overlaps = overlaps},
                quantize_rows_kernel<Group, T>, g);
}

}  // namespace

cudaError_t quantize_rows(const QuantizedDense& args, cudaStream_t stream) {
  return visit_floating(args.dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    using C = ComputeOf<T>;
    const RowCodes layout(args);
    auto* const codes = static_cast<std::int8_t*>(args.workspace);
    const bool packs = args.inputs % kWidth == 0 && reinterpret_cast<std::uintptr_t>(args.src) % alignof(Pack<T, kWidth>) == 0;
    const Rows<T> g{static_cast<const T*>(args.src),
                    codes,
                    reinterpret_cast<C*>(codes + layout.factors),
                    args.batch,
                    args.inputs,
                    layout.stride,
                    packs,
                    args.low,
                    args.high,
                    static_cast<C>(args.epsilon)};
    // A warp has up to 512 elements of its row on their way at once.
    const bool overlaps = args.overlap == Overlap::all;
    return args.inputs <= kWarp * kWidth * kPacks ? launch_rows<WarpGroup>(g, overlaps, stream)
                                                  : launch_rows<BlockGroup<256>>(g, overlaps, stream);
  });
}

}  // namespace lamella::kernels
