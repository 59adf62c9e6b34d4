// SPDX-License-Identifier: Apache-2.0
#include "cpu/broadcast.hpp"

namespace lamella::cpu {

PlanPtr plan(const ops::AffineDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context) {
  const BroadcastRuns<2> runs(desc.outer, desc.sample, {desc.scale, desc.offset});
  const Team team = worth(context.threads, 0.5 * static_cast<double>(runs.elements()));
  PlanPtr result;
  visit_floating(desc.dtype, [&](auto t) {
    using T = decltype(t);
    using C = ComputeOf<T>;
    const auto scales = constant_as<C>(constants, 0);
    const auto offsets = constant_as<C>(constants, 1);
    with_known(runs.varies(0), [&](auto scale_varies) {
      with_known(runs.varies(1), [&](auto offset_varies) {
        result = make_plan([=](const ops::Args& args) {
          const T* src = static_cast<const T*>(args.srcs[0]);
          T* dst = static_cast<T*>(args.dst);
          parallel(runs.rows(), team, [&](std::int64_t begin, std::int64_t end) {
            runs.each(begin, end, [&](std::int64_t first, std::int64_t count, const auto& at) {
              const AlongRun<decltype(scale_varies)::value, C> scale(scales.get() + at[0]);
              const AlongRun<decltype(offset_varies)::value, C> offset(offsets.get() + at[1]);
              const T* from = src + first;
              T* to = dst + first;
              for (std::int64_t i = 0; i < count; ++i) to[i] = convert<T>(static_cast<C>(from[i]) * scale[i] + offset[i]);
            });
          });
        });
      });
    });
  });
  return result;
}

}  // namespace lamella::cpu
