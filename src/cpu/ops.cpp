// SPDX-License-Identifier: Apache-2.0
#include "cpu/ops.hpp"

#include <algorithm>

#include "cpu/dense/engines.hpp"
#include "cpu/dense/quantized.hpp"
#include "cpu/plans.hpp"

namespace lamella::cpu {
namespace {

/// Picks from a list; a forced name that stands in another list does not concern this one.
template <typename D>
ops::Choice choose_from(std::span<const ops::Engine<D>* const> engines, const D& desc, const ConstantsPtr& constants,
                        const ops::PlanContext& context, std::string_view forced) {
  const bool concerned =
      std::any_of(engines.begin(), engines.end(), [&](const auto* engine) { return engine->name() == forced; });
  std::string refusals;
  bool accepted = concerned;
  for (const auto* engine : engines) {
    if (accepted) break;
    const std::string why = engine->refuses(desc, context);
    accepted = why.empty();
    refusals += core::concat(refusals.empty() ? "" : "; ", engine->name(), ": ", why);
  }
  LAMELLA_EXPECTS(accepted, value, "[cpu] Dense of ", desc.inputs, " inputs, ", desc.units, " units, activation '",
                  to_string(desc.activation.kind), "': no engine can do this: ", refusals);
  return ops::select<D>(engines, desc, constants, context, concerned ? forced : std::string_view());
}

ops::Choice choose(const ops::DenseDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context,
                   std::string_view forced) {
  return choose_from<ops::DenseDesc>(dense_engines(), desc, constants, context, forced);
}
ops::Choice choose(const ops::QuantizedDenseDesc& desc, const ConstantsPtr& constants, const ops::PlanContext& context,
                   std::string_view forced) {
  return choose_from<ops::QuantizedDenseDesc>(quantized_dense_engines(), desc, constants, context, forced);
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
    LAMELLA_EXPECTS(context.threads >= 1, value, "[cpu] threads: got ", context.threads, ", allowed 1 or more");
    return std::visit([&](const auto& d) { return choose(d, constants, context, forced); }, desc);
  }
};

}  // namespace

std::unique_ptr<ops::OpSet> make_ops() { return std::make_unique<CpuOps>(); }

}  // namespace lamella::cpu
