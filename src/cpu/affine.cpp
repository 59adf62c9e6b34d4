// SPDX-License-Identifier: Apache-2.0
#include "cpu/plans.hpp"
#include "cpu/threads.hpp"

namespace lamella::cpu {
namespace {

template <typename T, typename C>
void run(const ops::AffineDesc& d, const C* scale, const C* offset, const ops::Args& args, std::int64_t begin, std::int64_t end) {
  const T* src = static_cast<const T*>(args.srcs[0]) + begin * d.channels * d.inner;
  T* dst = static_cast<T*>(args.dst) + begin * d.channels * d.inner;
  for (std::int64_t o = begin; o < end; ++o) {
    if (d.inner == 1) {
      for (std::int64_t c = 0; c < d.channels; ++c) dst[c] = convert<T>(static_cast<C>(src[c]) * scale[c] + offset[c]);
      src += d.channels;
      dst += d.channels;
      continue;
    }
    for (std::int64_t c = 0; c < d.channels; ++c, src += d.inner, dst += d.inner) {
      for (std::int64_t i = 0; i < d.inner; ++i) dst[i] = convert<T>(static_cast<C>(src[i]) * scale[c] + offset[c]);
    }
  }
}

}  // namespace

PlanPtr plan(const ops::AffineDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context) {
  const Team team = worth(context.threads, 0.5 * static_cast<double>(desc.outer * desc.channels * desc.inner));
  PlanPtr result;
  visit_floating(desc.dtype, [&](auto t) {
    using T = decltype(t);
    using C = ComputeOf<T>;
    result = make_plan(
        [desc, team, scale = constant_as<C>(constants, 0), offset = constant_as<C>(constants, 1)](const ops::Args& args) {
          parallel(desc.outer, team,
                   [&](std::int64_t begin, std::int64_t end) { run<T, C>(desc, scale.get(), offset.get(), args, begin, end); });
        });
  });
  return result;
}

}  // namespace lamella::cpu
