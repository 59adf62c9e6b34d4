// SPDX-License-Identifier: Apache-2.0
#include "kernels/rowwise.hpp"

#include "kernels/activation.hpp"

namespace lamella::kernels {
namespace {

/// x times the sigmoid of the element `half` places after it. A row of the matrix is the first half of a row of src.
template <typename T>
struct Glu {
  using Compute = ComputeOf<T>;
  const T* gates;
  std::int64_t stride;

  template <int kWidth>
  struct Columns {
    std::int64_t column;
    std::int64_t left;  ///< columns left in the row; there are as many gates
  };
  [[nodiscard]] bool stays() const { return false; }
  template <int kWidth>
  LAMELLA_DEVICE Columns<kWidth> columns(std::int64_t column, std::int64_t left) const {
    return {column, left};
  }
  LAMELLA_DEVICE const T* row(std::int64_t r) const { return gates + r * stride; }
  template <int kWidth>
  LAMELLA_DEVICE Compute operator()(Compute x, const Columns<kWidth>& columns, int k, const T* row) const {
    const auto gate = k < columns.left ? widen<Compute>(row[columns.column + k]) : Compute(0);
    return x * static_cast<Compute>(core::ActivationOp<ActivationKind::Sigmoid>::apply(static_cast<FormulaOf<T>>(gate)));
  }
};

}  // namespace

cudaError_t glu(const Rowwise& args, cudaStream_t stream) {
  const std::int64_t half = args.length / 2 * args.inner;
  const std::int64_t stride = args.length * args.inner;
  return visit_floating(args.dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    const auto* src = static_cast<const T*>(args.src);
    return pointwise(Glu<T>{src + half, stride}, src, static_cast<T*>(args.dst), Matrix{args.outer, half, half, stride, half},
                     true, stream);
  });
}

std::size_t rowwise_workspace(const Rowwise&) { return 0; }

cudaError_t rowwise(const Rowwise& args, cudaStream_t stream) {
  switch (args.kind) {
    case ActivationKind::Softmax:
      return softmax(args, stream);
    case ActivationKind::LogSoftmax:
      return log_softmax(args, stream);
    case ActivationKind::Sparsemax:
      return sparsemax(args, stream);
    case ActivationKind::Glu:
      return glu(args, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace lamella::kernels
