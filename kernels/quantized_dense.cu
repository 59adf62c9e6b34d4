// SPDX-License-Identifier: Apache-2.0
#include "core/float8.hpp"
#include "core/quantize.hpp"
#include "kernels/activation.hpp"
#include "kernels/groups.hpp"
#include "kernels/kernels.hpp"

namespace lamella::kernels {
namespace {

constexpr unsigned kQuantizedThreads = 128;
constexpr int kQuantizedRows = 4;  ///< rows per thread: how often each unpacked weight is used

/// Rounds a C to a T.
template <typename T>
struct RoundToStored {
  using C = ComputeOf<T>;
  LAMELLA_DEVICE C operator()(C x) const { return widen<C>(narrow<T>(x)); }
};

/// One row per block: finds its largest magnitude, then writes its integers. The bits of magnitudes compare as the magnitudes do,
/// with NaN above all.
template <typename T>
LAMELLA_KERNEL(kQuantizedThreads)
quantize_rows_kernel(const T* src, std::int8_t* codes, ComputeOf<T>* factors, std::int64_t batch, std::int64_t inputs, int low,
                     int high, ComputeOf<T> epsilon) {
  using C = ComputeOf<T>;
  using Bits = std::conditional_t<sizeof(C) == 4, std::uint32_t, std::uint64_t>;
  const RoundToStored<T> round;
  for (std::int64_t b = block_x(); b < batch; b += grid_x()) {
    const T* const x = src + b * inputs;
    Bits most = 0;
    for (std::int64_t i = thread_index(); i < inputs; i += kQuantizedThreads) {
      const Bits bits = __builtin_bit_cast(Bits, widen<C>(x[i])) & (~Bits{0} >> 1U);
      most = bits > most ? bits : most;
    }
    most = BlockGroup<kQuantizedThreads>::reduce<Largest>(most);
    const C factor = core::row_factor(__builtin_bit_cast(C, most), high, epsilon, round);
    for (std::int64_t i = thread_index(); i < inputs; i += kQuantizedThreads)
      codes[b * inputs + i] = static_cast<std::int8_t>(core::to_integer(widen<C>(x[i]), factor, low, high, round));
    if (thread_index() == 0) factors[b] = factor;
  }
}

template <typename T>
struct Quantized {
  using C = ComputeOf<T>;
  const T* src;
  const std::int8_t* codes;
  const C* factors;
  const std::uint8_t* weights;
  const C* scale;
  const C* zero;
  const std::int32_t* group;
  const C* input_scale;
  const C* bias;
  T* dst;
  std::int64_t batch, inputs, units, groups;
  ActivationKind activation;
  Parameters<C> parameters;

