// SPDX-License-Identifier: Apache-2.0
#include "core/float8.hpp"
#include "cpu/plans.hpp"
#include "cpu/rounding.hpp"
#include "cpu/threads.hpp"

namespace lamella::cpu {

PlanPtr plan(const ops::QuantizeDequantizeDesc& desc, const ConstantsPtr&, const ops::PlanContext& context) {
  const Team team = worth(context.threads, static_cast<double>(desc.elements));
  PlanPtr result;
  visit_floating(desc.dtype, [&](auto t) {
    using T = decltype(t);
    using C = ComputeOf<T>;
    result = make_plan([desc, team, scale = static_cast<C>(desc.scale)](const ops::Args& args) {
      const T* const src = static_cast<const T*>(args.srcs[0]);
      T* const dst = static_cast<T*>(args.dst);
      parallel(desc.elements, team, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i)
          dst[i] = convert<T>(core::through_e4m3(convert<C>(src[i]), scale, RoundTo<T>()));
      });
    });
  });
  return result;
}

}  // namespace lamella::cpu
