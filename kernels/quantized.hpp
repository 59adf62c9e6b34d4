// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.hpp"
#include "kernels/quantized_layout.hpp"
#include "kernels/storage.hpp"

/// The parts of quantized_dense().
namespace lamella::kernels {

/// Rounds a C to a T.
template <typename T>
struct RoundToStored {
  using C = ComputeOf<T>;
  LAMELLA_HD C operator()(C x) const { return widen<C>(narrow<T>(x)); }
};

/// Four integers from the lower halves of four bytes, which hold them plus 8.
LAMELLA_DEVICE unsigned unpacked(unsigned word) { return (((word & 0x0F0F'0F0FU) | 0x8080'8080U) - 0x0808'0808U) ^ 0x8080'8080U; }
LAMELLA_DEVICE uint4 unpacked(unsigned unit, unsigned other) {
  return {unpacked(unit), unpacked(other), unpacked(unit >> 4U), unpacked(other >> 4U)};
}

/// The workspace of a layer that quantizes its rows: their integers, each row padded to whole chunks of QuantizedLayout, then a
/// factor of type C for each row.
struct RowCodes {
  std::int64_t stride;  ///< bytes of a row of integers
  std::size_t factors;  ///< offset of the factors
  std::size_t bytes;

  explicit RowCodes(const QuantizedDense& args)
      : stride(QuantizedLayout{args.inputs, args.units}.chunks() * QuantizedLayout::kInputs),
        factors(static_cast<std::size_t>(args.batch * stride)),
        bytes(factors + static_cast<std::size_t>(args.batch) * (args.dtype == DType::float64 ? sizeof(double) : sizeof(float))) {}
};

/// Writes the integers and factors of the rows. Padding is whatever zero becomes.
[[nodiscard]] cudaError_t quantize_rows(const QuantizedDense& args, cudaStream_t stream);

/// The product of the integers, and the rest of the layer.
[[nodiscard]] cudaError_t integer_gemm(const QuantizedDense& args, cudaStream_t stream);

/// A layer that does not quantize its rows.
[[nodiscard]] cudaError_t dequantized_gemm(const QuantizedDense& args, cudaStream_t stream);

}  // namespace lamella::kernels