  template <bool kInt4>
  LAMELLA_DEVICE int integer(std::int64_t i, std::int64_t u) const {
    if (!kInt4) return static_cast<std::int8_t>(weights[i * units + u]);
    const unsigned byte = weights[i * ((units + 1) / 2) + u / 2];
    return u % 2 == 0 ? core::low_nibble(byte) : core::high_nibble(byte);
  }
  template <bool kInt4>
  LAMELLA_DEVICE C weight(std::int64_t i, std::int64_t u) const {
    const int q = integer<kInt4>(i, u);
    if (groups == 0) return static_cast<C>(q);
    const RoundToStored<T> round;
    const std::int64_t at = group[i] * units + u;
    const C w = core::dequantized(q, zero[at], scale[at], round);
    return input_scale != nullptr ? round(w / input_scale[i]) : w;
  }
  LAMELLA_DEVICE void store(std::int64_t b, std::int64_t u, C z) const {
    dst[b * units + u] = narrow<T>(activate<FormulaOf<T>>(activation, z, parameters));
  }
};

/// A thread's sums, in its own column, so that the code contains the activation once, not once per row.
template <typename C>
using SumsOfBlock = C[kQuantizedRows][kQuantizedThreads];

/// A thread computes some rows of one unit.
template <typename T, bool kInt4, bool kIntegers>
LAMELLA_KERNEL(kQuantizedThreads)
quantized_dense_kernel(Quantized<T> g) {
  using C = ComputeOf<T>;
  using Sum = std::conditional_t<kIntegers, std::uint32_t, C>;  // integers wrap around, as Keras' do
  const RoundToStored<T> round;
  for (std::int64_t u = block_x() * kQuantizedThreads + thread_index(); u < g.units; u += grid_x() * kQuantizedThreads) {
    for (std::int64_t b = block_y() * kQuantizedRows; b < g.batch; b += grid_y() * kQuantizedRows) {
      const int rows = g.batch - b < kQuantizedRows ? static_cast<int>(g.batch - b) : kQuantizedRows;
      Sum sums[kQuantizedRows] = {};
      for (std::int64_t i = 0; i < g.inputs; ++i) {
        if constexpr (kIntegers) {
          const int w = g.template integer<kInt4>(i, u);
          LAMELLA_UNROLL
          for (int r = 0; r < kQuantizedRows; ++r) {
            if (r < rows) sums[r] += static_cast<std::uint32_t>(g.codes[(b + r) * g.inputs + i] * w);
          }
        } else {
          const C w = g.template weight<kInt4>(i, u);
          LAMELLA_UNROLL
          for (int r = 0; r < kQuantizedRows; ++r) {
            if (r < rows) sums[r] = core::math::fma(widen<C>(g.src[(b + r) * g.inputs + i]), w, sums[r]);
          }
        }
      }
      auto& results = shared_memory<SumsOfBlock<Sum>>();
      LAMELLA_UNROLL
      for (int r = 0; r < kQuantizedRows; ++r) results[r][thread_index()] = sums[r];
      LAMELLA_NO_UNROLL
      for (int r = 0; r < rows; ++r) {
        const Sum sum = results[r][thread_index()];
        if constexpr (kIntegers) {
          const C z = core::from_integer(static_cast<std::int32_t>(sum), g.scale[u], g.factors[b + r], round);
          g.store(b + r, u, g.bias != nullptr ? round(z + g.bias[u]) : z);
        } else {
          const C z = g.groups == 0 ? sum / g.scale[u] : sum;
          g.store(b + r, u, g.bias != nullptr ? z + g.bias[u] : z);
        }
      }
    }
  }
}

constexpr std::size_t factors_at(std::int64_t batch, std::int64_t inputs) {
  return (static_cast<std::size_t>(batch * inputs) + 15) / 16 * 16;
}

template <typename T>
cudaError_t quantized_dense_as(const QuantizedDense& a, cudaStream_t stream) {
  using C = ComputeOf<T>;
  auto* const codes = static_cast<std::int8_t*>(a.workspace);
  auto* const factors = a.quantizes ? reinterpret_cast<C*>(codes + factors_at(a.batch, a.inputs)) : nullptr;
  if (a.quantizes) {
    const cudaError_t status = launch({.grid = dim3(blocks(a.batch)),
                                       .threads = kQuantizedThreads,
                                       .shared = sizeof(BlockGroup<kQuantizedThreads>::Shared),
                                       .stream = stream},
                                      quantize_rows_kernel<T>, static_cast<const T*>(a.src), codes, factors, a.batch, a.inputs,
                                      a.low, a.high, static_cast<C>(a.epsilon));
    if (status != cudaSuccess) return status;
  }
  const Quantized<T> g{static_cast<const T*>(a.src),
                       codes,
                       factors,
                       static_cast<const std::uint8_t*>(a.weights),
                       static_cast<const C*>(a.scale),
                       static_cast<const C*>(a.zero),
                       static_cast<const std::int32_t*>(a.group),
                       static_cast<const C*>(a.input_scale),
                       static_cast<const C*>(a.bias),
                       static_cast<T*>(a.dst),
                       a.batch,
                       a.inputs,
                       a.units,
                       a.groups,
                       a.activation.kind,
                       Parameters<C>(a.activation)};
  const dim3 grid(blocks(tiles(a.units, kQuantizedThreads)), blocks(tiles(a.batch, kQuantizedRows), kMaxGridY));
  const Launch how{.grid = grid, .threads = kQuantizedThreads, .shared = sizeof(SumsOfBlock<C>), .stream = stream};
  if (a.int4) {
    return a.quantizes ? launch(how, quantized_dense_kernel<T, true, true>, g)
                       : launch(how, quantized_dense_kernel<T, true, false>, g);
  }
  return a.quantizes ? launch(how, quantized_dense_kernel<T, false, true>, g)
                     : launch(how, quantized_dense_kernel<T, false, false>, g);
}

template <typename T>
struct ThroughFloat8 : ElementFunction {
  using Compute = ComputeOf<T>;
  Compute scale;
  explicit ThroughFloat8(float s) : scale(static_cast<Compute>(s)) {}
  LAMELLA_DEVICE Compute operator()(Compute x, Nothing, int, Nothing) const {
    return core::through_e4m3(x, scale, RoundToStored<T>());
  }
};

}  // namespace

std::size_t quantized_dense_workspace(const QuantizedDense& args) {
  if (!args.quantizes) return 0;
  return factors_at(args.batch, args.inputs) + static_cast<std::size_t>(args.batch) * sizeof(double);
}

cudaError_t quantized_dense(const QuantizedDense& args, cudaStream_t stream) {
  if (args.batch == 0 || args.units == 0) return cudaSuccess;
  if (is_rowwise(args.activation.kind)) return cudaErrorInvalidValue;
  return visit_floating(args.dtype, [&](auto t) { return quantized_dense_as<typename decltype(t)::type>(args, stream); });
}

cudaError_t through_float8(DType dtype, const void* src, void* dst, std::int64_t elements, float scale, cudaStream_t stream) {
  return visit_floating(dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    return pointwise(ThroughFloat8<T>(scale), static_cast<const T*>(src), static_cast<T*>(dst), matrix_of<T, T>(elements), true,
                     stream);
  });
}

}  // namespace lamella::kernels
