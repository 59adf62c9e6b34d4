// SPDX-License-Identifier: Apache-2.0
#include "cpu/ops.hpp"

#include "core/backend.hpp"
#include "cpu/dense/engines.hpp"
#include "cpu/dense/quantized.hpp"
#include "cpu/plans.hpp"
#include "ops/select.hpp"

namespace lamella::cpu {
namespace {

ops::Choice choose(const ops::DenseDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context,
                   std::string_view forced) {
  return ops::select<ops::DenseDesc>(dense_engines(), desc, constants, context, forced);
}
ops::Choice choose(const ops::QuantizedDenseDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context,
                   std::string_view forced) {
  return ops::select<ops::QuantizedDenseDesc>(quantized_dense_engines(), desc, constants, context, forced);
}
ops::Choice choose(const ops::StackDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context,
                   std::string_view forced) {
  return ops::select<ops::StackDesc>({}, desc, constants, context, forced);  // there are none: takes() is false
}
template <typename D>
ops::Choice choose(const D& desc, const ConstantsPtr& constants, const ops::PlanContext& context, std::string_view) {
  ops::Choice choice;
  choice.plan = plan(desc, constants, context);
  choice.engine = "loops";
  return choice;
}

class CpuOps final : public ops::OpSet {
 public:
  [[nodiscard]] std::vector<std::string> engines() const override {
    std::vector<std::string> names;
    for (const DenseEngine* engine : cpu::dense_engines()) names.emplace_back(engine->name());
    for (const QuantizedDenseEngine* engine : quantized_dense_engines()) names.emplace_back(engine->name());
    return names;
  }

 private:
  [[nodiscard]] ops::Choice plan_checked(const ops::Desc& desc, const ConstantsPtr& constants, const ops::PlanContext& context,
                                         std::string_view forced) override {
    LAMELLA_EXPECTS(context.threads >= 1, value, "[cpu] threads: got {}, allowed 1 or more", context.threads);
    ops::PlanContext here = context;
    here.backend = &core::cpu_backend();
    return std::visit([&](const auto& d) { return choose(d, constants, here, forced); }, desc);
  }
};

}  // namespace

std::unique_ptr<ops::OpSet> make_ops() { return std::make_unique<CpuOps>(); }

}  // namespace lamella::cpu
