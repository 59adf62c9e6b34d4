// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/integer_relu.hpp"
#include "cpu/activation/epilogue.hpp"
#include "cpu/plans.hpp"
#include "cpu/threads.hpp"

namespace lamella::cpu {
namespace {

constexpr std::int64_t kElementBlock = 1024;

template <typename T>
void run(const Epilogue& epilogue, const ops::Args& args, std::int64_t begin, std::int64_t end) {
  const T* src = static_cast<const T*>(args.srcs[0]);
  T* dst = static_cast<T*>(args.dst);
  if constexpr (std::is_same_v<T, float>) {
    epilogue(dst + begin, src + begin, nullptr, end - begin);
  } else {
    float block[kElementBlock];
    for (std::int64_t i = begin; i < end; i += kElementBlock) {
      const std::int64_t n = std::min(kElementBlock, end - i);
      widen(block, src + i, dtype_v<T>, n);
      epilogue(block, block, nullptr, n);
      narrow(dst + i, block, dtype_v<T>, n);
    }
  }
}

PlanPtr plan_float64(const ops::ActivationDesc& desc, Team team) {
  return make_plan([n = desc.elements, f = Float64Activation(desc.activation), team](const ops::Args& args) {
    const double* src = static_cast<const double*>(args.srcs[0]);
    double* dst = static_cast<double*>(args.dst);
    parallel(n, team, [&](std::int64_t begin, std::int64_t end) { f(dst + begin, src + begin, end - begin); });
  });
}

PlanPtr plan_integers(const ops::ActivationDesc& desc, Team team) {
  LAMELLA_EXPECTS(core::keeps_integers(desc.activation), dtype,
                  "[cpu] activation '{}' of {}: allowed float32, float16, bfloat16, float64", to_string(desc.activation.kind),
                  to_string(desc.dtype));
  PlanPtr result;
  visit_integer(desc.dtype, [&](auto t) {
    using T = decltype(t);
    const core::IntegerRelu<T> relu(desc.activation);
    result = make_plan([n = desc.elements, relu, team](const ops::Args& args) {
      const T* src = static_cast<const T*>(args.srcs[0]);
      T* dst = static_cast<T*>(args.dst);
      parallel(n, team, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) dst[i] = relu(src[i]);
      });
    });
  });
  return result;
}

}  // namespace

PlanPtr plan(const ops::ActivationDesc& desc, const ConstantsPtr&, const ops::PlanContext& context) {
  const Team team = worth(context.threads, static_cast<double>(desc.elements) * kEpilogueNanoseconds);
  if (!is_floating(desc.dtype)) return plan_integers(desc, team);
  PlanPtr result;
  visit_floating(desc.dtype, [&](auto t) {
    using T = decltype(t);
    if constexpr (std::is_same_v<T, double>) {
      result = plan_float64(desc, team);
    } else {
      result = make_plan([n = desc.elements, epilogue = Epilogue(desc.activation), team](const ops::Args& args) {
        parallel(n, team, [&](std::int64_t begin, std::int64_t end) { run<T>(epilogue, args, begin, end); });
      });
    }
  });
  return result;
}

}  // namespace lamella::cpu
