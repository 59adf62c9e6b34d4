// SPDX-License-Identifier: Apache-2.0
#include "cpu/rowwise/row_functions.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/activation_math.hpp"
#include "cpu/simd.hpp"

namespace lamella::cpu {
namespace {

/// Precedes loops whose iterations are independent although dst may be src: each element is read before it is written.
#ifdef __clang__
#define LAMELLA_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define LAMELLA_INDEPENDENT _Pragma("GCC ivdep")
#endif

constexpr std::int64_t kLanes = 16;
template <typename C>
constexpr C kLowest = -std::numeric_limits<C>::infinity();

/// The n elements at src, at most 16, padded with elements whose exp is 0.
template <typename C>
LAMELLA_HD void load(C (&block)[kLanes], const C* src, std::int64_t n) {
  for (int k = 0; k < kLanes; ++k) block[k] = k < n ? src[k] : kLowest<C>;
}

template <typename C>
LAMELLA_HD void raise(C (&lanes)[kLanes], const C* src, std::int64_t n) {
  C x[kLanes];
  load(x, src, n);
  for (std::int64_t k = 0; k < kLanes; ++k) lanes[k] = x[k] > lanes[k] ? x[k] : lanes[k];
}

template <typename C>
LAMELLA_HD C largest(const C* src, std::int64_t n) {
  C lanes[kLanes];
  for (std::int64_t k = 0; k < kLanes; ++k) lanes[k] = kLowest<C>;
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) raise(lanes, src + i, kLanes);
  if (i < n) raise(lanes, src + i, n - i);
  C result = lanes[0];
  for (std::int64_t k = 1; k < kLanes; ++k) result = lanes[k] > result ? lanes[k] : result;
  return result;
}

template <typename C>
LAMELLA_HD void store(C* dst, const C (&block)[kLanes], std::int64_t n) {
  for (int k = 0; k < kLanes; ++k) {
    if (k < n) dst[k] = block[k];
  }
}

template <typename C>
LAMELLA_HD C sum_of(const C (&lanes)[kLanes]) {
  C result = 0;
  for (const C lane : lanes) result += lane;
  return result;
}

/// exp(src - shift) of n elements, at most 16, padded with 0.
template <typename C>
LAMELLA_HD void exponentials(C (&block)[kLanes], const C* src, std::int64_t n, C shift) {
  load(block, src, n);
  for (std::int64_t k = 0; k < kLanes; ++k) block[k] = core::math::exp(block[k] - shift);
  for (std::int64_t k = 0; k < kLanes; ++k) block[k] = k < n ? block[k] : C(0);
}

/// Returns the sum of exp(src - shift), and writes the terms to dst if requested. NaN in src gives NaN. Whole blocks come first,
/// because their constant length gives plain vector code.
template <bool kWrites, typename C>
LAMELLA_HD C sum_of_exponentials(C* dst, const C* src, std::int64_t n, C shift) {
  C lanes[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    LAMELLA_INDEPENDENT
    for (std::int64_t k = 0; k < kLanes; ++k) {
      const C x = core::math::exp(src[i + k] - shift);
      lanes[k] += x;
      if constexpr (kWrites) dst[i + k] = x;
    }
  }
  if (i < n) {
    C x[kLanes];
    exponentials(x, src + i, n - i, shift);
    for (std::int64_t k = 0; k < kLanes; ++k) lanes[k] += x[k];
    if constexpr (kWrites) store(dst + i, x, n - i);
  }
  return sum_of(lanes);
}

struct Softmax {
  template <typename C>
  LAMELLA_HD static void row(C* dst, const C* src, std::int64_t n) {
    if (n <= kLanes) {  // everything stays in registers
      C x[kLanes];
      exponentials(x, src, n, largest(src, n));
      const C total = sum_of(x);
      for (C& value : x) value /= total;
      return store(dst, x, n);
    }
    const C total = sum_of_exponentials<true>(dst, src, n, largest(src, n));
    for (std::int64_t i = 0; i < n; ++i) dst[i] /= total;
  }
  template <typename C>
  LAMELLA_HD static C scale(C total) {
    return total;
  }
  template <typename C>
  LAMELLA_HD static C finish(C x, C shift, C total) {
    return core::math::exp(x - shift) / total;
  }
};

struct LogSoftmax {
  template <typename C>
  LAMELLA_HD static void row(C* dst, const C* src, std::int64_t n) {
    const C shift = largest(src, n);
    const C log_total = std::log(sum_of_exponentials<false>(dst, src, n, shift));
    LAMELLA_INDEPENDENT
    for (std::int64_t i = 0; i < n; ++i) dst[i] = (src[i] - shift) - log_total;
  }
  template <typename C>
  LAMELLA_HD static C scale(C total) {
    return std::log(total);
  }
  template <typename C>
  LAMELLA_HD static C finish(C x, C shift, C log_total) {
    return (x - shift) - log_total;
  }
};

/// Columns of src[length, inner], up to kLanes of them side by side.
template <typename Op, typename C>
LAMELLA_HD void columns(C* dst, const C* src, std::int64_t length, std::int64_t inner, std::int64_t width) {
  C shift[kLanes];
  C total[kLanes] = {};
  for (C& value : shift) value = kLowest<C>;
  for (std::int64_t i = 0; i < length; ++i) {
    for (std::int64_t k = 0; k < width; ++k) shift[k] = src[i * inner + k] > shift[k] ? src[i * inner + k] : shift[k];
  }
  for (std::int64_t first = 0; first < length; first += kLanes) {  // sums of partial sums lose less precision than one long sum
    C part[kLanes] = {};
    for (std::int64_t i = first; i < std::min(length, first + kLanes); ++i) {
      for (std::int64_t k = 0; k < width; ++k) part[k] += core::math::exp(src[i * inner + k] - shift[k]);
    }
    for (std::int64_t k = 0; k < width; ++k) total[k] += part[k];
  }
  for (std::int64_t k = 0; k < width; ++k) total[k] = Op::scale(total[k]);
  for (std::int64_t i = 0; i < length; ++i) {
    for (std::int64_t k = 0; k < width; ++k) dst[i * inner + k] = Op::finish(src[i * inner + k], shift[k], total[k]);
  }
}

template <typename Op, typename C>
LAMELLA_HD void softmax_like(C* dst, const C* src, std::int64_t length, std::int64_t inner) {
  if (inner == 1) {
    Op::row(dst, src, length);
    return;
  }
  std::int64_t c = 0;
  for (; c + kLanes <= inner; c += kLanes) columns<Op>(dst + c, src + c, length, inner, kLanes);
  if (c < inner) columns<Op>(dst + c, src + c, length, inner, inner - c);
}

template <typename C>
LAMELLA_HD void glu(C* dst, const C* src, std::int64_t length, std::int64_t inner) {
  using Sigmoid = core::ActivationOp<ActivationKind::Sigmoid>;
  const std::int64_t half = length / 2 * inner;
  for (std::int64_t i = 0; i < half; ++i) dst[i] = src[i] * Sigmoid::apply(src[half + i]);
}

/// The threshold tau of one column, relative to its largest element, with sum(max(x - tau, 0)) = 1, by Newton's method: sums over
/// the elements above tau until none drops out. It terminates, because tau grows and each step leaves fewer elements.
template <typename C>
double threshold(const C* src, std::int64_t length, std::int64_t inner, double shift) {
  double tau = -1;  // a lower bound: the value for the largest element alone
  for (std::int64_t before = length + 1;;) {
    double sum = 0;
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < length; ++i) {
      const double x = static_cast<double>(src[i * inner]) - shift;
      if (!(x > tau)) continue;
      sum += x;
      ++count;
    }
    if (count >= before) return tau;
    before = count;
    tau = (sum - 1) / static_cast<double>(count);
  }
}

