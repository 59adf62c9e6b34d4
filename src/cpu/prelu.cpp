// SPDX-License-Identifier: Apache-2.0
#include "cpu/broadcast.hpp"

namespace lamella::cpu {

PlanPtr plan(const ops::PReluDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context) {
  const BroadcastRuns<1> runs(desc.outer, desc.sample, {desc.alpha});
  const Team team = worth(context.threads, 0.5 * static_cast<double>(runs.elements()));
  PlanPtr result;
  visit_floating(desc.dtype, [&](auto t) {
    using T = decltype(t);
    using C = ComputeOf<T>;
    const auto alphas = constant_as<C>(constants, 0, desc.dtype);
    with_known(runs.varies(0), [&](auto varies) {
      result = make_plan([=](const ops::Args& args) {
        const T* src = static_cast<const T*>(args.srcs[0]);
        T* dst = static_cast<T*>(args.dst);
        parallel(runs.rows(), team, [&](std::int64_t begin, std::int64_t end) {
          runs.each(begin, end, [&](std::int64_t first, std::int64_t count, const auto& at) {
            const AlongRun<decltype(varies)::value, C> alpha(alphas.get() + at[0]);
            const T* from = src + first;
            T* to = dst + first;
            for (std::int64_t i = 0; i < count; ++i) {
              const C x = static_cast<C>(from[i]);
              const C above = C(0) > x ? C(0) : x;
              const C below = C(0) > -x ? C(0) : -x;
              to[i] = convert<T>(above - alpha[i] * below);
            }
          });
        });
      });
    });
  });
  return result;
}

}  // namespace lamella::cpu
