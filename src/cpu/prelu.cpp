// SPDX-License-Identifier: Apache-2.0
#include "cpu/plans.hpp"
#include "cpu/threads.hpp"

namespace lamella::cpu {
namespace {

template <typename T, typename C>
void run(std::int64_t length, const C* alpha, const ops::Args& args, std::int64_t begin, std::int64_t end) {
  for (std::int64_t b = begin; b < end; ++b) {
    const T* src = static_cast<const T*>(args.srcs[0]) + b * length;
    T* dst = static_cast<T*>(args.dst) + b * length;
    for (std::int64_t i = 0; i < length; ++i) {
      const C x = static_cast<C>(src[i]);
      const C above = C(0) > x ? C(0) : x;
      const C below = C(0) > -x ? C(0) : -x;
      dst[i] = convert<T>(above - alpha[i] * below);
    }
  }
}

}  // namespace

PlanPtr plan(const ops::PReluDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context) {
  const Team team = worth(context.threads, 0.5 * static_cast<double>(desc.batch * desc.length));
  PlanPtr result;
  visit_floating(desc.dtype, [&](auto t) {
    using T = decltype(t);
    using C = ComputeOf<T>;
    result = make_plan([desc, team, alpha = constant_as<C>(constants, 0, desc.dtype)](const ops::Args& args) {
      parallel(desc.batch, team,
               [&](std::int64_t begin, std::int64_t end) { run<T, C>(desc.length, alpha.get(), args, begin, end); });
    });
  });
  return result;
}

}  // namespace lamella::cpu
