// SPDX-License-Identifier: Apache-2.0
#include "cpu/activation/epilogue.hpp"
#include "cpu/dense/engines.hpp"
#include "cpu/threads.hpp"

namespace lamella::cpu {
namespace {

/// float32 products are summed in float64 and rounded once, before the activation.
template <typename T, typename C>
void row(const ops::DenseDesc& d, const C* kernel, const C* bias, const T* src, double* sums) {
  for (std::int64_t u = 0; u < d.units; ++u) sums[u] = bias != nullptr ? static_cast<double>(bias[u]) : 0.0;
  for (std::int64_t k = 0; k < d.inputs; ++k) {
    const auto x = static_cast<double>(static_cast<C>(src[k]));
    for (std::int64_t u = 0; u < d.units; ++u) sums[u] += x * static_cast<double>(kernel[k * d.units + u]);
  }
}

template <typename T>
PlanPtr plan_as(const ops::DenseDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context) {
  using C = ComputeOf<T>;
  const double work = static_cast<double>(desc.batch) * static_cast<double>(desc.inputs) * static_cast<double>(desc.units);
  const Team team = worth(context.threads, work);
  std::shared_ptr<const C> bias;
  if (desc.has_bias) bias = constant_as<C>(constants, 1, desc.dtype);
  const auto workspace = static_cast<std::size_t>(team.threads) * static_cast<std::size_t>(desc.units) * sizeof(double);
  const std::int64_t part = (desc.batch + team.threads - 1) / team.threads;
  const auto run = [desc, team, part, bias, kernel = constant_as<C>(constants, 0, desc.dtype),
                    activated = ActivatedSums(desc.activation, desc.dtype)](const ops::Args& args) {
    parallel(desc.batch, team, [&](std::int64_t begin, std::int64_t end) {
      double* sums = static_cast<double*>(args.workspace) + begin / std::max(part, std::int64_t{1}) * desc.units;
      for (std::int64_t b = begin; b < end; ++b) {
        row(desc, kernel.get(), bias.get(), static_cast<const T*>(args.srcs[0]) + b * desc.inputs, sums);
        activated(static_cast<T*>(args.dst) + b * desc.units, sums, desc.units);
      }
    });
  };
  return make_plan(run, workspace);
}

class Reference final : public DenseEngine {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "reference"; }
  [[nodiscard]] std::string refuses(const ops::DenseDesc& desc, const ops::PlanContext&) const override {
    return refused_by_all(desc, {Fusion::none, Fusion::epilogue}, "uses plain loops");
  }
  [[nodiscard]] std::string fuses(const ops::DenseDesc& desc) const override { return ops::bias_and_activation(desc); }
  [[nodiscard]] PlanPtr plan(const ops::DenseDesc& desc, ConstantsPtr constants, const ops::PlanContext& context) const override {
    PlanPtr result;
    visit_floating(desc.dtype, [&](auto t) { result = plan_as<decltype(t)>(desc, constants, context); });
    return result;
  }
};

}  // namespace

const DenseEngine& reference_engine() {
  static const Reference engine;
  return engine;
}

}  // namespace lamella::cpu
