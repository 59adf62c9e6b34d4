// SPDX-License-Identifier: Apache-2.0
#include "cpu/plans.hpp"
#include "cpu/rowwise/row_functions.hpp"
#include "cpu/threads.hpp"

namespace lamella::cpu {
namespace {

double nanoseconds_per_element(ActivationKind kind) { return kind == ActivationKind::Sparsemax ? 1.5 : 0.5; }

template <typename T>
void run(const ops::RowwiseDesc& d, RowFn<ComputeOf<T>> function, const ops::Args& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t src_row = d.length * d.inner;
  const std::int64_t dst_row = d.kind == ActivationKind::Glu ? d.length / 2 * d.inner : src_row;
  const T* src = static_cast<const T*>(args.srcs[0]);
  T* dst = static_cast<T*>(args.dst);
  for (std::int64_t o = begin; o < end; ++o) {
    if constexpr (std::is_same_v<T, ComputeOf<T>>) {
      function(dst + o * dst_row, src + o * src_row, d.length, d.inner);
    } else {
      float* wide = static_cast<float*>(args.workspace) + o * (src_row + dst_row);
      widen(wide, src + o * src_row, dtype_v<T>, src_row);
      function(wide + src_row, wide, d.length, d.inner);
      narrow(dst + o * dst_row, wide + src_row, dtype_v<T>, dst_row);
    }
  }
}

}  // namespace

PlanPtr plan(const ops::RowwiseDesc& desc, const ConstantsPtr&, const ops::PlanContext& context) {
  const std::int64_t elements = desc.outer * desc.length * desc.inner;
  const Team team = worth(context.threads, static_cast<double>(elements) * nanoseconds_per_element(desc.kind));
  PlanPtr result;
  visit_floating(desc.dtype, [&](auto t) {
    using T = decltype(t);
    using C = ComputeOf<T>;
    const std::size_t workspace = std::is_same_v<T, C> ? 0 : static_cast<std::size_t>(elements) * 2 * sizeof(C);
    const auto execute = [desc, team, function = row_function<C>(desc.kind)](const ops::Args& args) {
      parallel(desc.outer, team, [&](std::int64_t begin, std::int64_t end) { run<T>(desc, function, args, begin, end); });
    };
    result = make_plan(execute, workspace);
  });
  return result;
}

}  // namespace lamella::cpu
