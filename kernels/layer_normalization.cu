// SPDX-License-Identifier: Apache-2.0
#include "kernels/kernels.hpp"
#include "kernels/pair.hpp"
#include "kernels/rows.hpp"

namespace lamella::kernels {
namespace {

/// Parameters shared by all rows.
template <typename C>
struct Normalized {
  const C* gamma;
  const C* beta;
  double epsilon;
  NormalizationKind kind;
  Pair share;  ///< 1 / length
  Pair added;  ///< epsilon
};

/// In double: for float64, and as the fallback of the others.
template <typename C, typename Group, typename Items, typename Constant>
LAMELLA_DEVICE void normalize_in_double(const Normalized<C>& how, Group& group, Items& items, const Constant& gamma,
                                        const Constant& beta) {
  const auto length = static_cast<double>(items.length());
  double mean = 0;
  if (how.kind == NormalizationKind::standard || how.kind == NormalizationKind::deviation) {
    double sum = 0;
    items.each([&](C x, bool, int) { sum += static_cast<double>(x); });
    mean = group.template reduce<Sum>(sum) / length;
  }
  double squares = 0;
  items.each([&](C x, bool there, int) {
    const double difference = there ? static_cast<double>(x) - mean : 0.0;
    squares += difference * difference;
  });
  squares = group.template reduce<Sum>(squares);
  double factor = 1.0 / ::sqrt(how.kind == NormalizationKind::unit ? squares : squares / length + how.epsilon);
  if (how.kind == NormalizationKind::unit && factor > 1.0 / how.epsilon) factor = 1.0 / how.epsilon;
  const double center = how.kind == NormalizationKind::standard ? mean : 0.0;
  items.store([&](C x, std::int64_t i, int slot) {
    const double scale = factor * static_cast<double>(gamma.of(i, slot));
    return static_cast<C>((static_cast<double>(x) - center) * scale + static_cast<double>(beta.of(i, slot)));
  });
}

/// Whether 1 / sqrt() and the squares fit in floats: true for numbers up to 2^45 that are not all near 0.
LAMELLA_DEVICE bool tame(float squares, float variance) { return squares < 0x1p90F && variance > 0x1p-60F; }

/// Computes in pairs of floats, so that a mean far from 0 costs no digits and the result is rounded once. Returns false, and
/// writes nothing, if their range is too small.
template <typename Group, typename Items, typename Constant>
LAMELLA_DEVICE bool normalize_in_pairs(const Normalized<float>& how, Group& group, Items& items, const Constant& gamma,
                                       const Constant& beta) {
  if (how.kind == NormalizationKind::deviation) return false;  // needs both the numbers and their deviations from the mean
  Pair mean;
  if (how.kind == NormalizationKind::standard) {
    Pair sum;
    items.each([&](float x, bool, int) { sum = sum + x; });
    mean = normalized(group.template reduce<Sum>(sum) * how.share);
  }
  float lows[Items::kItems];  // low parts of the deviations, whose high parts replace the numbers
  const auto distance = [&](float x) {
    const Pair d = two_sum(x, -mean.high);
    return Pair{d.high, d.low - mean.low};
  };
  Pair squares;
  items.each([&](float& x, bool there, int slot) {
    const Pair d = there ? distance(x) : Pair{};
    const Pair square = two_product(d.high, d.high);
    squares = squares + Pair{square.high, ::fmaf(d.low, ::fmaf(2.F, d.high, d.low), square.low)};
    if constexpr (Items::kKept) {
      x = d.high;
      lows[slot] = d.low;
    }
  });
  squares = normalized(group.template reduce<Sum>(squares));
  const bool unit = how.kind == NormalizationKind::unit;
  const Pair variance = unit ? squares : normalized(squares * how.share + how.added);
  if (!tame(squares.high, variance.high)) return false;
  const Pair factor = reciprocal_root(variance);
  if (unit && factor.high * how.added.high >= 1.F) return false;  // the norm is bounded by 1 / epsilon
  items.store([&](float x, std::int64_t i, int slot) {
    Pair d{x, 0};
    if constexpr (Items::kKept) {
      d.low = lows[slot];
    } else {
      d = distance(x);
    }
    return rounded_sum(d * (factor * gamma.of(i, slot)), beta.of(i, slot));
  });
  return true;
}

/// Two sums reduced together.
struct Sums {
  float squares = 0;
  float rest = 0;
};
LAMELLA_DEVICE Sums operator+(Sums a, Sums b) { return {a.squares + b.squares, a.rest + b.rest}; }
LAMELLA_DEVICE Sums shuffle_xor(Sums x, unsigned mask) {
  return {kernels::shuffle_xor(x.squares, mask), kernels::shuffle_xor(x.rest, mask)};
}

/// Computes in floats, for 16-bit results. Before rounding, the error is at most 2^-20 of the larger of the normalized number and
/// beta. The mean of the distances from the first mean corrects that mean, so that a mean far from 0 costs no digits.
template <typename Group, typename Items, typename Constant>
LAMELLA_DEVICE bool normalize_in_floats(const Normalized<float>& how, Group& group, Items& items, const Constant& gamma,
                                        const Constant& beta) {
  if (how.kind == NormalizationKind::deviation) return false;
  float mean = 0;
  if (how.kind == NormalizationKind::standard) {
    float sum = 0;
    items.each([&](float x, bool, int) { sum += x; });
    mean = group.template reduce<Sum>(sum) * how.share.high;
  }
  Sums sums;
  items.each([&](float& x, bool there, int) {
    x = there ? x - mean : 0.F;
    sums.rest += x;
    sums.squares = ::fmaf(x, x, sums.squares);
  });
  sums = group.template reduce<Sum>(sums);
  const float rest = how.kind == NormalizationKind::standard ? sums.rest * how.share.high : 0.F;
  const bool unit = how.kind == NormalizationKind::unit;
  const float variance = unit ? sums.squares : ::fmaf(sums.squares, how.share.high, ::fmaf(-rest, rest, how.added.high));
  if (!tame(sums.squares, variance)) return false;
  const float factor = reciprocal_root({variance, 0}).high;
  if (unit && factor * how.added.high >= 1.F) return false;
  items.store([&](float x, std::int64_t i, int slot) { return ::fmaf(x - rest, factor * gamma.of(i, slot), beta.of(i, slot)); });
  return true;
}

template <typename C>
struct NormalizedRow {
  using Compute = C;
  static constexpr int kWalked = 8;
  static constexpr unsigned kRegisterShare = 2;
  static constexpr C kFiller = 0;
  Normalized<C> how;

