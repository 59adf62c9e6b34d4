// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/activation.hpp"

namespace lamella::kernels {

/// Rows that follow one another without gaps as rows of so many of them, which consist of whole packs. A thread keeps to its
/// columns, so it finds its part of the repeating bias just once.
inline Matrix folded(const Matrix& m, std::int64_t together) {
  const std::int64_t rows = tiles(m.rows, together);
  const std::int64_t last = (m.rows - (rows - 1) * together) * m.units;
  const std::int64_t units = rows == 1 ? last : m.units * together;
  return {rows, units, last, units, units};
}

template <typename Src, typename Dst>
cudaError_t bias_activation(const ActivationSpec& activation, const void* src, const void* bias, void* dst, const Matrix& matrix,
                            cudaStream_t stream) {
  using C = ComputeOf<Dst>;
  constexpr int kWidth = kPackWidth<Src, Dst>;
  constexpr std::int64_t kMostUnits = std::int64_t{1} << 28;  // columns of folded rows fit into 32 bits
  const bool no_gaps =
      matrix.src_stride == matrix.units && matrix.dst_stride == matrix.units && matrix.last_units == matrix.units;
  const bool folds = bias != nullptr && no_gaps && matrix.units % kWidth != 0 && matrix.units < kMostUnits;
  const Matrix m = folds ? folded(matrix, kWidth) : matrix;
  return visit_activation(activation.kind, [&](auto op) {
    const BiasActivation<decltype(op), Dst> f{static_cast<const C*>(bias), Parameters<C>(activation),
                                              folds ? static_cast<unsigned>(matrix.units) : 0};
    return pointwise(f, static_cast<const Src*>(src), static_cast<Dst*>(dst), m, folds || aligned(bias), stream);
  });
}

#define LAMELLA_BIAS_ACTIVATION(Src, Dst)                                                                               \
  template cudaError_t bias_activation<Src, Dst>(const ActivationSpec&, const void*, const void*, void*, const Matrix&, \
                                                 cudaStream_t)

}  // namespace lamella::kernels
