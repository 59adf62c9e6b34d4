// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "cpu/plans.hpp"
#include "cpu/threads.hpp"

namespace lamella::cpu {

PlanPtr plan(const ops::CastDesc& desc, const ConstantsPtr&, const ops::PlanContext& context) {
  if (desc.from == desc.to) {
    return make_plan([bytes = static_cast<std::size_t>(desc.elements) * size_of(desc.to)](const ops::Args& args) {
      if (bytes > 0) std::memcpy(args.dst, args.srcs[0], bytes);
    });
  }
  const Team team = worth(context.threads, 0.5 * static_cast<double>(desc.elements));
  PlanPtr result;
  core::visit_dtype(desc.to, [&](auto to) {
    core::visit_dtype(desc.from, [&](auto from) {
      using To = decltype(to);
      using From = decltype(from);
      result = make_plan([n = desc.elements, team](const ops::Args& args) {
        const From* src = static_cast<const From*>(args.srcs[0]);
        To* dst = static_cast<To*>(args.dst);
        parallel(n, team, [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t i = begin; i < end; ++i) dst[i] = convert<To>(src[i]);
        });
      });
    });
  });
  return result;
}

}  // namespace lamella::cpu
