// SPDX-License-Identifier: Apache-2.0
#include "kernels/pair.hpp"
#include "kernels/rows.hpp"
#include "kernels/rowwise.hpp"

namespace lamella::kernels {
namespace {

/// The type in which thresholds are computed: doubles, or pairs of floats if logits are far from overflow.
struct Doubles {
  using Number = double;
  static constexpr double kMinusOne = -1;
  LAMELLA_DEVICE static double difference(double a, double b) { return a - b; }
  LAMELLA_DEVICE static bool exceeds(double a, double b) { return a > b; }
  LAMELLA_DEVICE static double divided(double a, std::int64_t n) { return a / static_cast<double>(n); }
  LAMELLA_DEVICE static double times_half(double x, std::int64_t n) { return x * (0.5 * static_cast<double>(n)); }
  LAMELLA_DEVICE static double rest(double x, double tau) { return x - tau; }
};
struct Pairs {
  using Number = Pair;
  static constexpr Pair kMinusOne{-1, 0};
  LAMELLA_DEVICE static Pair difference(float a, float b) { return two_sum(a, -b); }
  LAMELLA_DEVICE static bool exceeds(Pair a, Pair b) { return a.high > b.high || (a.high == b.high && a.low > b.low); }
  LAMELLA_DEVICE static Pair exactly(std::int64_t n) {
    const auto high = static_cast<float>(n);
    return {high, static_cast<float>(n - static_cast<std::int64_t>(high))};
  }
  LAMELLA_DEVICE static Pair divided(Pair a, std::int64_t n) {
    const Pair by = exactly(n);
    const float quotient = a.high / by.high;
    const float missing = ::fmaf(-quotient, by.high, a.high) + (a.low - quotient * by.low);
    return normalized({quotient, missing / by.high});
  }
  LAMELLA_DEVICE static Pair times_half(float x, std::int64_t n) { return exactly(n) * (0.5F * x); }
  LAMELLA_DEVICE static float rest(float x, Pair tau) {
    const Pair d = two_sum(x, -tau.high);
    return d.high + (d.low - tau.low);
  }
};

/// Keras' threshold is (s - 1) / n, where n is the number of supporting elements and s the sum of their running sums, largest
/// first. That is not the published definition, but it is what models were trained with. Ranking the supporting elements takes
/// n * length comparisons: few if the logits differ, quadratic in a row of equal ones.
template <typename C>
struct SparsemaxRow {
  using Compute = C;
  static constexpr int kWalked = 4;
  static constexpr unsigned kRegisterShare = 1;
  static constexpr C kFiller = -kInfinity<C>;  // above no threshold

  template <typename Group, typename Items>
  LAMELLA_DEVICE void run(Group& group, Items& items) const {
    C shift = -kInfinity<C>;
    int odd = 0;
    items.each([&](C x, bool, int) {
      shift = Largest::of(shift, x);
      if (x != x) odd = 1;
    });
    shift = group.template reduce<Largest>(shift);
    odd = group.template reduce<Largest>(odd);
    if (odd != 0 || !(shift > -kInfinity<C> && shift < kInfinity<C>)) {
      items.store([&](C, std::int64_t, int) { return kNaN<C>; });
      return;
    }
    if constexpr (std::is_same_v<C, float>) {
      if (::fabsf(shift) < 0x1p60F) return finish<Pairs>(group, items, shift);
    }
    finish<Doubles>(group, items, shift);
  }

 private:
  template <typename Wide, typename Group, typename Items>
  LAMELLA_DEVICE static void finish(Group& group, Items& items, C shift) {
    std::int64_t support = 0;
    const auto least = threshold<Wide>(group, items, shift, support);
    const auto tau = keras_threshold<Wide>(group, items, shift, least, support);  // all threads have read the row
    items.store([&](C x, std::int64_t, int) {
      const auto y = static_cast<C>(Wide::rest(x, tau));
      return y > 0 ? y : C(0);
    });
  }

  /// tau - shift for the tau with sum(max(x - tau, 0)) = 1, by Newton's method: tau grows, and each step leaves fewer elements
  /// above it, in the end `support` of them.
  template <typename Wide, typename Group, typename Items>
  LAMELLA_DEVICE static typename Wide::Number threshold(Group& group, Items& items, C shift, std::int64_t& support) {
    typename Wide::Number tau = Wide::kMinusOne;
    for (support = items.length() + 1;;) {
      typename Wide::Number sum{};
      std::int64_t count = 0;
      items.each([&](C value, bool, int) {
        const auto x = Wide::difference(value, shift);
        if (!Wide::exceeds(x, tau)) return;
        sum = sum + x;
        ++count;
      });
      sum = group.template reduce<Sum>(sum);
      count = group.template reduce<Sum>(count);
      const bool done = count >= support;
      support = count;
      if (done) return tau;
      tau = Wide::divided(sum + Wide::kMinusOne, count);
    }
  }

  template <typename Wide, typename Group, typename Items>
  LAMELLA_DEVICE static typename Wide::Number keras_threshold(Group& group, Items& items, C shift, typename Wide::Number least,
                                                              std::int64_t support) {
    typename Wide::Number sum{};
    items.each([&](C x, bool, int) {
      if (!Wide::exceeds(Wide::difference(x, shift), least)) return;
      std::int64_t above = 0;
      std::int64_t equal = 0;
      for (std::int64_t k = 0; k < items.length(); ++k) {
        const C other = items.at(k);
        above += other > x ? 1 : 0;
        equal += other == x ? 1 : 0;
      }
      // Equal elements share their ranks: each gets their mean.
      sum = sum + Wide::times_half(x, 2 * (support - above) - (equal - 1));
    });
    return Wide::divided(group.template reduce<Sum>(sum) + Wide::kMinusOne, support);
  }
};

}  // namespace

cudaError_t sparsemax(const Rowwise& args, cudaStream_t stream) {
  return visit_floating(args.dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    return launch_walked(SparsemaxRow<ComputeOf<T>>{}, static_cast<const T*>(args.src), static_cast<T*>(args.dst),
                         RowShape{args.outer * args.inner, args.length, args.inner}, stream);
  });
}

}  // namespace lamella::kernels
