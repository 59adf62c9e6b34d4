// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/format.hpp"
#include "ops/select.hpp"
#include "ops/tuner.hpp"

namespace lamella::ops {

/// Implements OpSet::weigh(). `together`: whether the rule would take the layers in one step; of equally fast ways the rule's is
/// taken.
class Scales {
 public:
  Scales(std::span<const Engine<StackDesc>* const> engines, const StackDesc& desc, std::shared_ptr<const Constants> constants,
         const PlanContext& context, bool together)
      : engines_(engines), desc_(desc), constants_(std::move(constants)), context_(context), together_(together) {
    for (const Ranked<StackDesc>& one : ranked(engines, desc, context)) {
      if (one.engine->refuses(desc, context).empty()) accepting_.push_back(one.engine);
    }
  }

  [[nodiscard]] std::optional<Weighed> weighed(const OneByOne& one_by_one) const {
    if (accepting_.empty()) return std::nullopt;
    Tuner& tuner = context_.tuner == nullptr ? Tuner::of_process() : *context_.tuner;
    PlanContext looking = context_;
    looking.tuning = Tuning::cached;
    const auto known = tuner.fastest(desc_, candidates(nullptr), candidate(nullptr), looking);
    if (known || context_.tuning != Tuning::measure) return known ? weighed(*known) : Weighed{};
    try {
      // Planned before, because that may measure the layers' engines, and one measurement is made at a time.
      const std::shared_ptr<Plan> layers = one_by_one();
      const auto verdict = tuner.fastest(desc_, candidates(layers), candidate(layers), context_);
      return verdict ? weighed(*verdict) : Weighed{};
    } catch (const Error& error) {
      if (error.code() != ErrorCode::out_of_memory) throw;
      return Weighed{};  // one way may have enough where several do not
    }
  }

 private:
  /// A plan that several candidates share.
  class Shared final : public Plan {
   public:
    explicit Shared(std::shared_ptr<Plan> plan) : plan_(std::move(plan)) {}
    void execute(const Args& args) const override { plan_->execute(args); }
    [[nodiscard]] std::size_t workspace_bytes() const noexcept override { return plan_->workspace_bytes(); }
    [[nodiscard]] std::unique_ptr<PlanState> make_state() const override { return plan_->make_state(); }

   private:
    std::shared_ptr<Plan> plan_;
  };

  [[nodiscard]] static Candidate candidate(const std::shared_ptr<Plan>& layers) {
    return {kOneByOne, nullptr, [layers](std::int64_t) { return std::make_unique<Shared>(layers); }};
  }
  [[nodiscard]] std::vector<Candidate> candidates(const std::shared_ptr<Plan>& layers) const {
    std::vector<Candidate> all;
    for (const Engine<StackDesc>* engine : accepting_) {
      all.push_back(
          {engine->name(), nullptr, [this, engine](std::int64_t) { return engine->plan(desc_, constants_->copy(), context_); }});
    }
    all.insert(together_ ? all.end() : all.begin(), candidate(layers));
    return all;
  }

  [[nodiscard]] Weighed weighed(const Tuner::Verdict& verdict) const {
    const char* const when = verdict.is_remembered ? "measured before" : "measured";
    Weighed result;
    result.by_rule = together_ ? accepting_.front()->name() : kOneByOne;
    for (const Engine<StackDesc>* engine : engines_) {
      if (engine->name() == verdict.record.engine) continue;
      std::string why = engine->refuses(desc_, context_);
      result.others.push_back({std::string(engine->name()), why.empty() ? verdict.time_of(engine->name()) : std::move(why)});
    }
    if (verdict.record.engine == kOneByOne) {
      result.measured = core::format("{} for {} layers, {}", verdict.time_of(kOneByOne), desc_.layers.size(), when);
      for (const Engine<StackDesc>* engine : accepting_)
        result.measured += core::format("; {}{} {}", engine->name(), engine->name() == result.by_rule ? ", by rule," : "",
                                        verdict.time_of(engine->name()));
      return result;
    }
    result.engine = verdict.record.engine;
    result.measured = core::format("{}, {}", verdict.time_of(result.engine), when);
    result.others.push_back({std::string(kOneByOne), verdict.time_of(kOneByOne)});
    constexpr double kLeast = 1e-3;  // equally fast ways: the rule's is taken
    result.gain_us =
        std::max(verdict.microseconds_of(kOneByOne).value_or(0) - verdict.microseconds_of(result.engine).value_or(0), kLeast);
    return result;
  }

  std::span<const Engine<StackDesc>* const> engines_;
  const StackDesc& desc_;
  std::shared_ptr<const Constants> constants_;
  const PlanContext& context_;
  bool together_;
  std::vector<const Engine<StackDesc>*> accepting_;  ///< the least predicted time first
};

}  // namespace lamella::ops