  template <typename Group, typename Items>
  LAMELLA_DEVICE void run(Group& group, Items& items) const {
    const RowConstant<Items, C> gamma(items, how.gamma, C(1));
    const RowConstant<Items, C> beta(items, how.beta, C(0));
    items.ready();
    if constexpr (std::is_same_v<C, float>) {
      bool left = false;
      if constexpr (Items::kKept && sizeof(typename Items::Element) == 2) {
        left = !normalize_in_floats(how, group, items, gamma, beta);
      } else {
        left = !normalize_in_pairs(how, group, items, gamma, beta);
      }
      left = left && items.there();
      if (!group.any(left)) return;
      auto again = items.again(left);
      using Again = decltype(again);
      normalize_in_double(how, group, again, RowConstant<Again, C>(again, how.gamma, C(1)),
                          RowConstant<Again, C>(again, how.beta, C(0)));
    } else {
      normalize_in_double(how, group, items, gamma, beta);
    }
  }
};

}  // namespace

cudaError_t layer_normalization(const LayerNormalization& args, cudaStream_t stream) {
  return visit_floating(args.dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    using C = ComputeOf<T>;
    const auto* const gamma = static_cast<const C*>(args.gamma);
    const auto* const beta = static_cast<const C*>(args.beta);
    const Pair share = split(1.0 / static_cast<double>(args.length));
    const NormalizedRow<C> f{{gamma, beta, args.epsilon, args.kind, share, split(args.epsilon)}};
    return launch_rows(f, static_cast<const T*>(args.src), static_cast<T*>(args.dst), RowShape{args.rows, args.length, 1},
                       aligned(gamma) && aligned(beta), stream);
  });
}

}  // namespace lamella::kernels
