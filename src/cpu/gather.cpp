// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "cpu/plans.hpp"
#include "cpu/threads.hpp"
#include "ops/gather.hpp"

namespace lamella::cpu {
namespace {

template <typename T, typename C, typename I>
PlanPtr gather(const ops::GatherDesc& d, const Team& team, std::shared_ptr<const C> table) {
  return make_plan([d, team, table = std::move(table)](const ops::Args& args) {
    parallel(d.indices, team, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t row = ops::row_of(static_cast<const I*>(args.srcs[0])[i], d.rows);
        T* dst = static_cast<T*>(args.dst) + i * d.width;
        if (row < 0) {
          std::fill_n(dst, d.width, convert<T>(std::numeric_limits<C>::quiet_NaN()));
        } else {
          const C* src = table.get() + row * d.width;
          for (std::int64_t k = 0; k < d.width; ++k) dst[k] = convert<T>(src[k]);
        }
      }
    });
  });
}

}  // namespace

PlanPtr plan(const ops::GatherDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context) {
  const Team team = worth(context.threads, 0.5 * static_cast<double>(desc.indices) * static_cast<double>(desc.width));
  PlanPtr result;
  visit_floating(desc.dtype, [&](auto t) {
    using T = decltype(t);
    using C = ComputeOf<T>;
    auto table = constant_as<C>(constants, 0, desc.dtype);
    switch (desc.index) {
      case DType::int32:
        result = gather<T, C, std::int32_t>(desc, team, std::move(table));
        break;
      case DType::int64:
        result = gather<T, C, std::int64_t>(desc, team, std::move(table));
        break;
      case DType::float32:
        result = gather<T, C, float>(desc, team, std::move(table));
        break;
      case DType::float64:
        result = gather<T, C, double>(desc, team, std::move(table));
        break;
      default:
        core::throw_argument(ErrorCode::dtype, core::format("[cpu] row indices: got {}, allowed int32, int64, float32, float64",
                                                            to_string(desc.index)));
    }
  });
  return result;
}

}  // namespace lamella::cpu
