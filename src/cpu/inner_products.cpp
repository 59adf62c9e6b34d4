// SPDX-License-Identifier: Apache-2.0
#include "cpu/plans.hpp"
#include "cpu/threads.hpp"

namespace lamella::cpu {
namespace {

template <typename T, typename C>
C inner_product(const T* a, const T* b, std::int64_t n) {
  constexpr std::int64_t kLanes = 16;
  C lanes[kLanes] = {};
  std::int64_t k = 0;
  for (; k + kLanes <= n; k += kLanes) {
    for (std::int64_t l = 0; l < kLanes; ++l) lanes[l] += static_cast<C>(a[k + l]) * static_cast<C>(b[k + l]);
  }
  for (; k < n; ++k) lanes[k % kLanes] += static_cast<C>(a[k]) * static_cast<C>(b[k]);
  C total = 0;
  for (const C lane : lanes) total += lane;
  return total;
}

}  // namespace

PlanPtr plan(const ops::InnerProductsDesc& desc, const ConstantsPtr&, const ops::PlanContext& context) {
  const std::int64_t rows = desc.batch * desc.left;
  const Team team = worth(context.threads, static_cast<double>(rows) * static_cast<double>(desc.right * desc.length));
  PlanPtr result;
  visit_floating(desc.dtype, [&](auto t) {
    using T = decltype(t);
    using C = ComputeOf<T>;
    result = make_plan([desc, rows, team](const ops::Args& args) {
      parallel(rows, team, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t row = begin; row < end; ++row) {
          const T* left = static_cast<const T*>(args.srcs[0]) + row * desc.length;
          const T* right = static_cast<const T*>(args.srcs[1]) + row / desc.left * desc.right * desc.length;
          T* dst = static_cast<T*>(args.dst) + row * desc.right;
          for (std::int64_t j = 0; j < desc.right; ++j)
            dst[j] = convert<T>(inner_product<T, C>(left, right + j * desc.length, desc.length));
        }
      });
    });
  });
  return result;
}

}  // namespace lamella::cpu
