// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "cpu/plans.hpp"
#include "cpu/threads.hpp"

namespace lamella::cpu {
namespace {

using CastFn = void (*)(void* dst, const void* src, std::int64_t begin, std::int64_t end);

template <typename To, typename From>
void cast(void* dst, const void* src, std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = begin; i < end; ++i) static_cast<To*>(dst)[i] = convert<To>(static_cast<const From*>(src)[i]);
}

CastFn cast_of(DType to, DType from) {
  CastFn function = nullptr;
  core::visit_dtype(to, [&](auto t) { core::visit_dtype(from, [&](auto f) { function = &cast<decltype(t), decltype(f)>; }); });
  return function;
}

}  // namespace

PlanPtr plan(const ops::CastDesc& desc, const ConstantsPtr&, const ops::PlanContext& context) {
  if (desc.from == desc.to) {
    return make_plan([bytes = static_cast<std::size_t>(desc.elements) * size_of(desc.to)](const ops::Args& args) {
      if (bytes > 0) std::memcpy(args.dst, args.srcs[0], bytes);
    });
  }
  const Team team = worth(context.threads, 0.5 * static_cast<double>(desc.elements));
  return make_plan([n = desc.elements, team, function = cast_of(desc.to, desc.from)](const ops::Args& args) {
    parallel(n, team, [&](std::int64_t begin, std::int64_t end) { function(args.dst, args.srcs[0], begin, end); });
  });
}

}  // namespace lamella::cpu
