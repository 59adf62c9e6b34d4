// SPDX-License-Identifier: Apache-2.0
#include "kernels/kernels.hpp"
#include "kernels/pointwise.hpp"

namespace lamella::kernels {
namespace {

template <typename C>
struct ScaleOffset {
  C scale;
  C offset;
  LAMELLA_DEVICE C of(C x) const {
    const C scaled = x * scale;  // compiled without contraction: rounded here
    return scaled + offset;
  }
};

/// Channels are columns.
template <typename C>
struct AffineColumns {
  using Compute = C;
  const C* scale;
  const C* offset;

  template <int kWidth>
  struct Columns {
    Pack<C, kWidth> scale;
    Pack<C, kWidth> offset;
  };
  [[nodiscard]] bool stays() const { return true; }
  template <int kWidth>
  LAMELLA_DEVICE Columns<kWidth> columns(std::int64_t column, std::int64_t left) const {
    Columns<kWidth> result;
    load(result.scale, scale + column, left);
    load(result.offset, offset + column, left);
    return result;
  }
  LAMELLA_DEVICE Nothing row(std::int64_t) const { return {}; }
  template <typename Columns>
  LAMELLA_DEVICE C operator()(C x, const Columns& columns, int k, Nothing) const {
    return ScaleOffset<C>{columns.scale.at[k], columns.offset.at[k]}.of(x);
  }
};

/// Channels are rows, over and over.
template <typename C>
struct AffineRows {
  using Compute = C;
  const C* scale;
  const C* offset;
  std::uint64_t channels;

  [[nodiscard]] bool stays() const { return false; }
  template <int kWidth>
  LAMELLA_DEVICE Nothing columns(std::int64_t, std::int64_t) const {
    return {};
  }
  LAMELLA_DEVICE ScaleOffset<C> row(std::int64_t r) const {
    const std::uint64_t channel = static_cast<std::uint64_t>(r) % channels;
    return {scale[channel], offset[channel]};
  }
  LAMELLA_DEVICE C operator()(C x, Nothing, int, const ScaleOffset<C>& row) const { return row.of(x); }
};

}  // namespace

cudaError_t affine(DType dtype, const void* src, const void* scale, const void* offset, void* dst, std::int64_t outer,
                   std::int64_t channels, std::int64_t inner, cudaStream_t stream) {
  return visit_floating(dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    using C = ComputeOf<T>;
    const auto* scales = static_cast<const C*>(scale);
    const auto* offsets = static_cast<const C*>(offset);
    const auto* from = static_cast<const T*>(src);
    auto* to = static_cast<T*>(dst);
    if (inner == 1) {
      const Matrix matrix{outer, channels, channels, channels, channels};
      return pointwise(AffineColumns<C>{scales, offsets}, from, to, matrix, aligned(scale) && aligned(offset), stream);
    }
    return pointwise(AffineRows<C>{scales, offsets, static_cast<std::uint64_t>(channels)}, from, to,
                     Matrix{outer * channels, inner, inner, inner, inner}, true, stream);
  });
}

}  // namespace lamella::kernels
