// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "core/arithmetic.hpp"
#include "core/math.hpp"
#include "cpu/plans.hpp"
#include "cpu/threads.hpp"

namespace lamella::cpu {
namespace {

/// Calls f(function of two numbers), so that the kind is selected outside the loops.
template <typename C, typename F>
void visit_combination(ops::CombineKind kind, const F& f) {
  switch (kind) {
    case ops::CombineKind::add:
    case ops::CombineKind::average:
      return f([](C a, C b) { return core::add(a, b); });
    case ops::CombineKind::subtract:
      return f([](C a, C b) { return core::subtract(a, b); });
    case ops::CombineKind::multiply:
      return f([](C a, C b) { return core::multiply(a, b); });
    case ops::CombineKind::maximum:
      return f([](C a, C b) { return core::maximum(a, b); });
    case ops::CombineKind::minimum:
      return f([](C a, C b) { return core::minimum(a, b); });
    case ops::CombineKind::where:
      return f([](C a, C b) { return core::where(a, b); });
    case ops::CombineKind::divide:
      if constexpr (std::is_floating_point_v<C>) return f([](C a, C b) { return a / b; });
      break;
    case ops::CombineKind::power:
      if constexpr (std::is_floating_point_v<C>) return f([](C a, C b) { return core::math::power(a, b); });
      break;
  }
}

/// The strides of one source along each axis of dst, 0 where it is broadcast.
struct Source {
  std::array<std::int64_t, Shape::kMaxRank> strides{};
  std::int64_t last = 0;
};

Source source_of(const Shape& src, const Shape& dst) {
  Source source;
  for (int axis = 0; axis < dst.rank(); ++axis) {
    source.strides[static_cast<std::size_t>(axis)] = src[axis] == 1 ? 0 : src.elements(axis + 1, src.rank());
  }
  if (dst.rank() > 0) source.last = source.strides[static_cast<std::size_t>(dst.rank() - 1)];
  return source;
}

struct Combination {
  ops::CombineKind kind;
  Shape dst;
  std::vector<Source> sources;
  std::int64_t row;  ///< elements along the last axis
  int constant;      ///< the source that is not among the arguments, or -1
  std::shared_ptr<const ops::Constants> constants;

  /// The start of source `s`; the constant is not among the arguments.
  [[nodiscard]] const void* data(std::size_t s, const ops::Args& args) const {
    const int given = static_cast<int>(s);
    if (given == constant) return (*constants)[0].data();
    return args.srcs[constant >= 0 && given > constant ? s - 1 : s];
  }

  [[nodiscard]] std::int64_t offset(const Source& source, std::int64_t row_index) const {
    std::int64_t at = 0;
    for (int axis = dst.rank() - 2; axis >= 0; --axis) {
      at += row_index % dst[axis] * source.strides[static_cast<std::size_t>(axis)];
      row_index /= dst[axis];
    }
    return at;
  }
};

/// Computes one row in blocks, so that the sum of any number of sources stays in registers and cache, and is rounded once.
template <typename T, typename C>
void row(const Combination& c, const ops::Args& args, std::int64_t r, std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t kBlock = 256;
  C block[kBlock];
  T* dst = static_cast<T*>(args.dst) + r * c.row;
  for (std::int64_t i = begin; i < end; i += kBlock) {
    const std::int64_t n = std::min(kBlock, end - i);
    for (std::size_t s = 0; s < c.sources.size(); ++s) {
      const std::int64_t stride = c.sources[s].last;
      const T* src = static_cast<const T*>(c.data(s, args)) + c.offset(c.sources[s], r) + i * stride;
      if (s == 0) {
        for (std::int64_t k = 0; k < n; ++k) block[k] = static_cast<C>(src[k * stride]);
      } else {
        visit_combination<C>(c.kind, [&](auto f) {
          for (std::int64_t k = 0; k < n; ++k) block[k] = f(block[k], static_cast<C>(src[k * stride]));
        });
      }
    }
    if constexpr (std::is_integral_v<T>) {
      std::copy_n(block, n, dst + i);
    } else {
      const C divisor = c.kind == ops::CombineKind::average ? static_cast<C>(c.sources.size()) : C(1);
      for (std::int64_t k = 0; k < n; ++k) dst[i + k] = convert<T>(block[k] / divisor);
    }
  }
}

}  // namespace

PlanPtr plan(const ops::CombineDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context) {
  Combination c{desc.kind, desc.dst, {}, desc.dst.rank() == 0 ? 1 : desc.dst.back(), desc.constant, constants};
  if (std::all_of(desc.srcs.begin(), desc.srcs.end(), [&](const Shape& s) { return s == desc.dst; })) {
    c.dst = Shape{desc.dst.elements()};  // nothing is broadcast: one long row
    c.row = desc.dst.elements();
    c.sources.assign(desc.srcs.size(), source_of(c.dst, c.dst));
    for (Source& source : c.sources) source.last = 1;
  } else {
    for (const Shape& src : desc.srcs) c.sources.push_back(source_of(src, desc.dst));
  }
  const std::int64_t rows = c.row == 0 ? 0 : c.dst.elements() / c.row;
  const Team team = worth(context.threads, 0.5 * static_cast<double>(c.dst.elements()) * static_cast<double>(desc.srcs.size()));
  PlanPtr result;
  const auto make = [&](auto t) {
    using T = decltype(t);
    using C = ComputeOf<T>;
    result = make_plan([c, rows, team](const ops::Args& args) {
      if (rows == 1) {
        parallel(c.row, team, [&](std::int64_t begin, std::int64_t end) { row<T, C>(c, args, 0, begin, end); });
        return;
      }
      parallel(rows, team, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t r = begin; r < end; ++r) row<T, C>(c, args, r, 0, c.row);
      });
    });
  };
  if (is_floating(desc.dtype) || !core::of_integers(desc.kind)) {
    visit_floating(desc.dtype, make);
  } else {
    visit_integer(desc.dtype, make);
  }
  return result;
}

}  // namespace lamella::cpu
