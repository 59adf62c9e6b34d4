// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "cpu/lanes.hpp"
#include "cpu/plans.hpp"
#include "cpu/threads.hpp"

namespace lamella::cpu {
namespace {

template <typename T, typename C>
void normalize(const ops::LayerNormalizationDesc& d, T* dst, const T* src, const C* gamma, const C* beta) {
  const auto at = [src](std::int64_t i) { return static_cast<double>(static_cast<C>(src[i])); };
  using Kind = ops::NormalizationKind;
  const auto length = static_cast<double>(d.length);
  const bool around_mean = d.kind == Kind::standard || d.kind == Kind::deviation;
  const double mean = around_mean ? sum(d.length, at) / length : 0.0;
  const double squares = sum(d.length, [&](std::int64_t i) { return (at(i) - mean) * (at(i) - mean); });
  double factor = 1.0 / std::sqrt(d.kind == Kind::unit ? squares : squares / length + d.epsilon);
  if (d.kind == Kind::unit && factor > 1.0 / d.epsilon) factor = 1.0 / d.epsilon;
  const double center = d.kind == Kind::standard ? mean : 0.0;
  for (std::int64_t i = 0; i < d.length; ++i) {
    const double scale = gamma != nullptr ? factor * static_cast<double>(gamma[i]) : factor;
    const double offset = beta != nullptr ? static_cast<double>(beta[i]) : 0.0;
    dst[i] = convert<T>((at(i) - center) * scale + offset);
  }
}

}  // namespace

PlanPtr plan(const ops::LayerNormalizationDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context) {
  const Team team = worth(context.threads, 2.0 * static_cast<double>(desc.outer * desc.length));
  PlanPtr result;
  visit_floating(desc.dtype, [&](auto t) {
    using T = decltype(t);
    using C = ComputeOf<T>;
    std::shared_ptr<const C> gamma;
    std::shared_ptr<const C> beta;
    if (desc.has_gamma) gamma = constant_as<C>(constants, 0);
    if (desc.has_beta) beta = constant_as<C>(constants, desc.has_gamma ? 1 : 0);
    result = make_plan([desc, team, gamma, beta](const ops::Args& args) {
      parallel(desc.outer, team, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t o = begin; o < end; ++o) {
          const std::int64_t at = o * desc.length;
          normalize<T, C>(desc, static_cast<T*>(args.dst) + at, static_cast<const T*>(args.srcs[0]) + at, gamma.get(),
                          beta.get());
        }
      });
    });
  });
  return result;
}

}  // namespace lamella::cpu
