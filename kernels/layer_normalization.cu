// SPDX-License-Identifier: Apache-2.0
#include "kernels/kernels.hpp"
#include "kernels/rows.hpp"

namespace lamella::kernels {
namespace {

/// In double, as on the CPU: a mean far from 0 costs no digits, and the kernel waits for memory anyway.
template <typename C>
struct NormalizedRow {
  using Compute = C;
  const C* gamma;
  const C* beta;
  double epsilon;
  NormalizationKind kind;

  template <typename Group, typename Items, typename T>
  LAMELLA_DEVICE void run(Items& items, const T*, T* dst, const RowShape& shape) const {
    const auto length = static_cast<double>(shape.length);
    double mean = 0;
    if (kind == NormalizationKind::standard || kind == NormalizationKind::deviation) {
      double sum = 0;
      items.each([&](C x, std::int64_t) { sum += static_cast<double>(x); });
      mean = Group::template reduce<Sum>(sum) / length;
    }
    double squares = 0;
    items.each([&](C x, std::int64_t) {
      const double difference = static_cast<double>(x) - mean;
      squares += difference * difference;
    });
    squares = Group::template reduce<Sum>(squares);
    double factor = 1.0 / ::sqrt(kind == NormalizationKind::unit ? squares : squares / length + epsilon);
    if (kind == NormalizationKind::unit && factor > 1.0 / epsilon) factor = 1.0 / epsilon;
    const double center = kind == NormalizationKind::standard ? mean : 0.0;
    items.each([&](C x, std::int64_t i) {
      const double scale = gamma != nullptr ? factor * static_cast<double>(gamma[i]) : factor;
      const double offset = beta != nullptr ? static_cast<double>(beta[i]) : 0.0;
      dst[i] = narrow<T>(static_cast<C>((static_cast<double>(x) - center) * scale + offset));
    });
  }
};

}  // namespace

cudaError_t layer_normalization(const LayerNormalization& args, cudaStream_t stream) {
  return visit_floating(args.dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    using C = ComputeOf<T>;
    const NormalizedRow<C> f{static_cast<const C*>(args.gamma), static_cast<const C*>(args.beta), args.epsilon, args.kind};
    return launch_rows<true>(f, static_cast<const T*>(args.src), static_cast<T*>(args.dst), RowShape{args.rows, args.length, 1},
                             stream);
  });
}

}  // namespace lamella::kernels
