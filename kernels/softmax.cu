// SPDX-License-Identifier: Apache-2.0
#include "kernels/rows.hpp"
#include "kernels/rowwise.hpp"

namespace lamella::kernels {
namespace {

LAMELLA_HD float log_of(float x) { return ::logf(x); }
LAMELLA_HD double log_of(double x) { return ::log(x); }

/// n / d for a d of at least 1 that divides many n: multiplies by the reciprocal and corrects with the remainder, which gives the
/// nearest number except for the last bit in rare cases.
template <typename C>
class Divisor {
 public:
  LAMELLA_HD explicit Divisor(C d) : d_(d), reciprocal_(C(1) / d) {}
  LAMELLA_HD C divides(C n) const {
    const C quotient = n * reciprocal_;
    return core::math::fma(core::math::fma(-quotient, d_, n), reciprocal_, quotient);
  }

 private:
  C d_;
  C reciprocal_;
};

/// `shift` is the largest x, `total` the sum of exp(x - shift): at least 1, or NaN.
struct Softmax {
  static constexpr bool kOfExponential = true;
  template <typename C>
  LAMELLA_HD static Divisor<C> scale(C total) {
    return Divisor<C>(total);
  }
  template <typename C>
  LAMELLA_HD static C of_exponential(C exponential, const Divisor<C>& total) {
    return total.divides(exponential);
  }
  template <typename C>
  LAMELLA_HD static C of(C x, C shift, const Divisor<C>& total) {
    return total.divides(core::math::exp(x - shift));
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
  static constexpr int kWalked = 8;
  static constexpr unsigned kRegisterShare = 1;
  static constexpr C kFiller = -kInfinity<C>;  // its exponential is 0

  template <typename Group, typename Items>
  LAMELLA_DEVICE void run(Group& group, Items& items) const {
    constexpr bool kKept = Op::kOfExponential && Items::kKept;
    items.ready();
    C shift = -kInfinity<C>;
    C total = 0;
    if constexpr (Items::kKept) {
      items.each([&](C x, bool, int) { shift = Largest::of(shift, x); });
      shift = group.template reduce<Largest>(shift);
      items.each([&](C& x, bool, int) {
        const C exponential = core::math::exp(x - shift);
        total += exponential;
        if constexpr (kKept) x = exponential;
      });
    } else {
      total = walked_total(group, items, shift);
    }
    const auto scale = Op::scale(group.template reduce<Sum>(total));
    items.store([&](C x, std::int64_t, int) {
      if constexpr (kKept) {
        return Op::of_exponential(x, scale);
      } else {
        return Op::of(x, shift, scale);
      }
    });
  }

 private:
  /// In one walk: each thread sums exponentials relative to the largest number that it has met so far. `shift` becomes the
  /// largest of the row.
  template <typename Group, typename Items>
  LAMELLA_DEVICE static C walked_total(Group& group, const Items& items, C& shift) {
    C largest = -kInfinity<C>;
    C total = 0;
    items.batches([&](const C(&x)[Items::kItems], std::int64_t, int filled) {
      const C before = largest;
      LAMELLA_UNROLL
      for (int k = 0; k < Items::kItems; ++k) largest = Largest::of(largest, x[k]);
      if (largest > before) total *= core::math::exp(before - largest);
      const C from = largest > -kInfinity<C> ? largest : C(0);  // nothing is summed if all are -infinity
      LAMELLA_UNROLL
      for (int k = 0; k < Items::kItems; ++k) {
        if (k >= filled) break;
        total += core::math::exp(x[k] - from);
      }
    });
    shift = group.template reduce<Largest>(largest);
    return total * core::math::exp(largest - shift);
  }
};

constexpr unsigned kColumnThreads = 128;

/// One column per thread; adjacent threads have adjacent columns.
template <typename Op, typename T>
LAMELLA_DEVICE void column(const T* src, T* dst, std::int64_t length, std::int64_t stride) {
  using C = ComputeOf<T>;
  constexpr int kPart = kKeptItems<T>;
  // Calls f(x, i) for all elements, read a part at a time; elements past the last are -infinity. Calls `end` after each part.
  const auto parts = [&](const auto& f, const auto& end) {
    for (std::int64_t first = 0; first < length; first += kPart) {
      T raw[kPart];
      LAMELLA_UNROLL
      for (int k = 0; k < kPart; ++k) {
        raw[k] = narrow<T>(-kInfinity<C>);
        if (first + k < length) raw[k] = src[(first + k) * stride];
      }
      LAMELLA_UNROLL
      for (int k = 0; k < kPart; ++k) f(widen<C>(raw[k]), first + k);
      end();
    }
  };
  C shift = -kInfinity<C>;
  parts([&](C x, std::int64_t) { shift = Largest::of(shift, x); }, [] {});
  C total = 0;
  C part = 0;  // sums of partial sums lose less precision than one long sum
  parts([&](C x, std::int64_t) { part += core::math::exp(x - shift); },
        [&] {
          total += part;
          part = 0;
        });
  const auto scale = Op::scale(total);
  parts(
      [&](C x, std::int64_t i) {
        if (i < length) dst[i * stride] = narrow<T>(Op::of(x, shift, scale));
      },
      [] {});
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

/// The algorithm depends on the shape of one sample, so that a sample has the same bits in every batch.
template <typename Op>
cudaError_t softmax_as(const Rowwise& args, cudaStream_t stream) {
  const RowShape shape{args.outer * args.inner, args.length, args.inner};
  if (shape.rows == 0 || shape.length == 0) return cudaSuccess;
  return visit_floating(args.dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    const T* const src = static_cast<const T*>(args.src);
    T* const dst = static_cast<T*>(args.dst);
    if (shape.stride >= kWarp) return launch_columns<Op>(args, src, dst, stream);
    return launch_rows(SoftmaxRow<Op, ComputeOf<T>>{}, src, dst, shape, true, stream);
  });
}

}  // namespace

cudaError_t softmax(const Rowwise& args, cudaStream_t stream) { return softmax_as<Softmax>(args, stream); }
cudaError_t log_softmax(const Rowwise& args, cudaStream_t stream) { return softmax_as<LogSoftmax>(args, stream); }

}  // namespace lamella::kernels
