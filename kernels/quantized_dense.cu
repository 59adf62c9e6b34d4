// SPDX-License-Identifier: Apache-2.0
#include "core/float8.hpp"
#include "core/quantize.hpp"
#include "kernels/pointwise.hpp"
#include "kernels/quantized.hpp"

namespace lamella::kernels {
namespace {

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

std::size_t quantized_dense_workspace(const QuantizedDense& args) { return args.quantizes ? RowCodes(args).bytes : 0; }

cudaError_t quantized_dense(const QuantizedDense& args, cudaStream_t stream) {
  if (args.batch == 0 || args.units == 0) return cudaSuccess;
  if (is_rowwise(args.activation.kind) || !aligned(args.weights) || args.inputs > kMostSmallBatchInputs)
    return cudaErrorInvalidValue;
  if (!args.quantizes) return dequantized_gemm(args, stream);
  const cudaError_t status = quantize_rows(args, stream);
  return status != cudaSuccess ? status : integer_gemm(args, stream);
}

cudaError_t through_float8(DType dtype, const void* src, void* dst, std::int64_t elements, float scale, cudaStream_t stream) {
  return visit_floating(dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    return pointwise(ThroughFloat8<T>(scale), static_cast<const T*>(src), static_cast<T*>(dst), matrix_of<T, T>(elements), true,
                     stream);
  });
}

}  // namespace lamella::kernels
