// SPDX-License-Identifier: Apache-2.0
#include "kernels/kernels.hpp"
#include "kernels/rows.hpp"

namespace lamella::kernels {
namespace {

struct Total : Sum {
  static constexpr double kNeutral = 0;
};
struct Product {
  static constexpr double kNeutral = 1;
  template <typename T>
  LAMELLA_DEVICE static T of(T a, T b) {
    return a * b;
  }
};
/// Propagates NaN from either argument.
struct Maximum {
  static constexpr double kNeutral = -kInfinity<double>;
  template <typename T>
  LAMELLA_DEVICE static T of(T a, T b) {
    return a > b || a != a ? a : b;
  }
};
struct Minimum {
  static constexpr double kNeutral = kInfinity<double>;
  template <typename T>
  LAMELLA_DEVICE static T of(T a, T b) {
    return a < b || a != a ? a : b;
  }
};

/// One row per group.
template <typename Op, typename T, typename Group>
LAMELLA_KERNEL(Group::kThreads)
reduce_rows_kernel(const T* src, T* dst, RowShape shape, double divisor) {
  for (std::int64_t row = block_x() * Group::kGroups + Group::index(); row < shape.rows; row += grid_x() * Group::kGroups) {
    const T* const from = src + shape.start(row);
    double all = Op::kNeutral;
    for (std::int64_t i = Group::rank(); i < shape.length; i += Group::kSize) {
      all = Op::of(all, static_cast<double>(widen<ComputeOf<T>>(from[i * shape.stride])));
    }
    all = Group::template reduce<Op>(all);
    if (Group::rank() == 0) dst[row] = narrow<T>(static_cast<ComputeOf<T>>(all / divisor));
  }
}

template <typename Group, typename Op, typename T>
cudaError_t launch_reduction(const T* src, T* dst, const RowShape& shape, double divisor, cudaStream_t stream) {
  const Launch how{.grid = dim3(blocks(tiles(shape.rows, Group::kGroups))),
                   .threads = Group::kThreads,
                   .shared = std::is_empty_v<typename Group::Shared> ? 0 : sizeof(typename Group::Shared),
                   .stream = stream};
  return launch(how, reduce_rows_kernel<Op, T, Group>, src, dst, shape, divisor);
}

constexpr unsigned kReduceThreads = 128;

/// One result per thread; adjacent threads have adjacent results.
template <typename Op, typename T>
LAMELLA_KERNEL(kReduceThreads)
reduce_columns_kernel(const T* src, T* dst, RowShape shape, double divisor) {
  for (std::int64_t row = block_x() * kReduceThreads + thread_index(); row < shape.rows; row += grid_x() * kReduceThreads) {
    const T* const from = src + row / shape.stride * shape.stride * shape.length + row % shape.stride;
    double all = Op::kNeutral;
    for (std::int64_t i = 0; i < shape.length; ++i) {
      all = Op::of(all, static_cast<double>(widen<ComputeOf<T>>(from[i * shape.stride])));
    }
    dst[row] = narrow<T>(static_cast<ComputeOf<T>>(all / divisor));
  }
}

/// The algorithm depends on the shape of one sample, so that a sample has the same bits in every batch.
template <typename Op>
cudaError_t reduce_as(const Reduce& args, cudaStream_t stream) {
  const RowShape shape{args.outer * args.inner, args.length, args.inner};
  if (shape.rows == 0) return cudaSuccess;
  const double divisor = args.kind == ReduceKind::mean ? static_cast<double>(args.length) : 1.0;
  return visit_floating(args.dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    const T* const src = static_cast<const T*>(args.src);
    T* const dst = static_cast<T*>(args.dst);
    if (shape.stride >= kWarp || shape.length <= 8) {
      const Launch how{.grid = dim3(blocks(tiles(shape.rows, kReduceThreads))), .threads = kReduceThreads, .stream = stream};
      return launch(how, reduce_columns_kernel<Op, T>, src, dst, shape, divisor);
    }
    if (shape.length <= std::int64_t{32} * kWarp) return launch_reduction<WarpGroup, Op>(src, dst, shape, divisor, stream);
    return launch_reduction<BlockGroup<256>, Op>(src, dst, shape, divisor, stream);
  });
}

}  // namespace

cudaError_t reduce(const Reduce& args, cudaStream_t stream) {
  switch (args.kind) {
    case ReduceKind::sum:
    case ReduceKind::mean:
      return reduce_as<Total>(args, stream);
    case ReduceKind::product:
      return reduce_as<Product>(args, stream);
    case ReduceKind::maximum:
      return reduce_as<Maximum>(args, stream);
    case ReduceKind::minimum:
      return reduce_as<Minimum>(args, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace lamella::kernels