/// Keras subtracts (the sum of the running sums of the supporting elements, largest first, - 1) / their number, which differs
/// from the published definition: that uses only the last running sum. Models were trained with Keras' formula, so it is used
/// here.
template <typename C>
double keras_threshold(const C* src, std::int64_t length, std::int64_t inner, double tau) {
  const auto at = [&](std::int64_t i) { return static_cast<double>(src[i * inner]); };
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < length; ++i) count += at(i) > tau ? 1 : 0;
  double sum = 0;
  for (std::int64_t i = 0; i < length; ++i) {
    if (!(at(i) > tau)) continue;
    std::int64_t before = 0;  // elements earlier in the order
    for (std::int64_t k = 0; k < length; ++k) before += at(k) > at(i) || (at(k) == at(i) && k < i) ? 1 : 0;
    sum += at(i) * static_cast<double>(count - before);
  }
  return (sum - 1) / static_cast<double>(count);
}

/// Elements more than 1 below the largest never count, so they need not be finite.
template <typename C>
void sparsemax(C* dst, const C* src, std::int64_t length, std::int64_t inner) {
  for (std::int64_t c = 0; c < inner; ++c) {
    double shift = -std::numeric_limits<double>::infinity();
    bool regular = true;
    for (std::int64_t i = 0; i < length; ++i) {
      const auto x = static_cast<double>(src[i * inner + c]);
      shift = x > shift ? x : shift;
      regular = regular && x == x;
    }
    regular = regular && std::isfinite(shift);
    const double tau = regular ? keras_threshold(src + c, length, inner, shift + threshold(src + c, length, inner, shift)) : 0;
    for (std::int64_t i = 0; i < length; ++i) {
      const double y = static_cast<double>(src[i * inner + c]) - tau;
      dst[i * inner + c] = !regular ? std::numeric_limits<C>::quiet_NaN() : y > 0 ? static_cast<C>(y) : C(0);
    }
  }
}

