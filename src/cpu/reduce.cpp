// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "cpu/lanes.hpp"
#include "cpu/plans.hpp"
#include "cpu/threads.hpp"

namespace lamella::cpu {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Calls f(function of two numbers, its neutral element).
template <typename F>
void visit_reduction(ops::ReduceKind kind, const F& f) {
  switch (kind) {
    case ops::ReduceKind::sum:
    case ops::ReduceKind::mean:
      return f([](double a, double b) { return a + b; }, 0.0);
    case ops::ReduceKind::product:
      return f([](double a, double b) { return a * b; }, 1.0);
    case ops::ReduceKind::maximum:
      return f([](double a, double b) { return a > b || a != a ? a : b; }, -kInfinity);
    case ops::ReduceKind::minimum:
      return f([](double a, double b) { return a < b || a != a ? a : b; }, kInfinity);
  }
}

/// dst[i] = the reduction of src[:, i], some columns at a time.
template <typename T, typename Combine>
void columns(const ops::ReduceDesc& d, T* dst, const T* src, double neutral, double divisor, const Combine& combine) {
  constexpr std::int64_t kBlock = 256;
  double block[kBlock];
  for (std::int64_t begin = 0; begin < d.inner; begin += kBlock) {
    const std::int64_t n = std::min(kBlock, d.inner - begin);
    std::fill_n(block, n, neutral);
    for (std::int64_t row = 0; row < d.length; ++row) {
      const T* from = src + row * d.inner + begin;
      for (std::int64_t k = 0; k < n; ++k) block[k] = combine(block[k], static_cast<double>(static_cast<ComputeOf<T>>(from[k])));
    }
    for (std::int64_t k = 0; k < n; ++k) dst[begin + k] = convert<T>(block[k] / divisor);
  }
}

template <typename T>
void run(const ops::ReduceDesc& d, const ops::Args& args, std::int64_t begin, std::int64_t end) {
  const double divisor = d.kind == ops::ReduceKind::mean ? static_cast<double>(d.length) : 1.0;
  visit_reduction(d.kind, [&](auto combine, double neutral) {
    for (std::int64_t o = begin; o < end; ++o) {
      const T* src = static_cast<const T*>(args.srcs[0]) + o * d.length * d.inner;
      T* dst = static_cast<T*>(args.dst) + o * d.inner;
      if (d.inner == 1) {
        const auto at = [src](std::int64_t i) { return static_cast<double>(static_cast<ComputeOf<T>>(src[i])); };
        *dst = convert<T>(fold(d.length, neutral, combine, at) / divisor);
      } else {
        columns(d, dst, src, neutral, divisor, combine);
      }
    }
  });
}

}  // namespace

PlanPtr plan(const ops::ReduceDesc& desc, const ConstantsPtr&, const ops::PlanContext& context) {
  const Team team = worth(context.threads, 0.5 * static_cast<double>(desc.outer * desc.length * desc.inner));
  PlanPtr result;
  visit_floating(desc.dtype, [&](auto t) {
    using T = decltype(t);
    result = make_plan([desc, team](const ops::Args& args) {
      parallel(desc.outer, team, [&](std::int64_t begin, std::int64_t end) { run<T>(desc, args, begin, end); });
    });
  });
  return result;
}

}  // namespace lamella::cpu
