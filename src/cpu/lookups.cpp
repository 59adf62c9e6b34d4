// SPDX-License-Identifier: Apache-2.0
// Searches in sorted tables, and counting of numbers.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "cpu/plans.hpp"
#include "cpu/threads.hpp"
#include "ops/search.hpp"

namespace lamella::cpu {
namespace {

/// Estimated nanoseconds for searches in a sorted table.
template <typename D>
Team team_for(const D& search, const ops::PlanContext& context) {
  const double steps = std::log2(2.0 + static_cast<double>(search.length));
  return worth(context.threads, 4.0 * steps * static_cast<double>(search.elements));
}

template <typename T>
PlanPtr bucket(const ops::BucketDesc& d, const Team& team, std::shared_ptr<const float> boundaries) {
  return make_plan([d, team, boundaries = std::move(boundaries)](const ops::Args& args) {
    const T* const src = static_cast<const T*>(args.srcs[0]);
    auto* const dst = static_cast<std::int64_t*>(args.dst);
    parallel(d.elements, team, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) dst[i] = ops::count_up_to(src[i], boundaries.get(), d.length);
    });
  });
}

/// The index that `number` counts towards, or -1.
template <typename I>
std::int64_t place(I number, std::int64_t depth) {
  if (!(number >= I(0) && static_cast<double>(number) < static_cast<double>(depth))) return -1;
  const auto at = static_cast<std::int64_t>(number);
  return static_cast<I>(at) == number && at < depth ? at : -1;
}

constexpr std::int64_t kExact = std::int64_t{1} << 24U;  ///< float32 has every integer up to it

template <typename T, typename I>
PlanPtr count(const ops::CountDesc& d, const Team& team) {
  return make_plan([d, team](const ops::Args& args) {
    parallel(d.outer, team, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t o = begin; o < end; ++o) {
        const I* const src = static_cast<const I*>(args.srcs[0]) + o * d.length;
        T* const dst = static_cast<T*>(args.dst) + o * d.depth;
        std::fill_n(dst, d.depth, convert<T>(ComputeOf<T>(0)));
        const bool ones = d.binary || d.length == 1;
        if (ones || (std::is_same_v<T, ComputeOf<T>> && d.length < kExact)) {
          for (std::int64_t i = 0; i < d.length; ++i) {
            const std::int64_t at = place(src[i], d.depth);
            if (at >= 0) dst[at] = convert<T>(ones ? ComputeOf<T>(1) : static_cast<ComputeOf<T>>(dst[at]) + ComputeOf<T>(1));
          }
          continue;
        }
        // At this count a float sum would stop growing, so integers are counted from here on.
        for (std::int64_t i = 0; i < d.length; ++i) {
          const std::int64_t at = place(src[i], d.depth);
          if (at < 0 || static_cast<ComputeOf<T>>(dst[at]) != ComputeOf<T>(0)) continue;
          dst[at] = convert<T>(static_cast<ComputeOf<T>>(std::count(src + i, src + d.length, src[i])));
        }
      }
    });
  });
}

}  // namespace

PlanPtr plan(const ops::BucketDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context) {
  const Team team = team_for(desc, context);
  auto boundaries = constant_as<float>(constants, 0);
  if (desc.from == DType::float64) return bucket<double>(desc, team, std::move(boundaries));
  LAMELLA_EXPECTS(desc.from == DType::float32, dtype, "[cpu] values to put in buckets: got {}, allowed float32, float64",
                  to_string(desc.from));
  return bucket<float>(desc, team, std::move(boundaries));
}

PlanPtr plan(const ops::LookupDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context) {
  const Team team = team_for(desc, context);
  return make_plan([d = desc, team, constants](const ops::Args& args) {
    const auto* const src = static_cast<const std::int64_t*>(args.srcs[0]);
    const auto* const keys = static_cast<const std::int64_t*>((*constants)[0].data());
    const auto* const values = static_cast<const std::int64_t*>((*constants)[1].data());
    auto* const dst = static_cast<std::int64_t*>(args.dst);
    parallel(d.elements, team, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) dst[i] = ops::found(src[i], keys, values, d.length, d.otherwise, d.hashes);
    });
  });
}

PlanPtr plan(const ops::HashDesc& desc, const ConstantsPtr&, const ops::PlanContext& context) {
  const Team team = worth(context.threads, 60.0 * static_cast<double>(desc.elements));
  return make_plan([d = desc, team](const ops::Args& args) {
    const auto* const src = static_cast<const std::int64_t*>(args.srcs[0]);
    auto* const dst = static_cast<std::int64_t*>(args.dst);
    parallel(d.elements, team, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) dst[i] = ops::bin_of(src[i], d.rule);
    });
  });
}

PlanPtr plan(const ops::CountDesc& desc, const ConstantsPtr&, const ops::PlanContext& context) {
  const double each = 0.3 * static_cast<double>(desc.depth) + 2.0 * static_cast<double>(desc.length);
  const Team team = worth(context.threads, each * static_cast<double>(desc.outer));
  PlanPtr result;
  visit_floating(desc.dtype, [&](auto t) {
    using T = decltype(t);
    switch (desc.index) {
      case DType::int32:
        result = count<T, std::int32_t>(desc, team);
        break;
      case DType::int64:
        result = count<T, std::int64_t>(desc, team);
        break;
      case DType::float32:
        result = count<T, float>(desc, team);
        break;
      case DType::float64:
        result = count<T, double>(desc, team);
        break;
      default:
        core::throw_argument(
            ErrorCode::dtype,
            core::format("[cpu] values to count: got {}, allowed int32, int64, float32, float64", to_string(desc.index)));
    }
  });
  return result;
}

}  // namespace lamella::cpu
