// SPDX-License-Identifier: Apache-2.0
#include "kernels/rows.hpp"
#include "kernels/rowwise.hpp"

namespace lamella::kernels {
namespace {

LAMELLA_HD float log_of(float x) { return ::logf(x); }
LAMELLA_HD double log_of(double x) { return ::log(x); }

/// With shift the largest x, and total the sum of exp(x - shift).
struct Softmax {
  static constexpr bool kOfExponential = true;
  template <typename C>
  LAMELLA_HD static C scale(C total) {
    return total;
  }
  template <typename C>
  LAMELLA_HD static C of_exponential(C exponential, C total) {
    return exponential / total;
  }
  template <typename C>
  LAMELLA_HD static C of(C x, C shift, C total) {
    return core::math::exp(x - shift) / total;
  }
};

struct LogSoftmax {
  static constexpr bool kOfExponential = false;
  template <typename C>
  LAMELLA_HD static C scale(C total) {
    return log_of(total);
  }
  template <typename C>
  LAMELLA_HD static C of(C x, C shift, C log_total) {
    return (x - shift) - log_total;
  }
};

template <typename Op, typename C>
struct SoftmaxRow {
  using Compute = C;

  template <typename Group, typename Items, typename T>
  LAMELLA_DEVICE void run(Items& items, const T*, T* dst, const RowShape& shape) const {
    constexpr bool kKept = Op::kOfExponential && Items::kCached;
    C shift = -kInfinity<C>;
    items.each([&](C x, std::int64_t) { shift = Largest::of(shift, x); });
    shift = Group::template reduce<Largest>(shift);
    C total = 0;
    items.each([&](C& x, std::int64_t) {
      const C exponential = core::math::exp(x - shift);
      total += exponential;
      if constexpr (kKept) x = exponential;
    });
    const C scale = Op::scale(Group::template reduce<Sum>(total));
    items.each([&](C x, std::int64_t i) {
      if constexpr (kKept) {
        dst[i * shape.stride] = narrow<T>(Op::of_exponential(x, scale));
      } else {
        dst[i * shape.stride] = narrow<T>(Op::of(x, shift, scale));
      }
    });
  }
};

constexpr unsigned kColumnThreads = 128;

/// A thread has a column; neighbours have neighbouring columns.
template <typename Op, typename T>
LAMELLA_DEVICE void column(const T* src, T* dst, std::int64_t length, std::int64_t stride) {
  using C = ComputeOf<T>;
  constexpr std::int64_t kPart = 16;
  const auto at = [&](std::int64_t i) { return widen<C>(src[i * stride]); };
  C shift = -kInfinity<C>;
  for (std::int64_t i = 0; i < length; ++i) shift = Largest::of(shift, at(i));
  C total = 0;
  for (std::int64_t first = 0; first < length; first += kPart) {  // sums of sums lose less than one long sum
    C part = 0;
    for (std::int64_t i = first; i < first + kPart && i < length; ++i) part += core::math::exp(at(i) - shift);
    total += part;
  }
  const C scale = Op::scale(total);
  for (std::int64_t i = 0; i < length; ++i) dst[i * stride] = narrow<T>(Op::of(at(i), shift, scale));
}

template <typename Op, typename T>
LAMELLA_KERNEL(kColumnThreads)
columns_kernel(const T* src, T* dst, std::int64_t outer, std::int64_t length, std::int64_t inner) {
  for (std::int64_t o = block_y(); o < outer; o += grid_y()) {
    for (std::int64_t c = block_x() * block_threads() + thread_index(); c < inner; c += grid_x() * block_threads()) {
      column<Op>(src + o * length * inner + c, dst + o * length * inner + c, length, inner);
    }
  }
}

template <typename Op, typename T>
cudaError_t launch_columns(const Rowwise& args, const T* src, T* dst, cudaStream_t stream) {
  const unsigned threads = blocks(tiles(args.inner, kWarp) * kWarp, kColumnThreads);
  const dim3 grid(blocks(tiles(args.inner, threads)), blocks(args.outer, kMaxGridY));
  return launch({.grid = grid, .threads = threads, .stream = stream}, columns_kernel<Op, T>, src, dst, args.outer, args.length,
                args.inner);
}

/// The way is chosen by the shape of one sample, so that a sample has the same bits in every batch.
template <typename Op>
cudaError_t softmax_as(const Rowwise& args, cudaStream_t stream) {
  const RowShape shape{args.outer * args.inner, args.length, args.inner};
  if (shape.rows == 0 || shape.length == 0) return cudaSuccess;
  return visit_floating(args.dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    const T* const src = static_cast<const T*>(args.src);
    T* const dst = static_cast<T*>(args.dst);
    if (shape.stride >= kWarp) return launch_columns<Op>(args, src, dst, stream);
    return launch_rows<true>(SoftmaxRow<Op, ComputeOf<T>>{}, src, dst, shape, stream);
  });
}

}  // namespace

cudaError_t softmax(const Rowwise& args, cudaStream_t stream) { return softmax_as<Softmax>(args, stream); }
cudaError_t log_softmax(const Rowwise& args, cudaStream_t stream) { return softmax_as<LogSoftmax>(args, stream); }

}  // namespace lamella::kernels