template <typename C, typename F>
struct GenericRows {
  static void run(C* dst, const C* src, std::int64_t length, std::int64_t inner) { F::run(dst, src, length, inner); }
};
template <typename C, typename F>
struct Avx2Rows {
  LAMELLA_TARGET_AVX2 static void run(C* dst, const C* src, std::int64_t length, std::int64_t inner) {
    F::run(dst, src, length, inner);
  }
};
template <typename C, typename F>
struct Avx512Rows {
  LAMELLA_TARGET_AVX512 static void run(C* dst, const C* src, std::int64_t length, std::int64_t inner) {
    F::run(dst, src, length, inner);
  }
};

template <typename Op>
struct RunSoftmax {
  template <typename C>
  LAMELLA_HD static void run(C* dst, const C* src, std::int64_t length, std::int64_t inner) {
    softmax_like<Op>(dst, src, length, inner);
  }
};
struct RunGlu {
  template <typename C>
  LAMELLA_HD static void run(C* dst, const C* src, std::int64_t length, std::int64_t inner) {
    glu(dst, src, length, inner);
  }
};

template <typename C, typename F>
RowFn<C> best() {
  switch (best_isa()) {
    case Isa::avx512:
      return &Avx512Rows<C, F>::run;
    case Isa::avx2:
      return &Avx2Rows<C, F>::run;
    case Isa::generic:
      break;
  }
  return &GenericRows<C, F>::run;
}

}  // namespace

template <typename C>
RowFn<C> row_function(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::Softmax:
      return best<C, RunSoftmax<Softmax>>();
    case ActivationKind::LogSoftmax:
      return best<C, RunSoftmax<LogSoftmax>>();
    case ActivationKind::Sparsemax:
      return &sparsemax<C>;
    case ActivationKind::Glu:
      return best<C, RunGlu>();
    default:
      throw Error(ErrorCode::internal, "an element-wise activation is not a function of rows");
  }
}

template RowFn<float> row_function<float>(ActivationKind);
template RowFn<double> row_function<double>(ActivationKind);

}  // namespace lamella::cpu
